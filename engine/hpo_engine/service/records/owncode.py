"""Studies that bring code of their own, such as a searcher in a file: it is not loaded in the service's process, which
it could crash, hang or read, but in one that checks this study and ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from hpo_engine.control.engines import command_line
from hpo_engine.errors import Problem, SpecError

if TYPE_CHECKING:
    from hpo_engine.study.spec import StudySpec
    from hpo_engine.studyfile.document import Document

_FIELDS = ("algorithm", "executor", "trackers", "results", "stop", "early_stopping", "failures")
_CLASS = re.compile(r"(?:^|\s)(?!optuna:)[^\s:]+:[A-Za-z_]")  # module:Class, path/file.py:Class
_PATIENCE_S = 60.0
ANSWER = "checked "
"""What the line with the result begins with, whatever the code prints besides."""


def has_own_code(doc: Document) -> bool:
    """Whether a study file names a class that is neither the house's nor an installed plugin's."""
    found = doc.data if isinstance(doc.data, dict) else {}
    return any(_CLASS.search(text) for field in _FIELDS for text in _texts(found.get(field)))


def spec_apart(
    text: str, file: str, root: str, folder: str | None, user: str | None, name: str | None
) -> tuple[StudySpec, str]:
    """As `uploads.spec_of`, in a process of its own. Raises SpecError."""
    from hpo_engine.study.spec import StudySpec

    asked = {"text": text, "file": file, "root": root, "folder": folder, "user": user, "name": name}
    process = subprocess.Popen(
        command_line("_check"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, _ = process.communicate(json.dumps(asked), timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise SpecError(f"{file}: the study's own code is not loaded after {_PATIENCE_S:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and what the code has started
        process.wait()
    line = next((line for line in reversed(out.splitlines()) if line.startswith(ANSWER)), None)
    if line is None:
        raise SpecError(f"{file}: the study's own code ended the process that loaded it (exit {process.returncode})")
    answer: dict[str, Any] = json.loads(line.removeprefix(ANSWER))
    if "problems" in answer:
        raise SpecError([Problem(*each) for each in answer["problems"]], answer["source"])
    return StudySpec.from_json(answer["spec"]), answer["text"]


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return []
