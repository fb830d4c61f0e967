"""What short trials of a script have shown about its pace, kept beside the studies until a study of it is submitted."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from hpo_engine.errors import ContractError
from hpo_engine.failpoints import failpoint
from hpo_engine.reports.pace import Pace
from hpo_engine.study.spec import StudySpec
from hpo_engine.system.files import safe_read

_FOLDER = ".pace"


def remember(root: str, spec: StudySpec, pace: Pace) -> None:
    """Keeps the pace of a study's script; if that cannot be written, nothing is lost."""
    folder = os.path.join(root, _FOLDER)
    path = os.path.join(folder, f"{spec.name}.json")
    with suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as file:
            json.dump({**_of(spec), "pace": asdict(pace)}, file)
        failpoint("plan.pace-aside")
        os.replace(f"{path}.{os.getpid()}", path)


def recall(root: str, spec: StudySpec) -> Pace | None:
    """The pace that was kept for the same command with the same resource; None: none was."""
    try:
        found = json.loads(safe_read(os.path.join(root, _FOLDER), f"{spec.name}.json"))
        if {key: found[key] for key in _of(spec)} != _of(spec):
            return None
        pace = Pace(**found["pace"])
        return pace if pace.run_s(1) >= 0 and pace.runs > 0 and pace.trial_bytes >= 0 else None
    except (ContractError, OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _of(spec: StudySpec) -> dict[str, Any]:
    resource = None if spec.resource is None else spec.resource.name
    return {"command": list(spec.command), "model_dir": spec.model_dir, "resource": resource}
