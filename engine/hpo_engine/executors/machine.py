"""What a study may take of this computer, beside the studies of engines that it does not know.

An attempt holds the cores and GPUs that it needs. One that says nothing of cores (`trial.cpus`) needs one, or less if
the study runs more trials at a time than there are cores: a study that is alone runs as many as `parallel` says, and
several studies together take no more than one that fills the machine.

What becomes free goes to the study that holds the least share of the machine; among equals to the one that has waited
longest since it last got something, so that equal studies take turns. Room that a study with less is waiting for is
not taken from under it by one with smaller trials, but not for ever either: if it still does not fit after ten minutes,
others go first for ten minutes, and so on in turn.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from hpo_engine.errors import Problem, SpecError
from hpo_engine.executors.devices import Cores, find_gpus, gpu_identities
from hpo_engine.executors.ledger import Lease, Ledger, Peer, overview
from hpo_engine.study.spec import Resources
from hpo_engine.system import threads

_ROUNDING = 1e-9
_RESERVED_S = 600.0
_SILENT_S = 5.0  # an engine that has not said so for this long waits no more
_SAY_S = 1.0  # from one sign of life of a study that waits to the next
_TOLD_S = 1.0  # a wait that is shorter is not worth a line


@dataclass(frozen=True)
class Place:
    """What this machine has for the trials of a study. `gpus`: by the name that CUDA_VISIBLE_DEVICES has for it, the
    identity that all studies know it by."""

    cores: Cores
    gpus: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def here(cls, env: Mapping[str, str], *, gpus: bool) -> Place:
        """`gpus`: whether they are asked for; else nobody looks for any."""
        names = find_gpus(env) if gpus else ()
        return cls(Cores.here(), gpu_identities(names))


def capacity(resources: Resources, place: Place) -> int:
    """How many trials of a study fit at a time if it has the machine to itself.

    Raises:
        SpecError: one trial alone asks for more than the machine has.
    """
    limit, need, cores = resources.parallel, resources.gpus or 0.0, place.cores.count
    if resources.cpus is not None:
        if resources.cpus > cores:
            raise SpecError([Problem("trial.cpus", f"{resources.cpus} cores a trial, but this machine has {cores}")])
        limit = min(limit, cores // resources.cpus)
    if need > len(place.gpus):
        has = f"{len(place.gpus)} GPUs ({', '.join(place.gpus)})" if place.gpus else "no GPUs (see hpo-engine doctor)"
        raise SpecError([Problem("trial.gpus", f"{need:g} a trial, but this machine has {has}")])
    if not need:
        return limit
    per_gpu = int(1 / need + _ROUNDING)
    return min(limit, len(place.gpus) * per_gpu if need < 1 else len(place.gpus) // round(need))


@dataclass
class _Use:
    """What is taken of a place, as sums: cores, those of its quota, and the part of each GPU."""

    place: Place
    cores: float = 0.0
    quota: float = 0.0
    gpus: dict[str, float] = field(default_factory=dict)

    def add(self, lease: Lease) -> None:
        cores = self.place.cores
        if lease.mask:  # those of its cores that are ours, too
            self.cores += lease.cores * (lease.mask & cores.mask).bit_count() / lease.mask.bit_count()
        if lease.group == cores.group:
            self.quota += lease.cores
        for gpu, part in lease.gpus.items():
            self.gpus[gpu] = self.gpus.get(gpu, 0.0) + part

    def fits(self, cores: float) -> bool:
        ours = self.place.cores
        free = ours.mask.bit_count() - self.cores
        if ours.quota is not None:
            free = min(free, ours.quota - self.quota)
        return cores <= free + _ROUNDING

    def pick(self, gpus: float) -> tuple[str, ...] | None:
        """The names of GPUs for one trial, the least used first; None: there are not enough."""
        count, part = (max(1, round(gpus)), min(1.0, gpus)) if gpus else (0, 0.0)
        used = {name: self.gpus.get(gpu, 0.0) for name, gpu in self.place.gpus.items()}
        free = sorted((name for name in used if used[name] + part <= 1 + _ROUNDING), key=lambda name: used[name])
        return tuple(free[:count]) if len(free) >= count else None

    def share(self) -> float:
        """The part of the machine that this is, of its cores or of its GPUs, whichever is more."""
        ours = self.place.gpus.values()
        parts = [self.cores / self.place.cores.count]
        if ours:
            parts.append(sum(self.gpus.get(gpu, 0.0) for gpu in ours) / len(ours))
        return max(parts)


class Machine:
    """Gives this study's attempts cores and GPUs that no attempt of any study has.

    Args:
        study: an identity of the study, the same for each of its engines; name: what others call it.
        env: the caller's environment, which may name the ledger. clock: monotonic seconds.

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
        cores = place.cores
        me = Peer(
            study, name, self.at_once, resources.cpus, cores.mask, cores.quota, cores.group, list(place.gpus.values())
        )
        self._ledger = Ledger(me, env, clock)
        self._granted = 0.0
        self._asked = False  # since the last `turn_over`
        self._free: int | None = None  # the answer to that, until something changes
        self._others: list[Lease] = []

    def free(self, request: Resources, wanted: int) -> int:
        """How many of `wanted` attempts can start now. Fewer than the study may run: it waits from now on for room."""
        limit = min(wanted, request.parallel - len(self._ledger.mine), self.at_once - len(self._ledger.mine))
        if limit <= 0 or self._free is not None:
            return min(max(0, limit), self._free or 0)
        found = self._plan(request, limit)
        if len(found) < limit and self._others:
            with self._ledger.turn() as ours:
                if ours and self._ledger.prune():
                    found = self._plan(request, limit)
        self._note(request, waits=len(found) < limit)
        self._free = len(found)
        return self._free

    def take(self, nonce: str, request: Resources) -> tuple[str, ...] | None:
        """The GPUs (by the caller's names) of an attempt that may start now; None: it waits, ask again."""
        self._free = None
        with self._ledger.turn() as ours:
            found = self._plan(request, 1) if ours else []
            if ours and not found and self._ledger.prune():
                found = self._plan(request, 1)
            for lease, names in found:
                self._ledger.put(nonce, lease)
                self._got()
                return names
        self._note(request, waits=True)
        return None

    def hold(self, nonce: str, request: Resources, gpus: Iterable[str]) -> None:
        """After a restart: an attempt that runs has what it had, whatever others have meanwhile.

        Args:
            gpus: what it was given as far as that is known; devices that are gone are not counted.
        """
        if self._ledger.hold(nonce) is None:
            self._ledger.put(nonce, self._lease(request, gpus))

    def give_back(self, nonce: str) -> None:
        """The attempt and all its processes are gone."""
        self._free = None
        self._ledger.drop(nonce)

    def lease_path(self, nonce: str) -> str | None:
        """The file whose lock the attempt's shim holds while its processes live; None: there is none."""
        return self._ledger.path_of(nonce)

    def turn_over(self) -> None:
        """To be called before the engine waits: others may have what has been given back and not been taken again, and
        a study that has not asked since the last time waits for nothing."""
        self._free = None
        self._ledger.flush()
        if not self._asked and self._ledger.me.waits:
            self._ledger.say(replace(self._ledger.me, waits=False))
        self._asked = False

    @property
    def waits(self) -> str:
        """A line on whose trials this study waits for; "" if it does not, or only for a moment."""
        me = self._ledger.me
        return waiting_line(me, self._others) if me.waits and self._clock() > me.since + _TOLD_S else ""

    @property
    def is_waiting(self) -> bool:
        return self._ledger.me.waits

    def threads(self) -> int | None:
        """Threads that the libraries of each trial may have, so that all trials of all studies keep to the cores; None:
        as many as they like, or the study says itself how many."""
        if self._ledger.me.cpus is not None:
            return None
        cores, at_once, _ = self.sharers()
        return threads.share(cores, self.place.cores.mask.bit_count(), at_once)

    def sharers(self) -> tuple[int, int, int]:
        """Of the cores that trials without a number of their own share: how many, among how many trials at a time, of
        how many studies; all are counted whose engines run now."""
        cores, at_once, studies = self.place.cores.count, self.at_once, 1
        for peer in self._ledger.look()[1]:
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

    def _plan(self, request: Resources, limit: int) -> list[tuple[Lease, tuple[str, ...]]]:
        """What this study may take at this moment, for up to `limit` trials, with the names of the GPUs."""
        self._others, peers = self._ledger.look()
        mine, used = _Use(self.place), _Use(self.place)
        for lease in self._ledger.mine.values():
            mine.add(lease)
            used.add(lease)
        for lease in self._others:
            used.add(lease)
        leases = [*self._ledger.mine.values(), *self._others]
        rivals = [_Rival(peer, leases) for peer in peers if _waits(peer, self._clock())]
        need, found = self._need(request), list[tuple[Lease, tuple[str, ...]]]()
        while len(found) < limit and used.fits(need) and (names := used.pick(request.gpus or 0.0)) is not None:
            lease = self._lease(request, names)
            if any(rival.comes_before(mine.share(), self._granted) and rival.needs_room_of(lease) for rival in rivals):
                break
            found.append((lease, names))
            for use in (mine, used, *(rival.used for rival in rivals)):
                use.add(lease)
        return found

    def _got(self) -> None:
        self._granted, me = self._clock(), self._ledger.me
        if me.waits:
            self._ledger.say(replace(me, since=self._granted, granted=self._granted))

    def _note(self, request: Resources, *, waits: bool) -> None:
        """Tells others when this study begins to wait, that it still does, and when it no longer does."""
        self._asked = True
        now, me = self._clock(), self._ledger.me
        if waits and not me.waits:
            need, gpus = self._need(request), request.gpus or 0.0
            self._ledger.say(
                replace(me, waits=True, cores=need, need_gpus=gpus, since=now, seen=now, granted=self._granted)
            )
        elif waits and now > me.seen + _SAY_S:
            self._ledger.say(replace(me, seen=now))
        elif me.waits and not waits:
            self._ledger.say(replace(me, waits=False))


