"""MLflow's store in files: `EXPERIMENT/RUN/metrics/NAME` with a line `time value step` for each value."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence

from hpo_engine.contract.binding import ATTEMPT_TAG as TAG
from hpo_engine.contract.sources.files import MAX_LINE, GrowingFile
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.mlflow.points import Point
from hpo_engine.contract.sources.numbers import number
from hpo_engine.errors import ContractError
from hpo_engine.study.objective import Row
from hpo_engine.system.files import safe_read

METRIC = re.compile(r"(?P<run>(?:.*/)?\d{1,20}/(?P<id>[0-9a-f]{32}))/metrics/(?P<name>.+)")
_MOST_FILES = 1000  # of an attempt
_EVERY_S = 0.3  # between two looks at a store that others use
_SHARE = 200  # a look is repeated after this many times the processor time that it took
_MOST_RUNS = 20_000  # of a store that are looked at


class MetricFile(GrowingFile):
    """The values of one metric of one run.

    Args:
        top: the folder of the store, or of the trial; name: the path of the file below it.
    """

    def __init__(self, trial: TrialFiles, top: str, name: str, called: str, before: int = 0) -> None:
        self.before = before
        found = METRIC.fullmatch(name)
        self.run, self.metric = (found["id"], found["name"]) if found else ("", name)
        self.points: list[Point] = []
        super().__init__(trial, name, top, called)
        if top not in (trial.paths.result_dir, trial.paths.log_dir):
            self._root = top

    def begin(self) -> None:
        self.points = []

    def begin_reports(self) -> None:
        self.points = []

    def rows_of(self, lines: Iterable[bytes]) -> Iterator[Row]:
        for line in lines:
            if (point := self._point(line)) is not None:
                self.points.append(point)
                yield Row(point.step, {self.metric: point.value})

    def _point(self, line: bytes) -> Point | None:
        words = line[: MAX_LINE + 1].split()
        if len(words) not in (2, 3) or max(map(len, words)) > 400:
            return None
        try:
            step = int(words[2]) if len(words) == 3 else 0
            time_ms, value = int(words[0]), number(words[1].decode())
        except (ValueError, OverflowError):
            return None
        return Point(self.run, self.metric, value, step, time_ms) if -(2**63) <= step < 2**63 else None


class SharedFiles:
    """The files of metrics of an attempt's runs, in a store that others use as well.

    Args:
        top: the store's folder (absolute); nonce: of the attempt, which its runs have as a tag.
    """

    def __init__(self, top: str, nonce: str) -> None:
        self.top, self._nonce = top, nonce.encode()
        self._not_before = 0.0
        self._found: list[str] = []
        self._own: dict[str, bool] = {}  # by the path of a run: whether it is the attempt's
        self._listed: dict[str, tuple[int, Sequence[str]]] = {}

    def names(self) -> list[str]:
        """Their paths below the store. Never raises; looks at the folders every 0.3 s at most."""
        if time.monotonic() < self._not_before:
            return self._found
        started = time.thread_time()
        self._find_own()
        found = [name for run, own in self._own.items() if own for name in _files(self.top, f"{run}/metrics")]
        self._found = found[:_MOST_FILES]
        self._not_before = time.monotonic() + max(_EVERY_S, _SHARE * (time.thread_time() - started))
        return self._found

    def _find_own(self) -> None:
        for experiment in self._names(""):
            for run in self._names(experiment)[:_MOST_RUNS] if experiment.isdecimal() else ():
                path = f"{experiment}/{run}"
                if path not in self._own and len(run) == 32:
                    own = self._is_own(path)
                    if own is not None:
                        self._own[path] = own

    def _names(self, inside: str) -> Sequence[str]:
        """What is in a folder, listed again only if it has changed."""
        try:
            stamp = os.lstat(f"{self.top}/{inside}").st_mtime_ns
            before = self._listed.get(inside)
            if before is None or before[0] != stamp:
                self._listed[inside] = before = (stamp, sorted(os.listdir(f"{self.top}/{inside}")))
            return before[1]
        except (OSError, ValueError):
            return ()

    def _is_own(self, run: str) -> bool | None:
        """None: it is being made, and its tags may be yet to come."""
        try:
            return safe_read(f"{self.top}/{run}/tags", TAG, 1000, called="the store").strip() == self._nonce
        except (ContractError, OSError):
            return False if _files(self.top, f"{run}/metrics") else None


def tag_of(folder: str) -> str | None:
    """The attempt that the run in a folder is tagged with; None: it has no such tag."""
    try:
        return safe_read(f"{folder}/tags", TAG, 1000, called="the run").decode(errors="replace").strip()
    except (ContractError, OSError):
        return None


def _files(top: str, inside: str) -> list[str]:
    """Paths of files below a folder of the store; names of metrics may have slashes."""
    found: list[str] = []
    for folder, _, names in os.walk(f"{top}/{inside}"):
        found += [f"{folder}/{name}"[len(top) + 1 :] for name in sorted(names)]
        if len(found) > _MOST_FILES:
            break
    return found
