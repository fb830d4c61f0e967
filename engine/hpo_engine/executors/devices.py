"""What this machine has: GPUs, and cores that this process may use.

GPUs come from the caller's CUDA_VISIBLE_DEVICES or from `nvidia-smi`; HPO_ENGINE_GPUS="0,1" replaces both.
"""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpo_engine.system.faults import at_fault

_ROUNDING = 1e-9


def find_gpus(env: Mapping[str, str]) -> tuple[str, ...]:
    """The GPUs that trials may use, as CUDA_VISIBLE_DEVICES would name them."""
    for name in ("HPO_ENGINE_GPUS", "CUDA_VISIBLE_DEVICES"):
        if name in env:
            names = [part.strip() for part in env[name].split(",")]
            usable = names[: names.index("-1")] if "-1" in names else names
            return tuple(dict.fromkeys(n for n in usable if n))
    return tuple(line for line in nvidia_smi("index") if line.isdigit())


def gpu_identities(names: Sequence[str]) -> dict[str, str]:
    """The UUID of each GPU in `names`, so that one GPU under two names counts as one.

    A name that is not known (a MIG instance, a made-up one, no nvidia-smi) stands for itself.
    """
    known = [line.split(",") for line in nvidia_smi("index,uuid")] if names else []
    pairs = [(pair[0].strip(), pair[1].strip()) for pair in known if len(pair) == 2]
    found = {}
    for name in names:
        uuids = [uuid for index, uuid in pairs if name == index or uuid.startswith(name)]  # CUDA takes a beginning, too
        found[name] = uuids[0] if len(uuids) == 1 else name
    return found


def nvidia_smi(fields: str) -> list[str]:
    """One line per GPU; none if there is no nvidia-smi, or it fails. Raises OSError if another moment may be better."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=10, check=True, stdin=subprocess.DEVNULL,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        if at_fault(error):
            raise  # nobody knows whether there are any
        return []
    return [line.strip() for line in listing.splitlines()]


def count_cores() -> int:
    """The number of cores that this process may use: those that it sees, or fewer if a quota says so."""
    return Cores.here().count


@dataclass(frozen=True)
class Cores:
    """The cores that a process may use.

    `mask`: which ones, core k as bit k. `quota`: how many of them a control group (of a container, say) allows at a
    time, None without a limit; `group`: which control group, for others to tell whether it is theirs, too.
    """

    mask: int
    quota: int | None = None
    group: str = ""

    @classmethod
    def here(cls) -> Cores:
        """Those of this process."""
        mask, limit = sum(1 << core for core in os.sched_getaffinity(0)), cpu_limit()
        if limit is None:
            return cls(mask)
        quota, folder = limit
        return cls(mask, max(1, math.ceil(quota - _ROUNDING)), _identity(folder))

    @property
    def count(self) -> int:
        seen = self.mask.bit_count()
        return seen if self.quota is None else min(seen, self.quota)


def cpu_limit(proc: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> tuple[float, str] | None:
    """Processor seconds per second that the control groups of this process allow, and the folder of the tightest one.

    None: there is no limit.
    """
    try:
        with open(proc, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    limits = [(quota, folder) for folder in _folders(lines, root) if (quota := _quota_in(folder)) is not None]
    return min(limits) if limits else None


def _folders(lines: list[str], root: str) -> Iterator[str]:
    """The folders of the control groups in `lines`, each with those above it."""
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = (root,) if not controllers else (f"{root}/{controllers}", f"{root}/cpu")
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for folder in mounts:
            yield from ("/".join((folder, *parts[:k])) for k in range(len(parts) + 1))


def _identity(folder: str) -> str:
    """Names a control group for processes that see it under another path."""
    try:
        seen = os.stat(folder)
    except OSError:
        return folder
    return f"{seen.st_dev}:{seen.st_ino}"


def _quota_in(folder: str) -> float | None:
    """The limit of one control group, in the format of version 2 or of version 1."""
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
