"""What MLflow can hold: names, texts and numbers within its limits, and its word for a state. Pure."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from hpo_engine.study.history import StudyState
from hpo_engine.study.trial import TrialState

MAX_NAME = 250
MAX_PARAM = 6000
OLD_MAX_PARAM = 250
"""What servers before version 1.28 take of a parameter."""
MAX_TAG = 5000
MAX_STEP = 2**63 - 1
_REFUSED = re.compile(r"[^/\w.\- :]")

STATUS = {
    TrialState.PENDING: "SCHEDULED",
    TrialState.PAUSED: "SCHEDULED",
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETED: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.STOPPED: "KILLED",
    TrialState.FAILED: "FAILED",
    TrialState.TIMED_OUT: "FAILED",
    TrialState.LOST: "FAILED",
}
STUDY_STATUS = {
    StudyState.RUNNING: "RUNNING",
    StudyState.FINISHED: "FINISHED",
    StudyState.FAILED: "FAILED",
    StudyState.STOPPED: "KILLED",
}


class Names:
    """Legal names for the names of one study: different ones stay different, and the same one is always the same."""

    def __init__(self) -> None:
        self._legal: dict[str, str] = {}
        self._taken: dict[str, str] = {}

    def legal(self, name: str) -> str:
        """The name as MLflow takes it: odd characters are underscores, a long one is cut."""
        if name not in self._legal:
            legal = _legal(name)
            if self._taken.setdefault(legal, name) != name:
                mark = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
                legal = f"{legal[: MAX_NAME - 9]}_{mark}"
                self._taken[legal] = name
            self._legal[name] = legal
        return self._legal[name]


def _legal(name: str) -> str:
    legal = _REFUSED.sub("_", name)[:MAX_NAME].rstrip("\n") or "_"
    if posixpath.normpath(legal) != legal or legal.startswith(("/", "..")) or legal == ".":
        legal = legal.replace("/", "_").replace("..", "__")  # as a path it would lead elsewhere
    return "_" if legal == "." else legal


def text(value: Any, most: int) -> str:
    """A value as text: a text as it is, anything else as JSON or Python write it; at most `most` characters."""
    if isinstance(value, (list, dict, tuple)) or value is None or isinstance(value, bool):
        value = json.dumps(value, ensure_ascii=False)
    shown = str(value).encode("utf-8", "replace").decode()
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def tags(values: Mapping[str, Any]) -> dict[str, str]:
    """Tags with these values; those that are empty or not known are left out."""
    return {name: text(value, MAX_TAG) for name, value in values.items() if value not in (None, "")}


def step(given: float, position: int) -> int:
    """The step of a row: its own if that is a whole number, else its position in the curve (from 1)."""
    return int(given) if given == given and abs(given) <= MAX_STEP and given == int(given) else position
