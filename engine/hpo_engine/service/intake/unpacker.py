"""Uploaded models, checked and unpacked by processes with limits; no byte of a tar is read in the service itself."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import hpo_engine
from hpo_engine.errors import EngineError, MachineError, SpecError
from hpo_engine.failpoints import failpoint
from hpo_engine.service.intake.limits import TooLarge
from hpo_engine.service.intake.spool import Spool
from hpo_engine.system.untar.limits import TarLimits
from hpo_engine.system.untar.writing import Contents
from hpo_engine.text.quoting import quoted

if TYPE_CHECKING:
    from hpo_engine.service.desk.values import Model

_CPU_S = 2.0  # of a tar that expands to nothing
_BYTES_PER_S = 40 << 20  # of expanded contents, on a slow machine
_PATIENCE_S = 30.0  # beside ten times the processor time, for a machine that is busy
_JOBS = 1000  # of one process
_MAIN = "import sys; sys.path.insert(0, sys.argv[1]); from hpo_engine.system.untar.child import main; main()"
_PACKAGES = os.path.dirname(os.path.dirname(hpo_engine.__file__))
_ENV = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PYTHONHOME") if name in os.environ}  # no secrets


class Unpacker:
    """May be used from several threads. `processes`: how many tars are read at the same time, at most."""

    def __init__(self, spool: Spool, limits: TarLimits | None = None, processes: int = 2) -> None:
        self._spool, self._limits = spool, limits or TarLimits()
        self._free: list[_Child] = []
        self._places = threading.BoundedSemaphore(processes)
        self._lock = threading.Lock()

    def check(self, model: Model, script: str = "") -> Contents:
        """What is in a model; reads all of it and writes nothing.

        Args:
            script: what the study runs, relative to the model's folder (a single script is called that).

        Raises:
            SpecError: the model is refused, in one line that names the member. TooLarge.
        """
        if model.kind == "script":
            _safe_name(script)
            return Contents(1, model.size, "", True)
        return self._done(model, None, script)

    def extract(self, model: Model, target: str, script: str = "") -> Contents:
        """Makes the folder `target`, which must not exist, with the files of a model: completely and on the disk, or
        not at all. It is on the file system of the spool. `script`, and what is raised: as of `check`; OSError."""
        with self._spool.scratch() as scratch:
            if model.kind == "script":
                contents = self.check(model, script)
                _put_script(model, scratch, script)
            else:
                contents = self._done(model, scratch, script)
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
            os.chmod(scratch, 0o755)
            os.rename(scratch, target)
            failpoint("model.unpacked")
            _sync(os.path.dirname(target))
            return contents

    def close(self) -> None:
        """Ends the processes."""
        with self._lock:
            children, self._free = self._free, []
        for child in children:
            child.end()

    def _done(self, model: Model, into: str | None, script: str) -> Contents:
        limits = self._limits
        expanded = min(limits.unpacked, max(limits.free, limits.ratio * model.size))
        cpu_s = _CPU_S + (1 if into is None else 2) * expanded / _BYTES_PER_S
        job = {"tar": model.path, "into": into, "script": script, "limits": limits, "cpu_s": cpu_s}
        with self._places:
            child = self._child()
            try:
                answer = child.done(job, cpu_s * 10 + _PATIENCE_S)
            except BaseException:
                child.end()
                raise
            with self._lock:
                keep = child.jobs < _JOBS
                if keep:
                    self._free.append(child)
            if not keep:
                child.end()
        if "contents" in answer:
            return Contents(*answer["contents"])
        if "bad" in answer:
            raise (TooLarge if answer["large"] else SpecError)(answer["bad"])
        raise OSError(answer["errno"], answer["text"], into or model.path)

    def _child(self) -> _Child:
        with self._lock:
            while self._free:
                child = self._free.pop()
                if child.lives:
                    return child
                child.end()
        return _Child()


class _Child:
    """One process. `jobs`: how many it has had."""

    def __init__(self) -> None:
        self.jobs = 0
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _MAIN, _PACKAGES],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0, cwd="/", env=_ENV,
            start_new_session=True,
        )  # fmt: skip

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def done(self, job: dict[str, Any], patience_s: float) -> dict[str, Any]:
        """The answer. Raises SpecError if the process has died of the tar, or takes too long; MachineError: somebody
        has killed it."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        self.jobs += 1
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(job).encode() + b"\n")
        poller = select.poll()  # not select, whose descriptors end at 1023
        poller.register(process.stdout, select.POLLIN)
        deadline, line = time.monotonic() + patience_s, b""
        while not line.endswith(b"\n"):
            ready = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
            data = os.read(process.stdout.fileno(), 65536) if ready else b""
            if not data:
                self.end()
                if ready and process.returncode == 1:
                    raise EngineError("the process that reads tars could not run; see the service's log")
                if ready and process.returncode == -signal.SIGKILL:  # its limits end it with other signals
                    raise MachineError("the process that read the tar was killed; send it again")
                raise SpecError("the tar takes too long to read; pack it anew, with GNU tar or Python's tarfile")
            line += data
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        process = self._process
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _safe_name(script: str) -> None:
    """Raises SpecError unless a single script can be called that."""
    parts = script.split("/")
    sound = script and script.isprintable() and not {"", ".", ".."} & {*parts} and len(script.encode()) <= 255
    if not sound:
        raise SpecError(f"the model is a single script, and {quoted(script)} is no name for it (see --model-main)")


def _put_script(model: Model, folder: str, script: str) -> None:
    import shutil

    path = os.path.join(folder, script)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    shutil.copyfile(model.path, path)
    while len(path) >= len(folder):
        _sync(path)
        path = os.path.dirname(path)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
