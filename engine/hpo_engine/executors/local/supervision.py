"""An attempt from its start to its exit record: its output, its limits, and the end of all that it started.

Runs in a shim, and continues when the engine dies: time limit and grace are kept here, by the monotonic clock. Standard
library only.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time

from hpo_engine.contract import stopnote
from hpo_engine.contract.outputlog.capture import Capture
from hpo_engine.executors.local import processes
from hpo_engine.failpoints import failpoint
from hpo_engine.system.faults import FULL, at_fault, faultpoint
from hpo_engine.system.writing import open_new

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_RECORD_S = 60.0  # how long a disk may be full before the exit record is given up, and with it the attempt
_MOMENT_S = 1.0  # how long what a program has left may take to end by itself: on a busy machine, workers need a while
_LEFTOVER_S = 2.0  # between its SIGTERM and its SIGKILL
_UNKILLABLE_S = 5.0
_MOST_WORDS = 2000  # characters of a reason
_CHUNK = 1 << 16
_KILLED = (signal.SIGKILL, (128 + signal.SIGKILL) << 8)  # wait statuses: by SIGKILL, and what a shell makes of it
_HOUR_MS = 3_600_000.0  # poll takes no more than 25 days; it is looked at again anyway


class Supervision:
    """The supervision of one attempt. `all_gone`: nothing that it started is left.

    Args:
        signals: where the numbers of this process's signals are read.
        ooms: how often the kernel had killed a process for want of memory, some time before.
    """

    def __init__(self, order: dict[str, Any], signals: int, ooms: int) -> None:
        self.order, self.signals = order, signals
        self.all_gone = True
        self.child = 0
        self.status: int | None = None
        self.cpu_s, self.memory_peak_kb = 0.0, 0
        self.ooms, self.oom = ooms, False
        self.asked: str | None = None
        self.leftovers = 0
        self.machine = False
        self.began = self.ended = time.monotonic()
        limit = order["time_limit_s"]
        self.limit_at = None if limit is None else self.began + limit
        self.leave_by: float | None = None  # what the child has left
        self.kill_at: float | None = None
        self.killing_since: float | None = None
        self.log = Capture(order["log"], order["tails"], order["log_bytes"])

    def run(self, start: Callable[[], tuple[int, int]]) -> None:
        """`start`: begins the program; its pid, and where its output is read without waiting."""
        error, here = None, False
        try:
            os.chdir(self.order["cwd"])
            here = True
            self.child, output = start()
        except (OSError, ValueError) as problem:
            text = os.strerror(problem.errno) if isinstance(problem, OSError) and problem.errno else str(problem)
            error = f"cannot start {self.order['argv'][0]}: {text}"
            # The engine has made the folder a moment ago: no program can help that it is gone.
            self.machine = at_fault(problem) or not here
        else:
            self._watch(output)
            self._drain(output)
            os.close(output)
        self.ended = time.monotonic()
        self.log.finish()
        if self.status in _KILLED and self.asked is None:
            before, self.ooms = self.ooms, processes.oom_kills()
            self.oom = self.ooms > before
        self._keep_record(error)

    def _watch(self, output: int) -> None:
        """Until the child and all that it started are gone."""
        poller = select.poll()
        poller.register(output, select.POLLIN)
        poller.register(self.signals, select.POLLIN)
        while True:
            for fd, _ in poller.poll(self._timeout_ms()):
                if fd == self.signals:
                    self._on_signals(os.read(self.signals, 512))
                elif not self._pump(output):
                    poller.unregister(output)  # closed by all: the child may live on
            if not self._reap():
                return
            self._on_time(time.monotonic())

    def _timeout_ms(self) -> float | None:
        limit, leave = (
            (self.limit_at if self.asked is None else None),
            (self.leave_by if self.kill_at is None else None),
        )
        due = [t for t in (limit, leave, self.kill_at) if t is not None]
        return min(_HOUR_MS, max(0.0, (min(due) - time.monotonic()) * 1000 + 1)) if due else None

    def _on_signals(self, numbers: bytes) -> None:
        request = _stop_request(self.order["stop"]) if signal.SIGUSR1 in numbers else None
        if request is not None:  # else the signal was for an earlier attempt
            self._stop(request["why"], request["reason"], 0.0 if request["kill"] else self.order["grace_s"])
            if request["kill"]:
                self.kill_at = time.monotonic()
        if signal.SIGTERM in numbers:
            self._stop("outside", "its supervisor was told to stop from outside", self.order["grace_s"])

    def _on_time(self, now: float) -> None:
        if self.limit_at is not None and now >= self.limit_at and self.asked is None and self.status is None:
            self._stop("time_limit", f"over its time limit of {self.order['time_limit_s']:g} s", self.order["grace_s"])
        if self.status is not None and self.kill_at is None:  # the child has ended by itself and left processes
            self._see_off(now)
        if self.kill_at is not None and now >= self.kill_at:
            processes.kill_all(os.getpid())
            self.killing_since = self.killing_since or now
            self.kill_at = now + 0.05  # again, in case something was born meanwhile

    def _see_off(self, now: float) -> None:
        """left -> gone, as each that ends wakes this process; or -> SIGTERM, after a moment, to those that stay.

        Helpers of multiprocessing end when their pipe closes; one that is late, or that another keeps, is not counted.
        """
        self.leave_by = self.leave_by or now + min(_MOMENT_S, self.order["grace_s"])
        if now >= self.leave_by:
            left = processes.descendants(os.getpid())
            self.leftovers = sum(not processes.is_helper(pid) for pid in left)
            processes.signal_all(left, signal.SIGTERM)
            self.kill_at = now + min(_LEFTOVER_S, self.order["grace_s"])

    def _stop(self, why: str, reason: str, grace_s: float) -> None:
        """running -> stopping: stop.json, SIGTERM to the whole tree, SIGKILL after the grace."""
        if self.asked is not None:
            return
        self.asked = why
        if grace_s > 0:
            stopnote.leave(why, reason, grace_s, self.order["nonce"])
        self.kill_at = time.monotonic() + grace_s
        if self.status is None:
            try:
                os.killpg(self.child, signal.SIGTERM)
            except OSError:
                pass
        tree = processes.descendants(os.getpid())
        processes.signal_all([p for p in tree if p != self.child], signal.SIGTERM)
        processes.signal_all(tree, signal.SIGCONT)

    def _reap(self) -> bool:
        """Takes in the dead; False when no descendant is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                self.all_gone = self.killing_since is None or time.monotonic() < self.killing_since + _UNKILLABLE_S
                return self.all_gone
            # A program's usage contains that of the processes it waited for; those it left come here by themselves.
            self.cpu_s += usage.ru_utime + usage.ru_stime
            self.memory_peak_kb = max(self.memory_peak_kb, usage.ru_maxrss)
            if pid == self.child:
                self.status = status

    def _pump(self, output: int) -> bool:
        try:
            data = os.read(output, _CHUNK)
        except BlockingIOError:
            return True
        self.log.write(data)
        return bool(data)

    def _drain(self, output: int) -> None:
        try:
            while data := os.read(output, _CHUNK):
                self.log.write(data)
        except OSError:
            pass

    def _keep_record(self, error: str | None) -> None:
        """A disk that is full for a while must not cost what has run."""
        pause = 0.1
        while True:
            try:
                return self._write_exit(error)
            except OSError as problem:
                self.log.full = self.log.full or problem.errno in FULL
                if not at_fault(problem) or time.monotonic() > self.ended + _RECORD_S:
                    raise
            time.sleep(pause)
            pause = min(2.0, 2 * pause)

    def _write_exit(self, error: str | None) -> None:
        code = None if self.status is None else os.waitstatus_to_exitcode(self.status)
        record = {
            "nonce": self.order["nonce"],
            "code": code if code is None or code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "stop_cause": self.asked,
            "error": error if error or code is not None else "its process cannot be killed",
            "leftovers": self.leftovers,
            "seconds": round(self.ended - self.began, 6),
            "ended_at": time.time(),
        }
        if self.machine:
            record["machine"] = True
        if self.log.full:
            record["full"] = True
        if self.status is not None:
            record["cpu_s"] = round(self.cpu_s, 6)
            record["memory_peak_mb"] = round(self.memory_peak_kb / 1024, 3)
            if self.oom:
                record["oom"] = True
        path = self.order["exit"]
        faultpoint("shim.exit-record")
        # No fsync: a record that a power cut takes away makes the attempt LOST, and it is run again.
        fd = open_new(f"{path}.new")
        os.write(fd, json.dumps(record).encode())
        os.close(fd)
        failpoint("shim.before-exit-record")
        os.rename(f"{path}.new", path)
        failpoint("shim.exit-recorded")


def _stop_request(path: str) -> dict[str, Any] | None:
    """What the engine left there when it stopped this attempt: the cause, the reason in words, and whether without
    grace."""
    try:
        with open(path, encoding="utf-8") as file:
            request = json.load(file)
        reason = str(request.get("reason") or request["why"])[:_MOST_WORDS]
        return {"why": str(request["why"])[:200], "kill": bool(request["kill"]), "reason": reason}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
