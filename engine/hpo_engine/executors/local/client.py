"""A launcher as its engine sees it: the process, the socket to it, the lines in both directions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from hpo_engine.contract.outputlog import logfiles
from hpo_engine.executors.local import records
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.executors.preload.launcherspec import LauncherSpec
from hpo_engine.failpoints import failpoint
from hpo_engine.system.faults import faultpoint

LAUNCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launcher.py")
NO_PRELOAD = ""  # the key of the launcher that has imported nothing


class AttemptLine(NamedTuple):
    """A launcher's line about an attempt: it has `started` (`number`: the shim's pid), could not for lack of resources
    (`starved`: the errno), or has `ended` (the shim's wait status)."""

    what: bytes
    nonce: str
    number: int


class LauncherClient:
    """Starts a launcher and holds the socket to it.

    Args:
        interpreter: Python of a launcher that imports nothing; spec: of one with imports done, or None.
        errors: file for its stderr; notices: descriptor of the pipe in which shims report their attempts' ends.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(self, interpreter: str, spec: LauncherSpec | None, errors: str, notices: int) -> None:
        self.key = NO_PRELOAD if spec is None else spec.key
        self.ready = spec is None
        self.began = time.monotonic()
        self.given_up = False  # it was ended on purpose
        self.still_since: float | None = None  # it is stopped or traced (monotonic seconds)
        self.importing = ""  # what it was importing when it last sent a line
        self.report: dict[str, Any] | None = None  # of its imports, see `launcher._preloaded`
        self._script = None if spec is None else spec.script
        self._buffer = self._unsent = b""
        faultpoint("engine.launcher-start")
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)  # our end: it may stand still, and the engine must not
        fds = [theirs.fileno(), notices]
        try:
            with open(errors, "ab") as stderr:
                if spec is None:
                    self._process = _popen(
                        [interpreter, "-I", "-S", LAUNCHER, *map(str, fds)], fds, None, "/",
                        stdout=subprocess.DEVNULL, stderr=stderr,
                    )  # fmt: skip
                else:
                    self._process = _popen_preloading(spec, fds, stderr.fileno())
        except BaseException:
            self.socket.close()
            raise
        finally:
            theirs.close()

    def order(self, launch: BoundLaunch, folder: str, argv0: str) -> None:
        """Orders an attempt, see `order_of`. Raises OSError: the launcher is gone."""
        order = order_of(launch, folder, argv0) | {"script": self._script}
        self._unsent += f"{launch.nonce} {json.dumps(order)}\n".encode()
        self.flush()
        failpoint("attempt.sent")

    def flush(self) -> None:
        """Sends what the launcher could not take before. Raises OSError: it is gone."""
        while self._unsent:
            try:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            except BlockingIOError:
                return

    def read(self) -> list[bytes] | None:
        """The lines that have arrived; None: the launcher is gone."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return []  # the event was for an earlier socket with the same number
        except ConnectionError:
            data = b""
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return lines

    @property
    def pid(self) -> int:
        """Of the launcher, which is this process's child: nobody else can have it until it has been waited for."""
        pid: int = self._process.pid
        return pid

    def wake(self) -> None:
        """A trial may have stopped it."""
        self._process.send_signal(signal.SIGCONT)

    def give_up(self) -> None:
        """Ends it; its shims, if it has any, continue."""
        self.given_up = True
        self._process.kill()

    def close(self) -> None:
        self.wake()  # it leaves with its last attempt, which a stopped one would not
        self.socket.close()


def order_of(launch: BoundLaunch, folder: str, argv0: str) -> dict[str, Any]:
    """The order for an attempt whose records are in `folder`, see `shim.Shim.serve`.

    Args:
        argv0: the command's program as a path.
    """
    return {
        "nonce": launch.nonce,
        "argv": [argv0, *launch.argv[1:]],
        "env": dict(launch.env),
        "cwd": launch.paths.result_dir,
        "started": f"{folder}/{records.STARTED}",
        "exit": f"{folder}/{records.EXIT}",
        "stop": f"{folder}/{records.STOP}",
        "log": f"{folder}/{logfiles.NAME}",
        "tails": [f"{folder}/{name}" for name in logfiles.TAILS],
        "time_limit_s": launch.time_limit_s,
        "grace_s": launch.grace_s,
        "log_bytes": launch.log_bytes,
        "protect": list(launch.protect),
        "lease": launch.lease,
    }


def program_of(launch: BoundLaunch) -> str:
    """argv[0] as a path: what a shell would find in the working directory or on the PATH.

    Raises:
        FileNotFoundError: none can be executed; the text says why.
    """
    name = launch.argv[0]
    if "/" in name:
        path = os.path.join(launch.paths.result_dir, name)
        if os.path.isfile(path) and not os.access(path, os.X_OK):
            raise FileNotFoundError(f"cannot start {name}: it is not executable (chmod +x {os.path.basename(name)})")
        return path
    found = shutil.which(name, path=launch.env.get("PATH", os.defpath))
    if found is None:
        raise FileNotFoundError(f"cannot start {name}: not found on the PATH")
    return found


def _popen(argv: list[str], fds: list[int], env: Mapping[str, str] | None, cwd: str, **std: Any) -> Any:
    # Nothing of the caller's terminal or pipes: the launcher may outlive the engine.
    return subprocess.Popen(
        argv, pass_fds=fds, start_new_session=True, env=env, cwd=cwd, stdin=subprocess.DEVNULL, **std
    )


def _popen_preloading(spec: LauncherSpec, fds: list[int], errors: int) -> Any:
    order = json.dumps({**spec.preload, "errors": errors})
    env = {**spec.env, **{k: v for k, v in os.environ.items() if k.startswith("HPO_FAILPOINT")}}
    # Its output must be a pipe when Python starts, as that of a trial is: streams remember what they are made on.
    read_end, write_end = os.pipe()
    try:
        return _popen(
            [*spec.argv, LAUNCHER, *map(str, fds), order], [*fds, errors], env, spec.folder,
            stdout=write_end, stderr=write_end,
        )  # fmt: skip
    finally:
        os.close(write_end)
        os.close(read_end)
