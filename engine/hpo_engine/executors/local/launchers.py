"""The launchers of one executor: which one takes an order, and what becomes of those that die, wait or stand still.

Knows nothing of attempts but what decides where an order goes.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Iterator
from typing import Any

from hpo_engine.core.ports import Launch
from hpo_engine.executors.local.client import Link
from hpo_engine.executors.preload import warm

_log = logging.getLogger(__name__)
_DEATHS = 5  # launchers of one kind in a row that die before they have run anything
_WARM_DEATHS = 2
_WARM_UP_S = 120.0
_LONG_S = 2.0  # of imports that the user hears of
_TOLD_BY = 3  # attempts that have ended when the user hears what the preload gains, at the latest
_MOST_WARM = 16  # launchers with imports done: each holds them in memory
COLD = ""  # the key of the launcher that has imported nothing


class Launchers:
    """Args:
    interpreter: Python of the launcher that imports nothing; errors: file for what launchers may have to say;
    notices: descriptor of the pipe in which shims tell of their ends.
    poller: hears of their sockets.
    say: called with one-line notices about the preload.
    """

    def __init__(
        self, interpreter: str, errors: str, notices: int, poller: select.poll, say: Callable[[str], None]
    ) -> None:
        self._interpreter, self._errors, self._notices = interpreter, errors, notices
        self._poller, self._say = poller, say
        self._links: dict[str, Link] = {}
        self._keys: dict[int, str] = {}  # by the descriptor of the socket
        self._deaths: dict[str, int] = {}
        self._too_cold = ""  # why no more attempts are forked from warm launchers
        self._told_importing = self._told_warm = self._told_still = False
        self._warm_ends = 0

    def __iter__(self) -> Iterator[tuple[str, Link]]:
        return iter(list(self._links.items()))

    def of_socket(self, fd: int) -> str | None:
        return self._keys.get(fd)

    def get(self, key: str | None) -> Link | None:
        return self._links.get(key or COLD)

    def waits(self, key: str | None) -> bool:
        """Whether orders for it have not been sent, as it is not ready."""
        link = self.get(key)
        return link is not None and not link.ready

    def start_of(self, launch: Launch, argv0: str) -> warm.Start | None:
        """What the launcher is started with that a preloaded start of the attempt needs; None: the cold one will do."""
        if launch.preload == "off" or self._too_cold:
            return None
        modules = None if isinstance(launch.preload, str) else launch.preload
        start = warm.start_of(launch, argv0, modules)
        if start is None or (start.key not in self._links and len(self._links) > _MOST_WARM):
            return None
        return start

    def link(self, key: str, start: warm.Start | None) -> Link:
        """The launcher of that key, started if there is none. Raises OSError."""
        if key not in self._links:
            link = self._links[key] = Link(self._interpreter, start, self._errors, self._notices)
            self._keys[link.socket.fileno()] = key
            self._poller.register(link.socket, select.POLLIN)
        return self._links[key]

    def worked(self, key: str | None) -> None:
        """It has run something."""
        self._deaths.pop(key or COLD, None)

    def die(self, key: str) -> bool:
        """Whether it is no use to start another one now; asked again, one more is tried."""
        if self._deaths.get(key, 0) <= _DEATHS:
            return False
        self._deaths[key] = _DEATHS
        return True

    def lost(self, key: str) -> None:
        """It has died. Its shims go on."""
        link = self._links.pop(key, None)
        if link is not None:
            self._poller.unregister(link.socket)
            del self._keys[link.socket.fileno()]
            link.close()
        if link is not None and link.given_up:
            return
        self._deaths[key] = self._deaths.get(key, 0) + 1
        if link is None:
            return
        if key != COLD and self._deaths[key] >= _WARM_DEATHS:
            where = f" in import {link.imports}" if link.imports and not link.ready else ""
            self.go_cold(f"its process dies{where}")
        else:
            _log.warning("the launcher died; a new one takes over")

    def go_cold(self, why: str) -> None:
        if not self._too_cold:
            self._too_cold = why
            self._say(f"no preload: {why}; each trial starts with a new interpreter")

    # -- warm ones -------------------------------------------------------------------------------------------------

    def warmed(self, key: str, report: dict[str, Any]) -> None:
        """Its imports are done, or forks of it would not do."""
        link = self._links[key]
        if "problem" in report or "starved" in report:
            link.given_up = True  # it leaves by itself
        else:
            link.ready, link.report = True, report
        if "problem" in report:
            self.go_cold(report["problem"])

    def give_up_late_ones(self) -> None:
        for link in self._links.values():
            if link.ready or link.given_up:
                continue
            took = time.monotonic() - link.began
            if took > _WARM_UP_S:
                what = f"import {link.imports}" if link.imports else "its interpreter's start"
                self.go_cold(f"{what} is not done after {_WARM_UP_S:g} s")
                link.give_up()
            elif took > _LONG_S and link.imports and not self._told_importing:
                self._told_importing = True
                self._say(f"preload: importing {link.imports} ...")

    def attempt_ended(self, key: str | None, *, wanted: bool) -> None:
        """An attempt of it has ended; `wanted`: others have orders for it."""
        link = self.get(key)
        if link is None:
            return
        if not link.ready and not wanted:
            link.give_up()  # nobody waits for its imports any more
        if link.report is not None:
            self._warm_ends += 1
            if self._warm_ends == _TOLD_BY:
                self.tell_warm(link, link.report["startup_s"])

    def tell_warm(self, link: Link, seconds: float) -> None:
        """`seconds`: of a new interpreter's start and, if that is known, end, without the imports."""
        if link.report is not None and not self._told_warm:
            self._told_warm = True
            self._say(warm.told(link.report, seconds))

    def flush(self) -> None:
        """Sends on what a launcher could not take before."""
        for _, link in self:
            try:
                link.flush()
            except OSError:
                pass  # it is gone; its end of the socket says so

    def close(self) -> None:
        for link in self._links.values():
            link.close()
