"""A launcher: a process that forks shims, gives each attempt to one, and reports those that end badly.

Run as a script, standard library only; one shim is always free. It outlives its engine until its last attempt has
ended. What a killed shim leaves behind falls to it, and it kills that. There are two kinds:

    python -I -S launcher.py ORDERS NOTICES            small, so that a fork is cheap; shims start any program
    python OPTIONS launcher.py ORDERS NOTICES PRELOAD  has imported what a Python script needs; shims fork the script

ORDERS, NOTICES: descriptors. PRELOAD: a JSON object, see `importing.preload`.
"""

from __future__ import annotations

import sys

_BARE = frozenset(sys.modules)  # what each interpreter has loaded before its script

import _signal  # type: ignore[import-not-found]  # noqa: E402
import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import select  # noqa: E402
import signal  # noqa: E402
import time  # noqa: E402

if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]  # the script's own folder will stand there
_ROOT = os.path.abspath(__file__).rsplit(os.sep, 4)[0]  # where the package is
sys.path.insert(0, _ROOT)
from hpo_engine.executors.local import processes, shim  # noqa: E402
from hpo_engine.failpoints import failpoint  # noqa: E402
from hpo_engine.system.faults import at_fault, faultpoint  # noqa: E402
from hpo_engine.system.writing import write_all  # noqa: E402

sys.path.pop(0)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hpo_engine.executors.preload.forked import ForkedScript

_STARTED_S = 0.1  # how long the report of a start may wait: it would wake the engine for little
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1)
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_STARTUP_S = 0.0  # processor time of this interpreter's start


