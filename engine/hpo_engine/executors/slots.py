"""The slots of one machine: how many attempts may run at a time, and which GPUs each one gets.

GPUs come from the caller's CUDA_VISIBLE_DEVICES or from `nvidia-smi`; HPO_ENGINE_GPUS="0,1" stands in for both.
"""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Mapping

from hpo_engine.errors import Problem, SpecError
from hpo_engine.study.spec import Resources
from hpo_engine.system.faults import at_fault

_ROUNDING = 1e-9


class Slots:
    """A ledger of what running trials hold. A trial of 0.5 GPUs shares one; of 2, it has two to itself.

    Args:
        resources: the study's; gpus: device names; cores: how many this machine offers.

    Raises:
        SpecError: one trial alone asks for more than the machine has.
    """

    def __init__(self, resources: Resources, gpus: tuple[str, ...], cores: int) -> None:
        self._need = resources.gpus or 0.0
        self._limit = resources.parallel
        if resources.cpus is not None:
            if resources.cpus > cores:
                raise SpecError(
                    [Problem("trial.cpus", f"{resources.cpus} cores a trial, but this machine has {cores}")]
                )
            self._limit = min(self._limit, cores // resources.cpus)
        if self._need > len(gpus):
            has = f"{len(gpus)} GPUs ({', '.join(gpus)})" if gpus else "no GPUs (see hpo-engine doctor)"
            raise SpecError([Problem("trial.gpus", f"{self._need:g} a trial, but this machine has {has}")])
        self._used = dict.fromkeys(gpus, 0.0)
        self._held: dict[int, tuple[str, ...]] = {}

    def free(self) -> int:
        """How many more trials fit."""
        room = max(0, self._limit - len(self._held))
        if not self._need:
            return room
        if self._need >= 1:
            return min(room, sum(u < _ROUNDING for u in self._used.values()) // round(self._need))
        return min(room, sum(int((1 - used) / self._need + _ROUNDING) for used in self._used.values()))

    def take(self, trial_id: int) -> tuple[str, ...]:
        """GPUs for the trial, the least used first; () where GPUs are not asked for."""
        count = max(1, round(self._need)) if self._need else 0
        chosen = tuple(sorted(self._used, key=lambda gpu: self._used[gpu])[:count])
        self.hold(trial_id, chosen)
        return chosen

    def hold(self, trial_id: int, gpus: tuple[str, ...]) -> None:
        """Notes what a trial has already (after a restart); devices that are gone are not counted."""
        self._held[trial_id] = gpus
        for gpu in gpus:
            if gpu in self._used:
                self._used[gpu] += min(1.0, self._need)

    def give_back(self, trial_id: int) -> None:
        for gpu in self._held.pop(trial_id, ()):
            if gpu in self._used:
                self._used[gpu] = max(0.0, self._used[gpu] - min(1.0, self._need))


def find_gpus(env: Mapping[str, str]) -> tuple[str, ...]:
    """The GPUs that trials may use, as CUDA_VISIBLE_DEVICES would name them."""
    for name in ("HPO_ENGINE_GPUS", "CUDA_VISIBLE_DEVICES"):
        if name in env:
            names = [part.strip() for part in env[name].split(",")]
            usable = names[: names.index("-1")] if "-1" in names else names
            return tuple(dict.fromkeys(n for n in usable if n))
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=10, check=True, stdin=subprocess.DEVNULL,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        if at_fault(error):
            raise  # nobody knows whether there are any
        return ()
    return tuple(line.strip() for line in listing.splitlines() if line.strip().isdigit())


def count_cores() -> int:
    """Cores that this process may use: those that it sees, less where a quota (of a container, say) gives fewer."""
    quota = cpu_quota()
    usable = len(os.sched_getaffinity(0))
    return usable if quota is None else max(1, min(usable, math.ceil(quota - _ROUNDING)))


def cpu_quota(proc: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> float | None:
    """Processor time a second that the control groups of this process give it, the tightest of them; None: no limit."""
    found = []
    try:
        with open(proc, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = (root,) if not controllers else (f"{root}/{controllers}", f"{root}/cpu")
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for folder in mounts:
            found += [_quota_in("/".join((folder, *parts[:k]))) for k in range(len(parts) + 1)]
    limits = [quota for quota in found if quota is not None]
    return min(limits) if limits else None


def _quota_in(folder: str) -> float | None:
    """That of one control group, in the form of version 2 or of version 1."""
    try:
        try:
            with open(f"{folder}/cpu.max", encoding="ascii") as file:
                quota, period = file.read().split()
        except FileNotFoundError:
            with open(f"{folder}/cpu.cfs_quota_us", encoding="ascii") as file:
                quota = file.read().strip()
            with open(f"{folder}/cpu.cfs_period_us", encoding="ascii") as file:
                period = file.read().strip()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # none, or "max"
        return None
