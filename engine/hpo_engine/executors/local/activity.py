"""What the processes and the files of a running attempt have done so far, as /proc and the folders show it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.executors.local import processes, records
from hpo_engine.stoppers.rule import Activity
from hpo_engine.study.trial import Trial

_MOST_ENTRIES = 20_000  # of files that are looked at; of more, those that come first


class LocalActivity:
    """The `Watch` of attempts that are processes of this machine. Reads only."""

    def __init__(self, paths: StudyPaths) -> None:
        self._paths = paths

    def __call__(self, trial: Trial) -> Activity | None:
        paths, attempt = self._paths.trial(trial.id), trial.attempt
        if attempt is None:
            return None
        own = paths.attempt(attempt.number)
        try:
            token = records.token(own, attempt.nonce)
            below = [] if token is None else processes.descendants(token.pid)
        except OSError:
            return None
        if token is None or not below:
            return None
        reaped_s = processes.processor_s(token.pid)[1]  # what the shim does itself is not the script's
        cpu_s = [sum(processes.processor_s(pid)) for pid in below]
        return Activity(
            round(reaped_s + sum(cpu_s), 2),
            sum(map(_io_bytes, below)),
            _stamp((paths.result_dir, paths.log_dir, own)),
            any(map(processes.stands_still, below)),
        )


def _io_bytes(pid: int) -> int:
    """Bytes that the process and those that it has waited for have read and written, as proc(5) has it; 0 if it does
    not tell."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/io", "rb") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith((b"rchar:", b"wchar:")))
    return 0


def _stamp(folders: tuple[str, ...]) -> tuple[int, int, int]:
    """How many files there are, their size in all, and the time of the latest change."""
    count = size = newest = 0
    for folder in folders:
        for entry in _entries(folder):
            with contextlib.suppress(OSError):
                info = entry.stat(follow_symlinks=False)
                count, size, newest = count + 1, size + info.st_size, max(newest, info.st_mtime_ns)
            if count >= _MOST_ENTRIES:
                return count, size, newest
    return count, size, newest


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """All entries below the folder; links are not followed."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path)
