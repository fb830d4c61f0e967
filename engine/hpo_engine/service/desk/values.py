"""What the service speaks about: who asks, what was uploaded, and a study as it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec


@dataclass(frozen=True)
class Caller:
    """Who asks. `how`: the kind of credentials, "basic", "token" or "session". `agent`: the client's User-Agent."""

    name: str
    admin: bool = False
    how: str = "token"
    agent: str = ""


@dataclass(frozen=True)
class Model:
    """An upload in the spool: a "tar" (plain or gzip) or a single "script". `path`: the spool file, absolute; `name`:
    the part's filename, "" if it has none; `size` in bytes."""

    kind: str
    path: str
    name: str
    size: int


@dataclass(frozen=True)
class View:
    """A study as it stands.

    `state`: "queued" (acknowledged, no engine has begun), "running", "finished", "failed", "stopped", or "interrupted"
    (its engine was killed; the service or `resume` continues it). `history`: None while the study has no folder yet, or
    if its log cannot be read (`problem` says why). `elsewhere`: who leads it, if that is not this service; else "".
    `version`: another one whenever anything of the view has changed, for caches. `created`: UTC seconds.
    """

    name: str
    owner: str
    state: str
    created: float
    version: str
    spec: StudySpec | None = None
    history: History | None = None
    paths: StudyPaths | None = None
    elsewhere: str = ""
    problem: str = ""
