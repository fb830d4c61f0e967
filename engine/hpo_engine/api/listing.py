"""`list_studies`: those in a folder, or at a server, in short."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from hpo_engine.api.any_study import AnyStudy
from hpo_engine.api.study import Study


@dataclass(frozen=True)
class StudyRecord:
    """A study in a list, as it stood when it was read.

    Attributes:
        name: by which `load` finds it.
        state: as `Study.state`; or queued, at a server; or unreadable: `problem` says why.
        algorithm, metrics: what it searches with, and the metrics of its objectives.
        best: (trial, value) by the first objective; None: no trial has a result yet.
        done, total: trials (or runs) that have ended, and how many there will be (None: no limit).
        counts: trials by state. last_at: UTC seconds of the latest event.
        root: the folder of the studies; "" at a server. server: its address; "" here. owner: who submitted it there.
    """

    name: str
    state: str
    algorithm: str = ""
    metrics: tuple[str, ...] = ()
    best: tuple[int, float] | None = None
    done: int = 0
    total: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    last_at: float = 0.0
    problem: str = ""
    root: str = field(default="", repr=False)
    server: str = field(default="", repr=False)
    owner: str = ""

    def load(self) -> AnyStudy:
        """The study itself."""
        if self.server:
            return Study.load(self.name, server=self.server)
        return Study.load(os.path.join(self.root, self.name))


def list_studies(*, root: str | os.PathLike[str] | None = None, server: str | None = None) -> list[StudyRecord]:
    """The studies in a folder, or at a server those that you may see, by name.

    Args:
        root: the folder of the studies; None: $HPO_ENGINE_ROOT, else ./hpo-runs.
        server: the address of a server, or the host of one that `hpo-engine login` knows.

    Raises:
        SpecError: both are given, or no such server is known. EngineError: the server does not answer.
    """
    from hpo_engine.errors import SpecError

    if server is None:
        return _here(root)
    if root is not None:
        raise SpecError("name a root or a server, not both")
    return _there(server)


def _here(root: str | os.PathLike[str] | None) -> list[StudyRecord]:
    from hpo_engine.api.running import studies_folder
    from hpo_engine.control.listing import studies_in

    folder, out = studies_folder(root), []
    for one in studies_in(folder):
        found = one.summary
        if found is None:
            out.append(StudyRecord(one.name, one.state, problem=one.problem, root=folder))
            continue
        out.append(StudyRecord(
            one.name, one.state, found.algorithm, found.metrics, found.best, found.done, found.total, found.counts,
            found.last_at, root=folder,
        ))  # fmt: skip
    return out


def _there(server: str) -> list[StudyRecord]:
    from hpo_engine.api.remote import connected

    connection, out = connected(server), list[StudyRecord]()
    while True:
        page = connection.get("/studies", {"offset": len(out), "limit": 1000}).json()
        for one in page["studies"]:
            best = None if one["best"] is None else (one["best"]["trial"], one["best"]["value"])
            out.append(StudyRecord(
                one["study"], one["state"], one["algorithm"] or "", tuple(one["metrics"]), best, one["done"],
                one["total"], one["counts"], one["last_at"], one["problem"],
                server=connection.server.url, owner=one["owner"],
            ))  # fmt: skip
        if not page["studies"] or len(out) >= page["total"]:
            return out