class Launcher:
    """Lines `NONCE ORDER` come in over a socket (see shim.Shim.serve for the order, a JSON object); out go

    `started NONCE PID`; `starved NONCE ERRNO` if no shim can be forked; and `ended NONCE STATUS` if the shim could not
    report the end itself (it was killed, or found the attempt taken). A launcher with imports done begins with the
    lines of `_preloaded`, and sends `cold SECONDS` once it knows what a new interpreter costs.

    Args:
        preloaded: shims fork their scripts from themselves; probe: pid of a fork whose end shows what the end of an
        interpreter costs.
    """

    def __init__(self, orders: int, notices: int, *, preloaded: bool = False, probe: int = 0) -> None:
        self._engine, self._notices = orders, notices  # _engine: -1 when it is gone
        for fd in (orders, notices):
            os.set_inheritable(fd, False)  # no attempt may have them
        self._buffer = b""
        self._shims: dict[int, int] = {}  # all that live: pid -> descriptor that its orders go to
        self._free: list[int] = []  # pids; the last one is the latest, whose memory is at hand
        self._busy: dict[int, bytes] = {}  # pid -> nonce
        self._untold: dict[int, bytes] = {}  # those whose start has not been reported to the engine
        self._tell_at = 0.0
        self._preloaded, self._probe = preloaded, probe
        self._boot = processes.boot_id()
        self._idle, self._idle_in = os.pipe2(os.O_CLOEXEC)  # shims that are free again write their pids
        os.set_blocking(self._idle, False)
        self._signals, self._signals_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._signals_in, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda number, frame: None)  # they arrive through the pipe; shims inherit these
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)

    def run(self) -> None:
        poller = select.poll()
        poller.register(self._signals, select.POLLIN)
        poller.register(self._idle, select.POLLIN)
        poller.register(self._engine, select.POLLIN)
        while self._engine >= 0 or self._busy:
            if self._engine >= 0 and not self._free:
                try:
                    self._fork_shim()
                except OSError:
                    pass  # too many processes now; the next attempt tries again, and reports it
            wait_ms = max(0.0, self._tell_at - time.monotonic()) * 1000 + 1 if self._untold else None
            for fd, _ in poller.poll(wait_ms):
                if fd == self._signals:
                    os.read(self._signals, 512)
                    self._reap()
                elif fd == self._idle:
                    self._read_idle()
                elif not self._read_orders():
                    poller.unregister(fd)
                    self._let_go()
            if self._untold and time.monotonic() >= self._tell_at:
                self._send(b"".join(b"started %s %d\n" % (nonce, pid) for pid, nonce in self._untold.items()))
                self._untold.clear()

    def _read_orders(self) -> bool:
        try:
            data = os.read(self._engine, 1 << 20)
        except OSError:
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            if self._engine_is_gone():
                return False  # its successor takes what did not start for its own to start
            nonce, _, order = line.partition(b" ")
            self._launch(nonce, order)
        return bool(data)

    def _engine_is_gone(self) -> bool:
        poller = select.poll()
        poller.register(self._engine, select.POLLRDHUP)
        return bool(poller.poll(0))

    def _launch(self, nonce: bytes, order: bytes) -> None:
        try:
            pid = self._give(order + b"\n")
        except OSError as error:
            self._send(b"starved %s %d\n" % (nonce, error.errno or 0))
            return
        self._busy[pid] = nonce
        if not self._untold:
            self._tell_at = time.monotonic() + _STARTED_S
        self._untold[pid] = nonce

    def _give(self, order: bytes) -> int:
        """Hands the order to a shim that is free, or to a new one; its pid. Raises OSError if none can be forked."""
        while True:
            if not self._free:
                self._fork_shim()
            pid = self._free.pop()
            try:
                write_all(self._shims[pid], order)
                return pid
            except BrokenPipeError:  # it has been killed
                continue

    def _fork_shim(self) -> None:
        faultpoint("launcher.fork")
        orders, where = os.pipe2(os.O_CLOEXEC)
        # Blocked until the fork has a pipe for signals of its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            os.close(orders)
            os.close(where)
            raise
        if pid == 0:
            try:
                for fd in (where, *self._shims.values(), self._signals, self._signals_in, self._idle, self._engine):
                    os.close(fd)
                shim.Shim(self._boot, orders, self._notices, self._idle_in, self._preloaded).serve()
            except shim.ForkedChild:
                raise
            except BaseException:
                os._exit(70)
        failpoint("launcher.forked")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(orders)
        self._shims[pid] = where
        self._free.append(pid)

    def _read_idle(self) -> None:
        try:
            pids = os.read(self._idle, 1 << 16).split()
        except BlockingIOError:
            return
        for pid in map(int, pids):
            if self._busy.pop(pid, None) is not None:
                self._untold.pop(pid, None)
                self._free.append(pid)

    def _reap(self) -> None:
        self._read_idle()  # first: a pid that is reaped may be another's soon
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if os.WIFSTOPPED(status):
                if pid in self._shims:
                    os.kill(pid, signal.SIGCONT)  # its trial has stopped it: limits must hold all the same
                continue
            if pid == self._probe:
                self._send(b"cold %f\n" % (_STARTUP_S + usage.ru_utime + usage.ru_stime))
            if pid not in self._shims:
                continue  # an orphan of a killed one
            self._forget(pid)
            nonce = self._busy.pop(pid, None)
            if nonce is None:
                continue  # it was free
            self._untold.pop(pid, None)
            if os.WIFSIGNALED(status) or os.WEXITSTATUS(status) not in (0, shim.UNTOLD, shim.TAKEN):
                self._kill_orphans()  # it could not end its own
            if status != 0:
                self._send(b"ended %s %d\n" % (nonce, status))

    def _forget(self, pid: int) -> None:
        where = self._shims.pop(pid)
        if where >= 0:
            os.close(where)
        if pid in self._free:
            self._free.remove(pid)

    def _kill_orphans(self) -> None:
        """What a killed shim had below it is below this process now."""
        own = set(self._shims)
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline:
            try:
                if not processes.below(os.getpid(), own):
                    return
                processes.kill_all(os.getpid(), spare=own)
            except OSError:
                pass  # /proc cannot be listed: too many files are open just now
            time.sleep(0.005)

    def _send(self, data: bytes) -> None:
        try:
            if self._engine >= 0:
                write_all(self._engine, data)
        except OSError:
            pass  # it is gone; its end of the socket will say so

    def _let_go(self) -> None:
        """The engine is gone: stay for the attempts, take no more orders. Shims leave when they have none."""
        os.close(self._engine)
        self._engine = -1
        self._untold.clear()
        for pid, where in self._shims.items():
            os.close(where)
            self._shims[pid] = -1


