"""Metrics that a script logs with MLflow, wherever it keeps them: in the trial's folders, in a store that trials share,
or on a server.

A run is the attempt's if it has its tag, which MLflow gives it because the environment of an attempt asks for it
(`binding`). In the trial's own folders a run without any such tag counts as well, if it began after the attempt.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from hpo_engine.contract.sources.found import Found, FoundFile
from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.contract.sources.mlflow.database import Database, is_store
from hpo_engine.contract.sources.mlflow.files import METRIC, MetricFile, SharedFiles, tag_of
from hpo_engine.contract.sources.mlflow.points import Point, RowsOfPoints
from hpo_engine.contract.sources.mlflow.server import Server
from hpo_engine.errors import ContractError
from hpo_engine.plugins.card import Card, Option
from hpo_engine.study.objective import Row
from hpo_engine.system.files import Missing

VARIABLE = "MLFLOW_TRACKING_URI"
_PATTERNS = ("**/metrics/**", "**/*.db", "**/*.sqlite", "**/*.sqlite3")
_MOST = 1000  # files
_WAIT_S = 3.0  # for a server, once the trial has ended
_EARLIER_MS = 2000  # that clocks may differ


class MLflow(MetricSource):
    """Rows by step, of all runs of the attempt in the order in which they were logged."""

    card = Card(
        "the runs that the trial makes with MLflow, in files, SQLite or on a server",
        options={
            "uri": Option(f"the tracking URI; default: {VARIABLE} of the trial, and stores in its folders", str, "")
        },
    )

    def __init__(self, trial: TrialFiles, *, uri: str = "") -> None:
        self.title = "runs of MLflow"
        self.patterns = _PATTERNS
        self._trial = trial
        self._found = Found(trial, _PATTERNS)
        self._seen: Sequence[object] = ()
        self._files: dict[str, MetricFile] = {}
        self._taken: dict[str, tuple[Sequence[Point], int]] = {}  # of a file: what was read of it, and how much of that
        self._databases: dict[str, Database] = {}
        self._no_stores: set[tuple[int, int]] = set()
        self._shared: SharedFiles | None = None
        self._server: Server | None = None
        known = self._elsewhere(uri or trial.env.get(VARIABLE, ""))
        if uri and not known:
            raise ValueError(f"a tracking URI is a path, file:..., sqlite:///..., or http(s)://..., not {uri!r}")
        self._rows: list[Row] = []
        self._made = RowsOfPoints()

    def look(self) -> bool:
        fresh = self._fresh()
        if fresh is None:  # a file was written anew
            self._begin()
            fresh = self._fresh() or []
        if not fresh:
            return False
        self._rows += self._made.add(fresh)
        self.rows = self._rows
        return True

    def final(self, *, cut: bool) -> Reading:
        points = self._all_local(cut)
        problem = None
        if self._server is not None:
            points += self._server.all(_WAIT_S)
            problem = f"MLflow: {self._server.problem}" if self._server.problem else None
        if points:
            return Reading(tuple(RowsOfPoints().add(points)), "MLflow", problem)
        if problem:
            return Reading(source="MLflow", problem=problem, broken=True)
        raise Missing(f"{self.title} are missing")

    def steps(self) -> str:
        return "a step is MLflow's"

    def _elsewhere(self, uri: str) -> bool:
        """Whether a URI is of a known kind. A store outside of the trial's folders is looked at from now on, one inside
        is found there."""
        try:
            parts = urlsplit(uri)
        except ValueError:
            return False
        path = unquote(parts.path)
        if parts.scheme in ("http", "https"):
            self._server = Server(uri, self._trial.nonce, self._trial.env)
            self.title = f"runs of MLflow on {uri}"
        elif parts.scheme == "sqlite" and path.startswith("//"):
            self._databases[path[1:]] = Database(path[1:], self._trial.nonce, None)
        elif parts.scheme in ("", "file") and path.startswith("/"):
            self._shared = SharedFiles(path.rstrip("/"), self._trial.nonce)
        return parts.scheme in ("", "file", "sqlite", "http", "https")

    def _begin(self) -> None:
        self._rows, self._made, self._taken = [], RowsOfPoints(), {}
        self.rows = self._rows
        for path, known in list(self._databases.items()):
            self._databases[path] = Database(path, self._trial.nonce, known.since_ms)

    def _fresh(self) -> list[Point] | None:
        """The values that came since the last call; None: some of those before are not there any more."""
        self._find()
        fresh = [point for database in self._databases.values() for point in database.fresh()]
        for path, file in self._files.items():
            file.look()
            which, count = self._taken.get(path, (file.points, 0))
            if which is not file.points:
                return None
            fresh += file.points[count:]
            self._taken[path] = (file.points, len(file.points))
        return fresh + (self._server.fresh() if self._server is not None else [])

    def _find(self) -> None:
        """Adds the files of metrics and the databases that have come."""
        found = self._found.look()
        if found is not self._seen:
            self._seen = found
            for file in found:
                if file.name.endswith((".db", ".sqlite", ".sqlite3")):
                    self._add_database(file)
                elif file.path not in self._files and len(self._files) < _MOST and self._is_own(file):
                    self._files[file.path] = MetricFile(self._trial, file.top, file.name, file.called, file.before)
        if self._shared is not None:
            for name in self._shared.names():
                path = f"{self._shared.top}/{name}"
                if path not in self._files and len(self._files) < _MOST:
                    self._files[path] = MetricFile(self._trial, self._shared.top, name, "the store of MLflow")

    def _is_own(self, file: FoundFile) -> bool:
        match = METRIC.fullmatch(file.name)
        if match is None or not self._trial.nonce:  # who does not know the attempt has all runs of its folders
            return match is not None
        return tag_of(f"{file.top}/{match['run']}") in (None, self._trial.nonce)

    def _add_database(self, file: FoundFile) -> None:
        key = (file.inode, file.size)
        if file.path in self._databases or key in self._no_stores:
            return
        if is_store(file.path):
            self._databases[file.path] = Database(file.path, self._trial.nonce, self._since_ms())
        else:
            self._no_stores.add(key)

    def _since_ms(self) -> int:
        try:
            return os.lstat(self._trial.paths.config).st_mtime_ns // 1_000_000 - _EARLIER_MS
        except OSError:
            return 0

    def _all_local(self, cut: bool) -> list[Point]:
        self._find()
        points: list[Point] = []
        for file in self._files.values():
            try:
                file.final(cut=cut)
            except (ContractError, OSError):
                continue
            points += file.points
        for database in self._databases.values():
            points += database.all()
        return points
