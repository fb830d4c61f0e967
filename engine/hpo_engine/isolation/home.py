"""Where an isolated searcher's process runs, and what it leaves: the same for every kind of one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from hpo_engine.contract.paths import StudyPaths


@dataclass(frozen=True)
class Home:
    """`log`: what the process prints is appended to it; `state`: the file of what it has to remember. "": nowhere."""

    log: str = ""
    state: str = ""

    @classmethod
    def of(cls, paths: StudyPaths) -> Home:
        return cls(paths.searcher_log, paths.searcher_state)


def environment(env: Mapping[str, str], python: str) -> dict[str, str]:
    """The environment for an interpreter: the engine's own, and if that is another one, as if it had been activated.

    Sets of text are in the same order in each run, so that a plugin that goes through one can be repeated.
    """
    out = {**env, "PYTHONHASHSEED": "0"}
    folder = os.path.dirname(os.path.abspath(python))
    if folder != os.path.dirname(os.path.abspath(sys.executable)):
        for name in ("PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV"):
            out.pop(name, None)
        out["PATH"] = f"{folder}:{out.get('PATH', os.defpath)}"
        if os.path.isdir(f"{os.path.dirname(folder)}/conda-meta"):
            out["CONDA_PREFIX"] = os.path.dirname(folder)
            out["CONDA_DEFAULT_ENV"] = os.path.basename(os.path.dirname(folder))
    return out
