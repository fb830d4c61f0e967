"""The cores and GPUs of this computer as one study takes them, beside the studies of engines that it does not know.

`sharing` says who may take what, `ledger` records it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from hpo_engine.executors.ledger import Ledger, all_leases, overview
from hpo_engine.executors.sharing import Lease, Peer, Place, Rival, Use, capacity
from hpo_engine.study.spec import Resources
from hpo_engine.system import threads

_SEEN_S = 1.0  # from one sign of life of a study that waits to the next
_SHOWN_S = 1.0  # a shorter wait is not worth a line

_Found = tuple[Lease, tuple[str, ...]]
"""What an attempt may take, and the names of the GPUs in it."""


class Machine:
    """Gives this study's attempts cores and GPUs that no attempt of any study has.

    Args:
        study: an identity of the study, the same for each of its engines; name: what others call it.
        env: the caller's environment, which may name the ledger; clock: monotonic seconds.

    Raises:
        SpecError: one trial alone asks for more than the machine has.
    """

    def __init__(
        self,
        resources: Resources,
        place: Place,
        study: str = "",
        name: str = "",
        env: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.place, self._clock = place, clock
        self.at_once = capacity(resources, place)
        cores, gpus = place.cores, list(place.gpus.values())
        me = Peer(study, name, self.at_once, resources.cpus, cores.mask, cores.quota, cores.group, gpus)
        self._ledger = Ledger(me, env, clock)
        self._granted = 0.0
        self._asked = False  # since the last `turn_over`
        self._found: list[_Found] = []  # by `free`, and not taken yet; as good as new until something changes
        self._found_for: Resources | None = None

    def resize(self, resources: Resources) -> None:
        """The study may run another number of trials at a time from now on."""
        self.at_once, self._found = capacity(resources, self.place), []
        self._ledger.publish(replace(self._ledger.me, at_once=self.at_once))

    def free(self, request: Resources, wanted: int) -> int:
        """How many of `wanted` attempts can start now. Fewer than the study may run: it waits from now on for room."""
        running = len(self._ledger.mine)
        limit = min(wanted, request.parallel - running, self.at_once - running)
        if limit <= 0:
            return 0
        self._find(request, limit)
        if len(self._found) < limit and self._ledger.others:
            with self._ledger.turn() as ours:
                if ours and self._ledger.prune():
                    self._find(request, limit)
        self._say(request, waits=len(self._found) < limit)
        return len(self._found)

    def take(self, nonce: str, request: Resources) -> tuple[str, ...] | None:
        """The GPUs (by the caller's names) of an attempt that may start now; None: it waits, ask again."""
        with self._ledger.turn() as ours:
            if ours:
                if self._ledger.look() or not self._found or self._found_for != request:
                    self._find(request, 1)
                if not self._found and self._ledger.prune():
                    self._find(request, 1)
                if self._found:
                    lease, names = self._found.pop(0)
                    self._ledger.put(nonce, lease)
                    self._got()
                    return names
        self._say(request, waits=True)
        return None

    def hold(self, nonce: str, request: Resources, gpus: Iterable[str]) -> None:
        """After a restart: an attempt that runs has what it had, whatever others have meanwhile.

        Args:
            gpus: what it was given as far as that is known; devices that are gone are not counted.
        """
        self._found = []
        if not self._ledger.hold(nonce):
            self._ledger.put(nonce, self._lease(request, gpus))

    def give_back(self, nonce: str) -> None:
        """The attempt and all its processes are gone."""
        self._found = []
        self._ledger.drop(nonce)

    def lease_path(self, nonce: str) -> str | None:
        """The file whose lock the attempt's shim holds while its processes live; None: there is none."""
        return self._ledger.path_of(nonce)

    def turn_over(self) -> None:
        """To be called before the engine waits: others may have what has been given back and not been taken again, and
        a study that has not asked since the last time waits for nothing."""
        self._found = []
        self._ledger.flush()
        if not self._asked and self._ledger.me.waits:
            self._ledger.publish(replace(self._ledger.me, waits=False))
        self._asked = False

    @property
    def waits(self) -> str:
        """A line on whose trials this study waits for; "" if it does not, or only for a moment."""
        return _waiting_line(self._ledger.me, self._ledger.others.values(), self._clock())

    @property
    def is_waiting(self) -> bool:
        return self._ledger.me.waits

    def threads(self) -> int | None:
        """Threads that the libraries of each trial may have, so that all trials of all studies keep to the cores; None:
        as many as they like, or the study file says how many."""
        if self._ledger.me.cpus is not None:
            return None
        cores, at_once, _ = self.sharers()
        return threads.share(cores, self.place.cores.mask.bit_count(), at_once)

    def sharers(self) -> tuple[int, int, int]:
        """Of the cores that trials without a number of their own share: how many, among how many trials at a time, of
        how many studies; all are counted whose engines ran when the ledger was last read."""
        cores, at_once, studies = self.place.cores.count, self.at_once, 1
        for peer in self._ledger.peers:
            if not peer.mask & self.place.cores.mask:
                continue
            if peer.cpus is None:
                at_once += peer.at_once
                studies += 1
            else:
                cores -= peer.cpus * peer.at_once
        return max(1, cores), at_once, studies

    def close(self) -> None:
        """Attempts that run keep what they have."""
        self._ledger.close()

    def _find(self, request: Resources, limit: int) -> None:
        """Finds what this study may take at this moment, for up to `limit` trials."""
        self._ledger.look()
        self._found, self._found_for = [], request
        now, ours = self._clock(), self._ledger.mine.values()
        leases = [*ours, *self._ledger.others.values()]
        mine, used = Use.of(self.place, ours), Use.of(self.place, leases)
        rivals = [Rival(peer, leases) for peer in self._ledger.peers if peer.waits_now(now)]
        need, gpus = self._need(request), request.gpus or 0.0
        while len(self._found) < limit and used.fits(need) and (names := used.pick(gpus)) is not None:
            lease = self._lease(request, names)
            if any(rival.comes_before(mine.share(), self._granted) and rival.needs_room_of(lease) for rival in rivals):
                return
            self._found.append((lease, names))
            for use in (mine, used, *(rival.used for rival in rivals)):
                use.add(lease)

    def _lease(self, request: Resources, gpus: Iterable[str]) -> Lease:
        part = min(1.0, request.gpus or 0.0)
        cores, me = self.place.cores, self._ledger.me
        held = {self.place.gpus[name]: part for name in gpus if name in self.place.gpus}
        return Lease(me.study, me.name, self._need(request), cores.mask, cores.group, held)

    def _need(self, request: Resources) -> float:
        """Cores of one trial."""
        if request.cpus is not None:
            return float(request.cpus)
        return min(1.0, self.place.cores.count / self.at_once)

    def _got(self) -> None:
        self._granted, me = self._clock(), self._ledger.me
        if me.waits:
            self._ledger.publish(replace(me, since=self._granted, granted=self._granted))

    def _say(self, request: Resources, *, waits: bool) -> None:
        """Tells others when this study begins to wait, that it still does, and when it no longer does."""
        self._asked = True
        now, me = self._clock(), self._ledger.me
        if waits and not me.waits:
            need, gpus = self._need(request), request.gpus or 0.0
            self._ledger.publish(
                replace(me, waits=True, cores=need, need_gpus=gpus, since=now, seen=now, granted=self._granted)
            )
        elif waits and now > me.seen + _SEEN_S:
            self._ledger.publish(replace(me, seen=now))
        elif me.waits and not waits:
            self._ledger.publish(replace(me, waits=False))


def waits(folder: str, env: Mapping[str, str]) -> str:
    """A line on whose trials the study in `folder` waits for, as its engine last published; "" if it does not."""
    seen = overview(study_id(folder), env) if os.path.isdir(folder) else None
    return "" if seen is None else _waiting_line(*seen, time.monotonic())


def usage(env: Mapping[str, str]) -> list[dict[str, object]] | None:
    """What running trials hold, by study: its name, how many trials, cores, and the part of each GPU; None: that cannot
    be known."""
    leases = all_leases(env)
    if leases is None:
        return None
    found: dict[str, dict[str, Any]] = {}
    for lease in leases:
        one = found.setdefault(lease.study, {"study": lease.name, "trials": 0, "cores": 0.0, "gpus": {}})
        one["trials"] += 1
        one["cores"] = round(one["cores"] + lease.cores, 6)
        for gpu, part in lease.gpus.items():
            one["gpus"][gpu] = round(one["gpus"].get(gpu, 0.0) + part, 6)
    return sorted(found.values(), key=lambda one: str(one["study"]))


def study_id(folder: str) -> str:
    """What a study is called in the ledger: names can be given twice, and folders can be moved."""
    found = os.stat(folder)
    return f"{found.st_dev:x}-{found.st_ino:x}"


def _waiting_line(me: Peer, others: Iterable[Lease], now: float) -> str:
    return me.waiting_line(others) if me.waits and now > me.since + _SHOWN_S else ""
