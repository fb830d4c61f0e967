"""A real `hpo-engine serve` in a process of its own, to be loaded, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from hpo_engine.control.engines import command_line

_START_S = 120.0


class Server:
    """Args:
    root: of the studies; studies: that run at the same time.
    """

    def __init__(self, root: Path, studies: int) -> None:
        self.root, self._studies = root, studies
        self._process: subprocess.Popen[bytes] | None = None
        self.port, self.token = 0, ""
        self.env = {**os.environ, "HPO_ENGINE_LEDGER": str(root) + ".ledger"}

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> float:
        """Returns when it takes requests; the seconds until then."""
        began = time.monotonic()
        where = self.root / ".service" / "server.json"
        where.unlink(missing_ok=True)
        words = ["serve", "--root", str(self.root), "--port", "0", "--studies", str(self._studies), "--json"]
        log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(command_line(*words), stdout=log, stderr=log, env=self.env)
        while not where.exists():
            if self._process.poll() is not None or time.monotonic() > began + _START_S:
                log.seek(0)
                raise SystemExit(f"the service did not start: {log.read().decode()}")
            time.sleep(0.01)
        found = json.loads(where.read_text())
        self.port, self.token = int(found["port"]), Path(found["token_file"]).read_text().strip()
        return time.monotonic() - began

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Ends it, and then every engine and trial of its studies."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)
        for pid in processes_of(self.root):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def memory_mb(self) -> float:
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processes_of(root: Path) -> Sequence[int]:
    """All that the service of this root has started: it has left its mark in their environments, or their ledger;
    trials and what starts them work in folders below the root."""
    marks = [f"HPO_ENGINE_SERVICE={root}".encode(), f"HPO_ENGINE_LEDGER={root}.ledger".encode()]
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            content = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
            folder = os.readlink(f"/proc/{name}/cwd")
        except OSError:
            continue
        if folder.startswith(f"{root}/") or any(mark in content for mark in marks):
            found.append(int(name))
    return found