def _main(orders: int, notices: int, preload: dict[str, Any] | None) -> ForkedScript | None:
    """Launches until there is nothing left to do. Returns a script in forks that are to run one."""
    processes.become_subreaper()
    processes.wake_when_orphaned()
    if preload is None:
        gc.collect()
        gc.freeze()  # a collection in a fork would touch, and so copy, every page
        gc.disable()
        Launcher(orders, notices).run()
        return None
    from hpo_engine.executors.preload import forked, importing
    from hpo_engine.executors.preload.title import ProcessTitle

    probe, report, collecting = _preloaded(orders, notices, preload)
    handlers = [(int(number), _signal.getsignal(number)) for number in (*_SIGNALS, *_IGNORED)]
    wakeup, mask = signal.set_wakeup_fd(-1), signal.pthread_sigmask(signal.SIG_SETMASK, ())
    kept, known, title = importing.opened(), frozenset(sys.modules), ProcessTitle()
    try:
        Launcher(orders, notices, preloaded=True, probe=probe).run()
        os._exit(0)  # what the imports have registered for the end is the programs' business
    except shim.ForkedChild as child:
        awaited = child.orders
    shim.restore(handlers, wakeup, mask, kept | {awaited})
    forked.take_chances_anew()
    order = shim.awaited(awaited)
    if report["output"]:
        os.write(1, report["output"].encode("latin-1"))
    return forked.ForkedScript(order, title, known, report["environment"], collecting)


def _preloaded(orders: int, notices: int, preload: dict[str, Any]) -> tuple[int, dict[str, Any], bool]:
    """Does the imports and reports them. Returns the pid of a fork that ends as an interpreter does,
    the report of `importing.preload`, and whether garbage is collected.

    Sends `importing NAME` before each, then `preloaded REPORT`. The report has `problem` if forks would not be as good
    as new interpreters, `starved` if none can be made at present (then the process leaves); else `packages`, `seconds`
    (of the imports), `startup_s` (processor time of the interpreter's start) and `fork_s`.
    """
    from hpo_engine.executors.preload import importing

    importing.begin()
    try:
        with importing.not_without(orders):
            faultpoint("launcher.import")
            report = importing.preload(preload, _BARE, lambda name: _say(orders, "importing", name))
        collecting = gc.isenabled()
        gc.collect()
        gc.freeze()
        gc.disable()
        fork_s = importing.fork_seconds()
    except importing.NotForkable as why:
        processes.kill_all(os.getpid())  # what imports have started; before the engine learns of it and may end
        _say(orders, "preloaded", {"problem": str(why)})
        os._exit(0)
    except OSError as error:
        if not at_fault(error):
            raise
        _say(orders, "preloaded", {"starved": os.strerror(error.errno or 0)})
        os._exit(0)
    os.dup2(preload["errors"], 2)
    sent = {name: report[name] for name in ("packages", "seconds")}
    sent["startup_s"], sent["fork_s"] = _STARTUP_S, fork_s
    failpoint("launcher.preloaded")
    _say(orders, "preloaded", sent)
    return importing.end_as_an_interpreter((orders, notices)), report, collecting


def _say(engine: int, what: str, more: object) -> None:
    os.write(engine, f"{what} {json.dumps(more)}\n".encode())


if __name__ == "__main__":
    _STARTUP_S = time.process_time()
    _script = _main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]) if len(sys.argv) > 3 else None)
    if _script is not None:
        # Here, so that one frame lies below the script's.
        try:
            exec(_script.code, _script.names)
        except BaseException as _error:
            _script.failed(_error)
        _script.end()
