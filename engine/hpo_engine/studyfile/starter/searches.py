"""Search spaces that people wrote for other tools, as entries of a study's space."""

from __future__ import annotations

import re
from typing import Any

from hpo_engine.studyfile.starter.trees import value_of

_CALL = re.compile(r"\s*(?P<kind>interval|choice|range|log|tag|int|float|shuffle)\s*\((?P<inside>.*)\)\s*$", re.DOTALL)


def entry_of(text: Any) -> Any:
    """Of Hydra's `interval(0.1, 1)`, `choice(a, b)`, `range(1, 9)`, `tag(log, interval(1e-4, 1))`, `1,2,3`, and of the
    older {type: float, low: 0, high: 1}; None if it is none of these."""
    if isinstance(text, dict):
        return _of_fields(text)
    if not isinstance(text, str):
        return None
    logarithmic = whole = False
    while (call := _CALL.match(text)) and call["kind"] in ("tag", "int", "float", "shuffle"):
        tags, text = _split_tags(call["inside"])
        logarithmic, whole = logarithmic or "log" in tags, whole or call["kind"] == "int"
    call = _CALL.match(text)
    parts = [value_of(part.strip()) for part in (call["inside"] if call else text).split(",")]
    if call is None or call["kind"] == "choice":
        return {"choice": parts} if len(parts) > 1 else None
    if not all(isinstance(part, (int, float)) for part in parts) or len(parts) < 2 or not parts[0] < parts[1]:
        return None
    if call["kind"] == "range":
        step = parts[2] if len(parts) > 2 else 1
        last = parts[1] - 1 if all(isinstance(part, int) for part in parts) else parts[1]
        whole = all(isinstance(part, int) for part in parts)
        return {"int" if whole else "float": [parts[0], last], **({"step": step} if step != 1 else {})}
    log = {"log": True} if logarithmic or parts[0] > 0 and parts[1] / parts[0] >= 50 else {}
    return {"int" if whole else "float": parts[:2], **log}


def _split_tags(inside: str) -> tuple[list[str], str]:
    """(the tags, the sweep) of `log, interval(1, 2)`."""
    begin = min((inside.find(kind) for kind in ("interval(", "choice(", "range(") if kind in inside), default=0)
    return [tag.strip() for tag in inside[:begin].split(",") if tag.strip()], inside[begin:]


def _of_fields(fields: dict[Any, Any]) -> Any:
    low, high = fields.get("low"), fields.get("high")
    if isinstance(fields.get("choices"), list):
        return {"choice": fields["choices"]}
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)) or not low < high:
        return None
    kind = "int" if fields.get("type") == "int" else "float"
    return {kind: [low, high], **({"log": True} if fields.get("log") and low > 0 else {})}
