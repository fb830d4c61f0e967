"""A study at a server, from Python: a copy of its event log is read as that of a study here, and what is to be done is
asked of the server."""

from __future__ import annotations

import atexit
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpo_engine.api.any_study import AnyStudy, show
from hpo_engine.client.connection import Connection, part
from hpo_engine.client.mirror import Following, Mirror, cache_folder
from hpo_engine.client.servers import found_server
from hpo_engine.errors import EngineError, SpecError, StudyLocked, StudyNotFound

if TYPE_CHECKING:
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec

_FRESH_S = 0.2  # news are not asked for again so soon
_WAIT_S = 20.0  # how long one request waits for news
_MORE_S = 10.0  # beyond the grace period of its trials
_QUEUED = ("queued", "running")


class RemoteStudy(AnyStudy):
    """A study at a server. It can be used as one that runs here; what its trials left stays at the server."""

    def __init__(self, mirror: Mirror) -> None:
        from hpo_engine.control.reading import Reader

        self._mirror, self._asked = mirror, 0.0
        self._paths, self._reader = mirror.paths, Reader(mirror.paths)

    @classmethod
    def at(cls, server: str, study: str) -> RemoteStudy:
        """A study that exists there. Raises StudyNotFound, and what a `Connection` raises."""
        if os.sep in study:
            raise StudyNotFound(f'no study "{study}" at {server}: name a study there, not a folder')
        mirror = Mirror(connected(server), study, cache_folder(os.environ))
        atexit.register(mirror.close)
        mirror.sync()
        return cls(mirror)

    @property
    def name(self) -> str:
        return self._mirror.study

    @property
    def server(self) -> str:
        """The server's address."""
        return self._mirror.connection.server.url

    @property
    def folder(self) -> str:
        """Its folder at the server, as `host:/folder`."""
        self._look()
        return self._paths.root

    @property
    def history(self) -> History:
        """All that is known of it. Raises EngineError while it waits for its turn, and what a `Connection` raises."""
        self._look()
        if not self._mirror.begun:
            raise EngineError(f"{self.name} is {self._mirror.state}: it has not begun yet; wait() waits for that, too")
        return self._reader.read()

    @property
    def state(self) -> str:
        """As of any study, or queued: it waits for its turn."""
        self._look()
        return self._mirror.state

    @property
    def running(self) -> bool:
        """Whether an engine runs it, or is about to."""
        self._look()
        return self._mirror.led

    def wait(self, timeout: float | None = None) -> RemoteStudy:
        deadline = None if timeout is None else time.monotonic() + timeout
        began = self.running
        while self._mirror.led:
            left = _WAIT_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.name} still runs after {timeout:g} s")
            self._mirror.sync(min(_WAIT_S, left))
        return self._ended(began)

    def stop(self, *, kill: bool = False) -> RemoteStudy:
        self._post("stop", {"kill": kill})
        grace_s = self._reader.read().spec.trial.grace_s if self._mirror.begun else 0.0
        deadline = time.monotonic() + grace_s + _MORE_S
        while self.running:
            if time.monotonic() > deadline:
                raise EngineError(f"{self.name}: it has not stopped yet")
            self._mirror.sync(1.0)
        return self

    def resume(
        self,
        *,
        trials: int | None = None,
        runs: int | None = None,
        parallel: int | None = None,
        time_limit: str | float | None = None,
        wait: bool = True,
        quiet: bool = False,
    ) -> RemoteStudy:
        limits = {"trials": trials, "runs": runs, "parallel": parallel, "time_limit": time_limit}
        self._post("resume", {name: value for name, value in limits.items() if value is not None})
        return self.follow(quiet=quiet) if wait else self

    def retry(self, *, wait: bool = True, quiet: bool = False) -> RemoteStudy:
        self._post("retry")
        return self.follow(quiet=quiet) if wait else self

    def enqueue(
        self, configurations: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None, **params: Any
    ) -> None:
        self._post("enqueue", {"configurations": self._configurations(configurations, params)})

    def continued(self, spec: StudySpec, given: Mapping[str, int | None], *, wait: bool, quiet: bool) -> RemoteStudy:
        """It is submitted again: it goes on, with new limits if these differ.

        Args:
            spec, given: what is submitted, and its limits from beside the file.

        Raises:
            StudyExists: it is another study. SpecError: a new limit is below what it has had.
        """
        from hpo_engine.control.changes import changed_limits
        from hpo_engine.control.submitting import complete

        if self._mirror.begun:
            history = self.history
            there = replace(spec, model_dir=history.opened_spec.model_dir)
            changes = changed_limits(history, there, given, self._paths)
            if not self.running and not complete(history, changes):
                limits = {("time_limit" if name == "time_s" else name): value for name, value in changes.items()}
                self._post("resume", {name: value for name, value in limits.items() if value is not None})
            elif self.running and changes:
                raise StudyLocked(f"{self.name} runs at {self.server} already; stop it to change {', '.join(changes)}")
        return self.follow(quiet=quiet) if wait else self

    def follow(self, *, quiet: bool = False) -> RemoteStudy:
        """Displays it until it has ended. Ctrl-C stops it, so that it can go on; pressed again, it kills trials."""
        interrupts = 0
        while True:
            try:
                if not quiet and not interrupts:
                    self._display()
                self.wait()
                break
            except KeyboardInterrupt:
                interrupts += 1
                self._post("stop", {"kill": interrupts > 1})
                more = "killing its trials" if interrupts > 1 else "stopping the study; Ctrl-C again kills its trials"
                print(f"hpo-engine: {more}", file=sys.stderr, flush=True)
        if interrupts:
            raise KeyboardInterrupt
        return self

    def _display(self) -> None:
        from hpo_engine.control.following import display

        while not self._mirror.begun and self._mirror.state in _QUEUED:
            self._mirror.sync(_WAIT_S)
        if not self._mirror.begun:
            return
        following = Following(self._mirror, show)
        try:
            display(self._mirror.paths, sys.stdout)
        finally:
            following.close()
        if following.problem is not None:
            raise following.problem

    def _look(self) -> None:
        """Asks the server what is new, unless that was just asked."""
        if time.monotonic() - self._asked > _FRESH_S:
            self._mirror.sync()
            self._asked, self._paths = time.monotonic(), self._mirror.paths  # its folder is known once it has begun

    def _post(self, do: str, body: Any = None) -> None:
        self._mirror.connection.post(f"/studies/{part(self.name)}/{do}", body)
        self._mirror.sync()
        self._asked = time.monotonic()

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return _loaded, (self.server, self.name)


