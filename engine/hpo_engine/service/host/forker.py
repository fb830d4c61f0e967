"""The service's end of the process that forks engines, see `forking`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo_engine.control.engines import command_line
from hpo_engine.failpoints import failpoint
from hpo_engine.service.host.forking import MARK
from hpo_engine.service.places import ServicePaths

_MOST = 1 << 16  # bytes of a message


@dataclass(frozen=True)
class Started:
    """An engine's process; `handle`: a pidfd."""

    number: int
    pid: int
    handle: int


@dataclass(frozen=True)
class Placed:
    """The study's folder is there."""

    number: int


@dataclass(frozen=True)
class Refused:
    """The study's folder cannot be made. `again`: it may be possible later."""

    number: int
    why: str
    again: bool


@dataclass(frozen=True)
class Ended:
    """`code`: the exit code; -9 if it was killed by signal 9."""

    number: int
    code: int


News = Started | Placed | Refused | Ended


class Forker:
    """The process, started when this is made. Raises OSError."""

    def __init__(self, root: str, env: Mapping[str, str]) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with open(ServicePaths(root).engines_log, "ab") as log:
                self._process = subprocess.Popen(
                    command_line("_engines", str(theirs.fileno()), root),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    pass_fds=(theirs.fileno(),), env={**env, MARK: root},
                )  # fmt: skip
        except BaseException:
            self._channel.close()
            raise
        finally:
            theirs.close()

    def fileno(self) -> int:
        return self._channel.fileno()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, number: int, name: str, *, place: bool, words: Sequence[str]) -> None:
        """Asks for an engine. Raises OSError: the process is gone."""
        message = {"start": number, "name": name, "place": place, "words": list(words)}
        self._channel.send(json.dumps(message).encode())
        failpoint("host.asked")

    def hear(self) -> News | None:
        """The next message, which is awaited; None: the process is gone."""
        try:
            data, handles, _, _ = socket.recv_fds(self._channel, _MOST, 1)
        except OSError:
            data, handles = b"", []
        if not data:
            return None
        message: dict[str, Any] = json.loads(data)
        for handle in handles:
            os.set_inheritable(handle, False)
        if "started" in message:
            return Started(message["started"], message["pid"], handles[0])
        if "placed" in message:
            return Placed(message["placed"])
        if "refused" in message:
            return Refused(message["refused"], message["why"], message["again"])
        return Ended(message["ended"], os.waitstatus_to_exitcode(message["status"]))

    def close(self) -> None:
        """Lets it go: it leaves; its engines go on."""
        self._channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
