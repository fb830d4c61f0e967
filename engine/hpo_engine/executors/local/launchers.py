"""The pool of launchers of one executor: which one serves an attempt, and what happens when one dies or is late.

Of attempts it knows only what decides which launcher serves them.
"""

from __future__ import annotations

import json
import logging
import select
import time
from collections.abc import Callable, Iterator
from typing import Any

from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.executors.local.client import NO_PRELOAD, AttemptLine, LauncherClient
from hpo_engine.executors.preload.launcherspec import LauncherSpec, spec_of
from hpo_engine.text.quoting import listed

_log = logging.getLogger(__name__)
_DEATHS = 5  # launchers of one kind in a row that die before they have run anything
_PRELOADED_DEATHS = 2
_IMPORTS_S = 120.0
_LONG_S = 2.0  # imports that take longer are announced
_TOLD_BY = 3  # attempts after whose end a line shows what the preload gains, at the latest
_MOST_PRELOADED = 16  # launchers with imports done: each holds them in memory
_NAMED = 4  # packages that the message names


class LauncherPool:
    """Args:
    interpreter: Python of the launcher that imports nothing; errors: file for the launchers' stderr; notices:
        descriptor of the pipe in which shims report their attempts' ends.
    poller: watches their sockets.
    say: called with one-line notices about the preload.
    """

    def __init__(
        self, interpreter: str, errors: str, notices: int, poller: select.poll, say: Callable[[str], None]
    ) -> None:
        self._interpreter, self._errors, self._notices = interpreter, errors, notices
        self._poller, self._say = poller, say
        self._clients: dict[str, LauncherClient] = {}
        self._sockets: dict[int, LauncherClient] = {}
        self._deaths: dict[str, int] = {}
        self._no_preload = ""  # why no more attempts are forked from launchers with imports done
        self._announced = self._told_gain = False
        self._preloaded_ends = 0

    def __iter__(self) -> Iterator[LauncherClient]:
        return iter(list(self._clients.values()))

    def of_socket(self, fd: int) -> LauncherClient | None:
        return self._sockets.get(fd)

    def spec_of(self, launch: BoundLaunch, argv0: str) -> LauncherSpec | None:
        """The launcher with imports done that can serve the attempt; None: the one without serves it."""
        if launch.preload == "off" or self._no_preload:
            return None
        modules = None if isinstance(launch.preload, str) else launch.preload
        spec = spec_of(launch, argv0, modules)
        if spec is None or (spec.key not in self._clients and len(self._clients) > _MOST_PRELOADED):
            return None
        return spec

    def client(self, spec: LauncherSpec | None) -> LauncherClient:
        """The launcher of that kind, started if there is none. Raises OSError."""
        key = NO_PRELOAD if spec is None else spec.key
        if key not in self._clients:
            client = self._clients[key] = LauncherClient(self._interpreter, spec, self._errors, self._notices)
            self._sockets[client.socket.fileno()] = client
            self._poller.register(client.socket, select.POLLIN)
        return self._clients[key]

    def read(self, client: LauncherClient) -> list[AttemptLine | dict[str, Any]] | None:
        """Its lines about attempts, and the report of its imports; None: it is gone, see `lost`."""
        lines = client.read()
        if lines is None:
            return None
        received: list[AttemptLine | dict[str, Any]] = []
        for line in lines:
            what, _, rest = line.partition(b" ")
            if what == b"preloaded":
                received.append(json.loads(rest))
            elif what == b"importing":
                client.importing = json.loads(rest)
            elif what == b"cold":
                self._tell_gain(client, float(rest))
            else:
                nonce, _, number = rest.decode().partition(" ")
                received.append(AttemptLine(what, nonce, int(number)))
        return received

    def worked(self, client: LauncherClient | None) -> None:
        """It has run something."""
        if client is not None:
            self._deaths.pop(client.key, None)

    def hopeless(self, key: str) -> bool:
        """Whether it is pointless to start another one of that kind now; the next call allows one more try."""
        if self._deaths.get(key, 0) <= _DEATHS:
            return False
        self._deaths[key] = _DEATHS
        return True

    def lost(self, key: str) -> LauncherClient | None:
        """The launcher of that kind has died (it is returned), or could not be started. Its shims continue."""
        client = self._clients.pop(key, None)
        if client is not None:
            self._poller.unregister(client.socket)
            del self._sockets[client.socket.fileno()]
            client.close()
            if client.given_up:
                return client
        self._deaths[key] = self._deaths.get(key, 0) + 1
        if client is not None and key != NO_PRELOAD and self._deaths[key] >= _PRELOADED_DEATHS:
            where = f" in import {client.importing}" if client.importing and not client.ready else ""
            self._preload_no_more(f"its process dies{where}")
        elif client is not None:
            _log.warning("the launcher died; a new one takes over")
        return client

    def flush(self) -> None:
        """Sends what launchers could not take before."""
        for client in self:
            try:
                client.flush()
            except OSError:
                pass  # it is gone; its end of the socket shows that

    def close(self) -> None:
        for client in self:
            client.close()

    # -- those with imports done -----------------------------------------------------------------------------------

    def preloaded(self, client: LauncherClient, report: dict[str, Any]) -> None:
        """Its imports are done, or its forks would not be as good as new interpreters."""
        if "problem" in report or "starved" in report:
            client.given_up = True  # it leaves by itself
        else:
            client.ready, client.report = True, report
        if "problem" in report:
            self._preload_no_more(report["problem"])

    def give_up_late_ones(self) -> None:
        """Ends those whose imports take too long; announces long ones."""
        for client in self:
            if client.ready or client.given_up:
                continue
            took = time.monotonic() - client.began
            if took > _IMPORTS_S:
                what = f"import {client.importing}" if client.importing else "its interpreter's start"
                self._preload_no_more(f"{what} is not done after {_IMPORTS_S:g} s")
                client.give_up()
            elif took > _LONG_S and client.importing and not self._announced:
                self._announced = True
                self._say(f"preload: importing {client.importing} ...")

    def attempt_ended(self, client: LauncherClient | None, *, wanted: bool) -> None:
        """An attempt of that launcher has ended; `wanted`: others wait for it or run under it."""
        if client is None:
            return
        if not client.ready and not wanted:
            client.give_up()  # nobody waits for its imports any more
        if client.report is not None:
            self._preloaded_ends += 1
            if self._preloaded_ends == _TOLD_BY:
                self._tell_gain(client, client.report["startup_s"])

    def _preload_no_more(self, why: str) -> None:
        if not self._no_preload:
            self._no_preload = why
            self._say(f"no preload: {why}; each trial starts with a new interpreter")

    def _tell_gain(self, client: LauncherClient, cold_s: float) -> None:
        """`cold_s`: of a new interpreter's start and, if that is known, end, without the imports."""
        if client.report is not None and not self._told_gain:
            self._told_gain = True
            self._say(gain(client.report, cold_s))


def gain(report: dict[str, Any], cold_s: float) -> str:
    """`preload: torch, lightning imported in 5.1 s, then 12 ms per trial (cold 6.6 s)`.

    Args:
        report: see `launcher._preloaded`; cold_s: processor time of a new interpreter's start and end, without the
            imports.
    """
    names = listed(report["packages"], _NAMED)
    imported = f"{names} imported in {_time(report['seconds'])}, then " if names else ""
    return f"preload: {imported}{_time(report['fork_s'])} per trial (cold {_time(cold_s + report['seconds'])})"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{max(1.0, 1000 * seconds):.0f} ms"