def _loaded(server: str, study: str) -> RemoteStudy:
    return RemoteStudy.at(server, study)


def connected(server: str) -> Connection:
    """The server of that address, or host. Raises SpecError."""
    return Connection(found_server(server, os.environ), again=lambda text: show(f"{text}; trying again"))


def sent(
    server: str, spec: StudySpec, text: str, file: str, given: Mapping[str, int | None], seed: int | None
) -> RemoteStudy:
    """Submits a study with its folder. When it returns, the server does not lose it any more, and has it once.

    Args:
        spec: what the text says, with `given` and `seed`. file: what messages call the text.

    Raises:
        SpecError: the server refuses it, or its folder cannot be sent. StudyExists. ServerAway.
    """
    from hpo_engine import assembly
    from hpo_engine.client.packing import form, packed
    from hpo_engine.client.texts import sent_text
    from hpo_engine.contract.paths import runs_root

    connection, stale = connected(server), assembly.metric_files(spec)
    package = packed(spec.model_dir, excluded=[runs_root(None, os.environ)], stale=stale, patterns=spec.exclude)
    for line in package.notes:
        show(line)
    body = form(sent_text(text, file, spec, given, seed), package, lambda count: None)
    headers = {"Idempotency-Key": secrets.token_hex(16)}  # sent again after a lost answer, it is the same study
    try:
        connection.request("POST", "/studies", body=body, headers=headers, safe=True, patience_s=600.0)
    except SpecError as error:
        raise SpecError(error.problems, file) from None
    return RemoteStudy.at(server, spec.name)
