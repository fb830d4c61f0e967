"""Small things that many tests need."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpo_engine.store.database import NOTHING, checksum


def wait_until(condition: Callable[[], Any], timeout_s: float = 180.0) -> Any:
    """Polls until `condition()` is true and returns what it said; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (said := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return said


def processes_with(mark: str) -> list[int]:
    """Living processes that have `mark` in their environment or command line (this process apart)."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                text = file.read()
            with open(f"/proc/{name}/cmdline", "rb") as file:
                text += file.read()
            with open(f"/proc/{name}/stat", "rb") as file:
                state = file.read().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if mark.encode() in text and state != b"Z":
            found.append(int(name))
    return found


def put(path: str, data: bytes | str) -> None:
    """Writes a file, and the folders above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_bytes(data if isinstance(data, bytes) else data.encode())


def emetrics_line(step: object = 1, group: str | None = "test", **values: object) -> str:
    """One line of evaluation-metrics.txt, as WMLA's helper writes it."""
    entry: dict[str, Any] = {
        "meta": {"training_id": "t", "time": 1, "rindex": 1, "subid": "3"},
        "etimes": {"iteration": {"type": 2, "value": str(step)}, "time_stamp": {"type": 3, "value": "1.0"}},
        "values": {k: {"type": 3, "value": str(v)} for k, v in values.items()},
    }
    if group is not None:
        entry["grouplabel"] = group
    return json.dumps(entry) + "\n"


def seal(path: str | Path) -> None:
    """Gives the events of a log that a test has changed the checksums that a writer would have given them."""
    db, crc = sqlite3.connect(path), NOTHING[1]
    for number, at, kind, body in db.execute("SELECT seq, at, kind, body FROM events ORDER BY seq").fetchall():
        crc = checksum(crc, number, at, kind, body)
        db.execute("UPDATE events SET crc = ? WHERE seq = ?", (crc, number))
    db.commit()
    db.close()


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Removes a folder into which running processes may still write, as `rm -rf` typed again would."""

    def gone() -> bool:
        try:
            shutil.rmtree(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise
        return not os.path.lexists(path)

    wait_until(gone)


def tree(top: str | Path) -> dict[str, str]:
    """Every name below the folder with what it is: a digest, a link's text, a folder."""
    out = {}
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            seen = os.lstat(path)
            if stat.S_ISLNK(seen.st_mode):
                what = "link " + os.readlink(path)
            elif stat.S_ISDIR(seen.st_mode):
                what = "folder"
            else:
                what = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            out[os.path.relpath(path, top)] = what
    return out