class _Rival:
    """A study that waits. `used`: what is taken of what it could have."""

    def __init__(self, peer: Peer, leases: Iterable[Lease]) -> None:
        self._peer = peer
        self._place = Place(Cores(peer.mask, peer.quota, peer.group), {gpu: gpu for gpu in peer.gpus})
        self.used, own = _Use(self._place), _Use(self._place)
        for lease in leases:
            self.used.add(lease)
            if lease.study == peer.study:
                own.add(lease)
        self._share = own.share()

    def comes_before(self, share: float, granted: float) -> bool:
        """Whether it is its turn rather than that of a study with this share, which last got something then."""
        if abs(self._share - share) > _ROUNDING:
            return self._share < share
        return self._peer.granted < granted

    def needs_room_of(self, lease: Lease) -> bool:
        """Whether it lacks, or would lack, what the lease is going to hold."""
        after = replace(self.used, gpus=dict(self.used.gpus))
        after.add(lease)
        cores = self._place.cores
        ours = bool(lease.mask & cores.mask) or (cores.quota is not None and lease.group == cores.group)
        shared = any(gpu in self._place.gpus for gpu in lease.gpus)
        return (ours and not after.fits(self._peer.cores)) or (shared and after.pick(self._peer.need_gpus) is None)


def _waits(peer: Peer, now: float) -> bool:
    """Whether it is to be heeded: it is there, and has not been waiting for so long that others go first."""
    lapsed = int(max(0.0, now - peer.since) // _RESERVED_S) % 2 == 1
    return peer.waits and now < peer.seen + _SILENT_S and not lapsed


def waits(folder: str, env: Mapping[str, str]) -> str:
    """A line on whose trials the study in `folder` waits for, as its engine says; "" if it does not."""
    seen = overview(study_id(folder), env) if os.path.isdir(folder) else None
    if seen is None or not seen[0].waits or time.monotonic() < seen[0].since + _TOLD_S:
        return ""
    return waiting_line(*seen)


def study_id(folder: str) -> str:
    """What a study is called in the ledger: names can be given twice, and folders can be moved."""
    found = os.stat(folder)
    return f"{found.st_dev:x}-{found.st_ino:x}"


def waiting_line(me: Peer, others: Iterable[Lease]) -> str:
    """`waiting for room that trials of other studies have: digits (2), mnist (1)`."""
    counts = Counter(lease.name for lease in others if lease.study != me.study and _in_common(me, lease))
    if not counts:
        return "waiting for its turn beside other studies"
    names = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
    return f"waiting for room that trials of other studies have: {names}"


def _in_common(me: Peer, lease: Lease) -> bool:
    """Whether the lease holds something that the study could have."""
    return bool(lease.mask & me.mask) or any(gpu in me.gpus for gpu in lease.gpus)
