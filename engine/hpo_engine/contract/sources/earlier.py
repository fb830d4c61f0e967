"""What lay in a trial's folders before an attempt began: none of it is a report of that attempt.

In a fresh RESULT_DIR that is the view of the frozen folder, and the files into which the engine put values. What an
attempt that continues earlier training finds beside them is recorded when its folder is prepared.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from hpo_engine.contract.paths import TrialPaths
from hpo_engine.errors import ContractError
from hpo_engine.failpoints import failpoint
from hpo_engine.system.files import open_file, open_folder
from hpo_engine.system.writing import write_all

RECORD = "earlier.json"
"""In the folder of an attempt that continues earlier training."""
_ENDING = 64  # bytes before the end of what was there, by which a file is recognised that was only appended to
_ANY_SIZE = 1 << 62


class _File(NamedTuple):
    inode: int
    size: int
    mtime_ns: int
    ending: str  # hexadecimal


class Earlier:
    """Says of the files of one attempt what of them was there before.

    Args:
        paths: of the trial; attempt: its number.
        placed: paths in RESULT_DIR of files into which the engine put values.
    """

    def __init__(self, paths: TrialPaths, attempt: int, placed: Iterable[str] = ()) -> None:
        self._paths, self._attempt, self._placed = paths, attempt, frozenset(placed)
        self._recorded: dict[str, _File] | None = None
        self._loaded = False

    def size(self, path: str, found: os.stat_result) -> int | None:
        """How many bytes at the beginning of a file were there before. None: all, the attempt has not written to it.

        0 if it is new, if it was written anew, and if it cannot be read. A file that was written anew with the very
        bytes that it had is known by its time.

        Args:
            path: absolute, below RESULT_DIR or LOG_DIR.
        """
        if not self._loaded:
            self._recorded, self._loaded = _load(f"{self._paths.attempt(self._attempt)}/{RECORD}"), True
        return self._of_view(path, found) if self._recorded is None else self._of_record(path, found, self._recorded)

    def came_along(self, path: str, found: os.stat_result) -> bool:
        """Whether a file is still as it came with the script's folder, or as the engine put values into it."""
        return self._of_view(path, found) is None

    def is_copied(self, found: os.stat_result) -> bool:
        """Whether the attempt made a file of what was written before it began: copies made by `cp -p` or Python's
        `shutil.copytree`, and what was moved here, keep their time. A clock that was set back changes both times."""
        try:
            begun = os.lstat(self._paths.config).st_mtime_ns
        except OSError:
            return False
        return found.st_mtime_ns < begun <= found.st_ctime_ns

    def _of_record(self, path: str, found: os.stat_result, recorded: dict[str, _File]) -> int | None:
        then = recorded.get(path[len(self._paths.study.root) + 1 :])
        if then is None:
            return 0
        if (found.st_ino, found.st_size, found.st_mtime_ns) == then[:3]:
            return None
        appended = found.st_size > then.size and _ending(self._paths, path, then.size) == then.ending
        return then.size if appended else 0

    def _of_view(self, path: str, found: os.stat_result) -> int | None:
        result_dir = self._paths.result_dir
        if not path.startswith(f"{result_dir}/"):
            return 0
        name = path[len(result_dir) + 1 :]
        if name in self._placed:
            return 0 if self._after_config(found) else None
        frozen_path = f"{self._paths.study.model}/{name}"
        try:
            frozen = os.lstat(frozen_path)
        except OSError:
            return 0
        if not stat.S_ISREG(frozen.st_mode) or found.st_size < frozen.st_size:
            return 0
        if _ending(self._paths, path, frozen.st_size) != _ending(self._paths, frozen_path, frozen.st_size):
            return 0
        if found.st_size > frozen.st_size:
            return frozen.st_size
        return 0 if self._after_config(found) else None

    def _after_config(self, found: os.stat_result) -> bool:
        """Whether a file was written after config.json, which is the last that the engine writes."""
        try:
            return found.st_mtime_ns > os.lstat(self._paths.config).st_mtime_ns
        except OSError:
            return False


def record(paths: TrialPaths, attempt: int, files: Iterable[str]) -> None:
    """Records what files are like, before an attempt begins that finds them there.

    Args:
        files: absolute paths, below RESULT_DIR or LOG_DIR.
    """
    known: dict[str, _File] = {}
    for path in files:
        with suppress(OSError):
            found = os.lstat(path)
            ending = _ending(paths, path, found.st_size) or ""
            known[path[len(paths.study.root) + 1 :]] = _File(found.st_ino, found.st_size, found.st_mtime_ns, ending)
    folder = open_folder(paths.study.root, paths.attempt(attempt))
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(f"{RECORD}.new", flags, 0o666, dir_fd=folder)
        try:
            write_all(fd, json.dumps(known).encode())
        finally:
            os.close(fd)
        os.replace(f"{RECORD}.new", RECORD, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)
    failpoint("trial.earlier-recorded")


def _load(path: str) -> dict[str, _File] | None:
    """None: there is no such record."""
    try:
        with open(path, encoding="utf-8") as file:
            return {name: _File(*entry) for name, entry in json.load(file).items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _ending(paths: TrialPaths, path: str, size: int) -> str | None:
    """The bytes of a file before byte `size`; None if it cannot be read."""
    folder, _, name = path.rpartition("/")
    try:
        fd = open_folder(paths.study.root, folder)
        try:
            file, _ = open_file(fd, name, _ANY_SIZE)
        finally:
            os.close(fd)
        try:
            start = max(0, size - _ENDING)
            return os.pread(file, size - start, start).hex()
        finally:
            os.close(file)
    except (OSError, ContractError):
        return None
