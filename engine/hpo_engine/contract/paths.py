"""Where a study's files are: the names in its folder and in each trial's, and how a study is found.

Imports next to nothing, for every verb of the command line begins here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from hpo_engine.errors import StudyNotFound, nearest

CONFIG = "config.json"
RESULT = "val_dict_list.json"
EMETRICS = "evaluation-metrics.txt"
OWN_EVENTS = ".hpo-engine"  # what the names of the engine's own event files end with, but for a number
OWN_SCRIPT = ("hpo_function.py", "hpo_function.pkl", "hpo_function.data", "hpo_function.json")
"""A script that was made for its study, from a function: these are in the study's copy of the script's folder only."""
SERVICE = ".service"  # beside the studies: what a service keeps, its secrets among it
SUBMITTED = "_submitted_code"  # in RESULT_DIR, for scripts of WMLA; also the label that names the folder in it


class StudyPaths(NamedTuple):
    """The folder of one study. `root` is absolute."""

    root: str

    @property
    def is_local(self) -> bool:
        """Whether the study is here, and not a copy of one at a server."""
        return True

    @property
    def source(self) -> str:
        """The study file as submitted."""
        return f"{self.root}/algo.yaml"

    @property
    def db(self) -> str:
        return f"{self.root}/study.db"

    @property
    def lock(self) -> str:
        """Names the engine that leads the study, which holds a lock (flock) on it, and the folder."""
        return f"{self.root}/engine.lock"

    @property
    def engine_log(self) -> str:
        return f"{self.root}/engine.log"

    @property
    def plugin(self) -> str:
        """The frozen copy of a search plugin's folder."""
        return f"{self.root}/plugin"

    @property
    def searcher_log(self) -> str:
        """What a searcher in a process of its own prints."""
        return f"{self.root}/searcher.log"

    @property
    def searcher_state(self) -> str:
        """What such a searcher has to remember, as bytes that only its own process understands."""
        return f"{self.root}/searcher.state"

    @property
    def unsent(self) -> str:
        """Is there if a tracker's server lacks a part of the study: `resume` then runs even a finished one."""
        return f"{self.root}/unsent"

    @property
    def inbox(self) -> str:
        """Requests to the leading engine, one JSON file each."""
        return f"{self.root}/inbox"

    @property
    def model(self) -> str:
        """The frozen copy of the model folder."""
        return f"{self.root}/model"

    @property
    def logs(self) -> str:
        return f"{self.root}/logs"

    @property
    def results(self) -> str:
        return f"{self.root}/results"

    @property
    def trials(self) -> str:
        return f"{self.root}/trials"

    @property
    def dli(self) -> str:
        """What DLI_RESULT_FS names: `<dli>/$USER/batchworkdir` is a link to `results`."""
        return f"{self.root}/dli"

    def trial(self, trial_id: int) -> TrialPaths:
        return TrialPaths(self, trial_id)


class TrialPaths(NamedTuple):
    """The folders of one trial; those of an attempt take its number (from 1)."""

    study: StudyPaths
    trial_id: int

    @property
    def name(self) -> str:
        """The trial's folder name, SUBID and DLI_EXECID."""
        return str(self.trial_id)

    @property
    def result_dir(self) -> str:
        return f"{self.study.results}/{self.trial_id}"

    @property
    def log_dir(self) -> str:
        return f"{self.study.logs}/{self.trial_id}"

    @property
    def own(self) -> str:
        """The engine's own folder of the trial; no script writes here."""
        return f"{self.study.trials}/{self.trial_id}"

    @property
    def folders(self) -> tuple[str, str, str]:
        """All that the trial has on the disk."""
        return self.result_dir, self.log_dir, self.own

    @property
    def state_dir(self) -> str:
        """JOB_STATE_DIR; its `logs` is a link to the log folder."""
        return f"{self.own}/state"

    @property
    def config(self) -> str:
        return f"{self.result_dir}/{CONFIG}"

    @property
    def result_file(self) -> str:
        return f"{self.result_dir}/{RESULT}"

    def attempt(self, number: int) -> str:
        """Records of one attempt: `started`, `exit.json`, `output.log`; once it is set aside also `result` and `logs`.

        The first attempt's are in the trial's own folder, for most trials have no other; later ones have a folder each.
        """
        return self.own if number == 1 else f"{self.own}/{number}"


def is_own_events(name: str) -> bool:
    """Whether an event file of this name is the engine's own: `...hpo-engine` or `...hpo-engine.1`."""
    stem, _, number = name.rpartition(OWN_EVENTS)
    return bool(stem) and (not number or (number[0] == "." and number[1:].isdecimal()))


def absolute(path: str, base_dir: str = "") -> str:
    """The absolute path without "." and "..", leading where the kernel would go: behind a link to a folder, ".." is
    the parent of what the link leads to. Other links stay as they are named (a virtual environment's python is one).

    Args:
        base_dir: what a relative path is relative to; "": the current folder.
    """
    whole = os.path.join(os.getcwd(), base_dir, path)
    done = "/"
    for part in whole.split("/"):
        if part == "..":
            if os.path.islink(done):
                done = os.path.realpath(done)
            done = os.path.dirname(done)
        elif part not in ("", "."):
            done = f"{done.rstrip('/')}/{part}"
    return done


def is_below(path: str, folder: str) -> bool:
    """Whether a path is the folder or in it, by their texts (both absolute, without "..")."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def identity(folder: str | bytes | os.PathLike[str]) -> tuple[int, int]:
    """Device and inode of a folder: a move keeps them, and a copy has others. Raises OSError."""
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def runs_root(root: str | None, env: Mapping[str, str]) -> str:
    """The folder of the studies: `root`, else $HPO_ENGINE_ROOT, else ./hpo-runs (absolute)."""
    return absolute(root or env.get("HPO_ENGINE_ROOT") or "hpo-runs")


def locate(study: str, root: str) -> StudyPaths:
    """The study of that name under `root`, or at that path. Raises StudyNotFound, with the nearest name."""
    for folder in (os.path.join(root, study) if os.sep not in study else "", absolute(study)):
        if folder and is_study(StudyPaths(folder)):
            return StudyPaths(folder)
    if os.sep in study:
        raise StudyNotFound(f"no study at {absolute(study)}")
    names = [os.path.basename(p.root) for p in studies(root)]
    hint = nearest(study, names) if names else "; name its folder, or the root with --root"
    raise StudyNotFound(f'no study "{study}" under {root}{hint}')


def studies(root: str) -> list[StudyPaths]:
    """The studies under `root`, by name."""
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return []
    found = [StudyPaths(os.path.join(root, name)) for name in names if not name.startswith(".")]
    return [paths for paths in found if is_study(paths)]


def is_study(paths: StudyPaths) -> bool:
    """Whether a study is there, also if its event log was removed."""
    return os.path.lexists(paths.db) or (os.path.isfile(paths.source) and os.path.isdir(paths.results))
