"""What the service speaks about: who asks, what was uploaded, and a study as it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.store.summary import Summary
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


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class View:
    """A study as it stands.

    `owner`: who submitted it; "" if the command line has made it. `state`: "queued" (it waits for an engine of the
    service), "running", "finished", "failed", "stopped", or "interrupted" (its engine was killed; the service or
    `resume` continues it). `recovery`: of an interrupted study "pending" while the service is about to continue it,
    "failed" if it has given up; else "". `elsewhere`: who leads it, if that is not this service; else "". `problem`:
    why it failed before it had a log, why its log cannot be read, or why it cannot be continued. `version`: another
    one whenever anything of the view has changed, for caches. `created`: UTC seconds. `paths`: None while the study has
    no folder. `summary`: the study in short, None without a log.
    """

    name: str
    owner: str
    state: str
    created: float
    version: str
    paths: StudyPaths | None = None
    summary: Summary | None = None
    elsewhere: str = ""
    problem: str = ""
    recovery: str = ""
    load: Callable[[], History | None] = field(default=_nothing, repr=False, compare=False)
    read: Callable[[], StudySpec | None] = field(default=_nothing, repr=False, compare=False)

    @cached_property
    def history(self) -> History | None:
        """All of it, read when it is first asked for; None while the study has no log, or if that cannot be read."""
        return self.load()

    @cached_property
    def spec(self) -> StudySpec | None:
        """What the study is to do: from its log, or from the submitted text while it has none."""
        history = self.history
        return history.spec if history is not None else self.read()
