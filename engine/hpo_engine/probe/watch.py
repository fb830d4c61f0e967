"""What the processes of a trial do while they run, as /proc shows it now and then, and which shared files they change.

Needs no privileges and changes nothing about the trial. What is too short to be seen is not seen.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping

from hpo_engine.contract.paths import is_below
from hpo_engine.executors.local.processes import descendants
from hpo_engine.probe.values import Seen

_WRITING = os.O_WRONLY | os.O_RDWR
_PASSED_OVER = ("/dev/", "/proc/", "/sys/", "/run/")
_CACHES = ("/.cache/", "/__pycache__/", "/.triton/", "/.nv/", "/.config/")
_IDLE = 0.02  # of a core: below it a trial waits for something
_MOST_ENTRIES = 1_000  # of a folder that is looked at
_TICK_HZ = os.sysconf("SC_CLK_TCK")


class Watch:
    """Looks at one trial's processes.

    Args:
        study: the folder of the scratch study, in which they may do as they like.
    """

    def __init__(self, study: str) -> None:
        self._study = study
        self._folders: set[str] = set()
        self._written: set[str] = set()
        self._cpu_s = self._busy_at = self._last = -1.0

    def look(self, shim: int, now: float) -> None:
        """`shim`: the process above the trial's; `now`: monotonic seconds."""
        cpu_s = 0.0
        for pid in descendants(shim):
            with contextlib.suppress(OSError, ValueError, IndexError):  # it has gone
                cpu_s += _cpu_s(pid)
                self._note(os.readlink(f"/proc/{pid}/cwd"), self._folders)
                for path in _written(pid):
                    self._note(path, self._written)
        if self._last < 0 or cpu_s < self._cpu_s or cpu_s - self._cpu_s > _IDLE * (now - self._last):
            self._busy_at = now
        self._cpu_s, self._last = cpu_s, now

    def seen(self, stamps: Stamps) -> Seen:
        """`stamps`: of the files that the script names, looked at since the trial before this one."""
        idle = max(0.0, self._last - self._busy_at)
        named, nearby = stamps.changed()
        return Seen(frozenset(self._folders), frozenset(self._written | named), frozenset(nearby), idle)

    def _note(self, path: str, into: set[str]) -> None:
        if is_below(path, self._study) or path == "/" or path.startswith(_PASSED_OVER) or path.endswith(" (deleted)"):
            return
        if not any(part in path for part in _CACHES):
            into.add(path)


class Stamps:
    """Times of the last change of files that a script names, so that it shows when a trial changes them.

    A folder stands for the files in it.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = list(paths)
        self._before = self._now()

    def changed(self) -> tuple[set[str], set[str]]:
        """Those that have changed since the last call: files that are named, and files in folders that are."""
        now, before = self._now(), self._before
        self._before = now
        found = {path for path, stamp in now.items() if before.get(path) != stamp}
        return found & set(self._paths), found - set(self._paths)

    def _now(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for path in self._paths:
            for each in _files(path):
                with contextlib.suppress(OSError):
                    found[each] = os.lstat(each).st_mtime_ns
        return found


def _files(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            listed = [entry.path for entry, _ in zip(entries, range(_MOST_ENTRIES), strict=False) if entry.is_file()]
    except NotADirectoryError:
        return [path]
    except OSError:
        return []
    return listed


def _cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK_HZ


def _written(pid: int) -> list[str]:
    """The files that a process has open for writing."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError, ValueError):
            path = os.readlink(f"/proc/{pid}/fd/{name}")
            if not path.startswith("/"):
                continue  # a pipe or a socket
            with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as file:
                flags = next(int(line.split()[1], 8) for line in file if line.startswith("flags:"))
            if flags & _WRITING and os.path.isfile(path):
                found.append(path)
    return found
