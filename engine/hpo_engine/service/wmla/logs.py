"""The output of a trial, as the calls for logs give it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastapi import Response

from hpo_engine.contract.outputlog import logfiles
from hpo_engine.errors import ContractError
from hpo_engine.service.wmla.answers import json_answer
from hpo_engine.system.files import safe_read

if TYPE_CHECKING:
    from hpo_engine.service.wmla.jobs import Job

_LINE = 200  # bytes, a guess at the length of a line, for how much of a log is read at first
_OWN_LOG = "stdout"  # in LOG_DIR: what IBM's elog.py appends to beside the output


def output(job: Job) -> bytes:
    """What the job's latest attempt has printed, standard output and errors in one as they came."""
    return b"".join(map(_content, logfiles.parts(folder))) if (folder := _folder(job)) else b""


def last_lines(job: Job, count: int) -> bytes:
    """The last lines of that; behind them those of the script's own log, if it has one."""
    if count <= 0:
        return b""
    lines = output_tail(job, count).splitlines(keepends=True)[-count:]
    return b"".join([*lines, *_own_log(job).splitlines(keepends=True)][-count:])


def output_tail(job: Job, count: int) -> bytes:
    """At least so many lines of the output's end, if it has them; `count` > 0."""
    folder, size = _folder(job), count * _LINE
    if not folder:
        return b""
    data = logfiles.tail(folder, size)
    while len(data) == size and data.count(b"\n") <= count:
        size *= 4
        data = logfiles.tail(folder, size)
    return data


def answer(data: bytes, *, plain: bool) -> Response:
    """A log as text, or as one JSON string."""
    if plain:
        return Response(data, media_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})
    return json_answer(data.decode("utf-8", "replace"))


def _folder(job: Job) -> str:
    """The records of the latest attempt; "": there was none."""
    trial, paths = job.trial, job.paths
    return paths.attempt(len(trial.attempts)) if trial is not None and trial.attempts and paths is not None else ""


def _own_log(job: Job) -> bytes:
    if job.paths is None:
        return b""
    try:
        return safe_read(job.paths.log_dir, _OWN_LOG, called="LOG_DIR")
    except (ContractError, OSError):
        return b""


def _content(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a part that went when the attempt ended
        return b""
    with open(fd, "rb") as file:
        return file.read()
