"""Requests to the engine that leads a study, from other processes: one small JSON file each in the study's inbox.

A file appears whole (renamed into place), is taken once by the leader, and is removed when its events are durable.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass

from hpo_engine.errors import ContractError, StudyGone
from hpo_engine.failpoints import failpoint
from hpo_engine.system.files import safe_read


@dataclass(frozen=True)
class Request:
    """`do` is "stop" (one trial, or the study where `trial` is None); `kill`: without grace."""

    do: str
    trial: int | None = None
    kill: bool = False
    why: str = "stop"


def post(inbox: str, request: Request) -> str:
    """Leaves a request; returns its file, which is gone once it has been carried out.

    Raises:
        StudyGone: the folder in which the inbox should be is not there (it is not made again).
        OSError: names the file.
    """
    try:
        os.mkdir(inbox)
    except FileExistsError:
        pass
    except FileNotFoundError:
        raise StudyGone(f"{os.path.dirname(inbox)}: the study was moved or removed") from None
    name = f"{time.time_ns():020d}-{os.getpid()}.json"
    aside = f"{inbox}/.{name}"
    try:
        with open(aside, "x", encoding="utf-8") as file:
            json.dump(asdict(request), file)
        os.rename(aside, f"{inbox}/{name}")
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        error.filename = f"{inbox}/{name}"
        raise
    failpoint("command.posted")
    return f"{inbox}/{name}"


def pending(inbox: str) -> list[tuple[str, Request | None]]:
    """The waiting requests in order, each with its file; None for one that cannot be understood."""
    try:
        names = sorted(n for n in os.listdir(inbox) if n.endswith(".json") and not n.startswith("."))
    except OSError:
        return []
    found = []
    for name in names:
        try:
            found.append((f"{inbox}/{name}", _read(f"{inbox}/{name}")))
        except OSError:  # not now: it stays
            break
    return found


def done(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _read(path: str) -> Request | None:
    try:
        folder, name = os.path.split(path)
        request = Request(**json.loads(safe_read(folder, name)))
    except (ContractError, ValueError, TypeError, RecursionError):
        return None
    if type(request.kill) is not bool or type(request.why) is not str:
        return None
    return request if request.do == "stop" and (request.trial is None or type(request.trial) is int) else None
