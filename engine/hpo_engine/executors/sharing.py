"""Who may take what of a machine that several studies share: values, sums and the order of turns. No I/O.

An attempt holds the cores and GPUs that it needs. Without `trial.cpus` it needs one core, or less if the study runs
more trials at a time than there are cores: a study that is alone runs as many as `parallel` says, and several studies
together take no more than one that fills the machine.

What becomes free goes to the study with the smallest share of the machine; among equals, to the one that has waited
longest since it last got something, so that equal studies take turns. A study with smaller trials does not take the
room that a study with a smaller share is waiting for, but not for ever: if that one still does not fit after ten
minutes, others go first for ten minutes, and so on in turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hpo_engine.errors import Problem, SpecError
from hpo_engine.executors.devices import Cores, find_gpus, gpu_identities
from hpo_engine.study.spec import Resources

_ROUNDING = 1e-9
_RESERVED_S = 600.0
_SILENT_S = 5.0  # an engine that has been silent for this long, because it is suspended, waits no more


@dataclass(frozen=True)
class Lease:
    """What one attempt of `study` (called `name`) holds: `cores` (possibly a fraction of one) among those of `mask` and
    within the quota of `group`, see `devices.Cores`; `gpus`: the part (0 to 1) of each, by identity."""

    study: str
    name: str
    cores: float
    mask: int
    group: str = ""
    gpus: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """A study whose engine runs. `at_once`: trials that it runs at a time if it is alone; `cpus`: cores that its study
    file asks for per trial; `mask`, `quota`, `group`, `gpus`: what it can have.

    `waits`: it would start more trials, each of which needs so many `cores` and `need_gpus`, if those were free; it has
    got none since `since`. `granted`: when it last got something; `seen`: when it last published this (all three in
    monotonic seconds).
    """

    study: str
    name: str
    at_once: int
    cpus: int | None
    mask: int
    quota: int | None
    group: str
    gpus: Sequence[str]
    waits: bool = False
    cores: float = 0.0
    need_gpus: float = 0.0
    since: float = 0.0
    granted: float = 0.0
    seen: float = 0.0

    def waits_now(self, now: float) -> bool:
        """Whether it counts: its engine is alive, and it has not waited so long that others go first."""
        lapsed = int(max(0.0, now - self.since) // _RESERVED_S) % 2 == 1
        return self.waits and now < self.seen + _SILENT_S and not lapsed

    def waiting_line(self, others: Iterable[Lease]) -> str:
        """`waiting for room that trials of other studies have: digits (2), mnist (1)`."""
        counts = Counter(lease.name for lease in others if lease.study != self.study and self._could_have(lease))
        if not counts:
            return "waiting for its turn beside other studies"
        names = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
        return f"waiting for room that trials of other studies have: {names}"

    def _could_have(self, lease: Lease) -> bool:
        """Whether the lease holds something that this study could have."""
        return bool(lease.mask & self.mask) or any(gpu in self.gpus for gpu in lease.gpus)


@dataclass(frozen=True)
class Place:
    """What this machine has for the trials of a study. `gpus`: from the name in CUDA_VISIBLE_DEVICES to the identity by
    which all studies know the GPU."""

    cores: Cores
    gpus: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def here(cls, env: Mapping[str, str], *, gpus: bool) -> Place:
        """`gpus`: whether to look for any."""
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
            raise SpecError([Problem("trial.cpus", f"{resources.cpus} cores per trial, but this machine has {cores}")])
        limit = min(limit, cores // resources.cpus)
    if need > len(place.gpus):
        has = f"{len(place.gpus)} GPUs ({', '.join(place.gpus)})" if place.gpus else "no GPUs (see hpo-engine doctor)"
        raise SpecError([Problem("trial.gpus", f"{need:g} per trial, but this machine has {has}")])
    if not need:
        return limit
    per_gpu = int(1 / need + _ROUNDING)
    return min(limit, len(place.gpus) * per_gpu if need < 1 else len(place.gpus) // round(need))


@dataclass
class Use:
    """What is taken of a place, as sums: cores, those of its quota, and the part of each GPU."""

    place: Place
    cores: float = 0.0
    quota: float = 0.0
    gpus: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, place: Place, leases: Iterable[Lease]) -> Use:
        made = cls(place)
        for lease in leases:
            made.add(lease)
        return made

    def add(self, lease: Lease) -> None:
        cores = self.place.cores
        if lease.mask:  # those of its cores that are among this place's, too
            self.cores += lease.cores * (lease.mask & cores.mask).bit_count() / lease.mask.bit_count()
        if lease.group == cores.group:
            self.quota += lease.cores
        for gpu, part in lease.gpus.items():
            self.gpus[gpu] = self.gpus.get(gpu, 0.0) + part

    def fits(self, cores: float) -> bool:
        there = self.place.cores
        free = there.mask.bit_count() - self.cores
        if there.quota is not None:
            free = min(free, there.quota - self.quota)
        return cores <= free + _ROUNDING

    def pick(self, gpus: float) -> tuple[str, ...] | None:
        """The names of GPUs for one trial, the least used first; None: there are not enough."""
        if not gpus:
            return ()
        count, part = max(1, round(gpus)), min(1.0, gpus)
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


class Rival:
    """A study that waits. `used`: what is taken of what it could have."""

    def __init__(self, peer: Peer, leases: Sequence[Lease]) -> None:
        self._peer = peer
        self._place = Place(Cores(peer.mask, peer.quota, peer.group), {gpu: gpu for gpu in peer.gpus})
        self.used = Use.of(self._place, leases)
        self._share = Use.of(self._place, (lease for lease in leases if lease.study == peer.study)).share()

    def comes_before(self, share: float, granted: float) -> bool:
        """Whether its turn comes before that of a study with this share that last got something at `granted`."""
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
