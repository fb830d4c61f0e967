"""Values as YAML on one line."""

from __future__ import annotations

import json
import re
from typing import Any

_PLAIN = re.compile(
    r"(?!(?i:null|true|false|yes|no|on|off|y|n|\.nan|\.inf)$)[A-Za-z_./][A-Za-z0-9_./]*(?:[ -]+[A-Za-z0-9_./-]+)*"
)


def scalar(value: Any) -> str:
    """A scalar as YAML, in quotes where a person or YAML 1.1 could read something else."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and not re.fullmatch(r"[.0-9eE]+", value):
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def flow(value: Any) -> str:
    """A value with what is in it, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return scalar(value)
