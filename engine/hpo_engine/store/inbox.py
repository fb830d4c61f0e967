"""Requests to the engine that leads a study, from other processes: one JSON file each in the study's inbox.

A file appears whole (renamed into place), is taken once by the leader, and is removed when its events are durable. If
the engine dies between the two, the next one takes the file again: events that must not be there twice carry its name.
A request that cannot be carried out leaves a file beside it that says why, for the process that posted it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hpo_engine.errors import ContractError, StudyGone
from hpo_engine.failpoints import failpoint
from hpo_engine.system.files import safe_read

VERBS = ("stop", "pause", "resume", "retry", "enqueue", "edit")
_END, _REFUSED = ".json", ".refused"
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Request:
    """`do`: one of VERBS. "stop" is for one trial, or for the study where `trial` is None; `kill`: without grace.
    `body`: what the verb needs besides, as JSON."""

    do: str
    trial: int | None = None
    kill: bool = False
    why: str = "stop"
    body: Mapping[str, Any] = field(default_factory=dict)


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
    name = f"{time.time_ns():020d}-{os.getpid()}{_END}"
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
        names = sorted(n for n in os.listdir(inbox) if n.endswith(_END) and not n.startswith("."))
    except OSError:
        return []
    found = []
    for name in names:
        try:
            found.append((f"{inbox}/{name}", _read(f"{inbox}/{name}")))
        except OSError:  # not now: it stays
            break
    return found


def name_of(path: str) -> str:
    """What events call the request."""
    return os.path.basename(path).removesuffix(_END)


def refuse(path: str, why: str) -> None:
    """Leaves the reason why a request is not carried out; best effort, for whoever waits for it."""
    aside = f"{os.path.dirname(path)}/.{name_of(path)}{_REFUSED}"
    with contextlib.suppress(OSError):
        with open(aside, "w", encoding="utf-8") as file:
            file.write(why)
        os.replace(aside, _refusal_of(path))
    failpoint("command.refused")


def refusal(path: str) -> str:
    """The reason, once; "" if the request was not refused."""
    try:
        why = safe_read(os.path.dirname(path), os.path.basename(_refusal_of(path))).decode("utf-8", "replace")
    except (OSError, ContractError):
        return ""
    done(_refusal_of(path))
    return why


def clear_refusals(inbox: str) -> None:
    """Removes reasons that nobody has fetched."""
    with contextlib.suppress(OSError):
        for name in os.listdir(inbox):
            if name.endswith(_REFUSED):
                done(f"{inbox}/{name}")


def _refusal_of(path: str) -> str:
    return f"{path.removesuffix(_END)}{_REFUSED}"


def done(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _read(path: str) -> Request | None:
    try:
        folder, name = os.path.split(path)
        request = Request(**json.loads(safe_read(folder, name, _MOST_BYTES)))
    except (ContractError, ValueError, TypeError, RecursionError):
        return None
    if type(request.kill) is not bool or type(request.why) is not str:
        return None
    known = request.do in VERBS and type(request.body) is dict
    return request if known and (request.trial is None or type(request.trial) is int) else None
