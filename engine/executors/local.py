"""Attempts as processes of this machine: launchers, a shim an attempt, slots, adoption after a restart.

Speaks to launchers over sockets and believes the attempts' files more than them: a launcher may die.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine import outputlog
from engine.executors import attempt as records
from engine.executors import shim, warm
from engine.executors.attempt import Fate
from engine.executors.crowd import Crowd
from engine.executors.link import Link
from engine.executors.slots import Slots, count_cores, find_gpus
from engine.failpoints import failpoint
from engine.ports import Adoption, Ended, Launch, Started
from engine.study import Exit, Resources

_log = logging.getLogger(__name__)
_STOP_AGAIN_S = 0.02
_ADOPTED_S = 1.0
_DEATHS = 5  # launchers of one kind in a row that die before they have run anything
_PAUSE_S = 0.025
_WARM_DEATHS = 2
_WARM_UP_S = 120.0
_LONG_S = 2.0  # of imports that the user hears of
_TOLD_BY = 3  # attempts that have ended when the user hears what a warm start gains, at the latest
_MOST_WARM = 16  # launchers with imports done: each holds them in memory
_COLD = ""  # the key of the launcher that has imported nothing


@dataclass
class _Run:
    """An attempt under way. `link`: the key of the launcher that has its order. `pidfd`: it was adopted (no launcher of
    ours knows it). `told`: Started was said. `why`: it was asked to stop."""

    launch: Launch
    folder: str
    link: str | None = None
    pidfd: int | None = None
    told: bool = False
    why: str | None = None
    kill: bool = False
    signalled: bool = False


class LocalExecutor:
    """The Executor of one machine.

    Args:
        resources: slots; env: the caller's environment (which GPUs there are); errors: file for what launchers may
            have to say; interpreter: Python of the launcher that imports nothing.
        say: takes what there is to tell the user of warm starts.

    Raises:
        SpecError: one trial asks for more than the machine has.
    """

    def __init__(
        self,
        resources: Resources,
        env: Mapping[str, str],
        errors: str = os.devnull,
        interpreter: str = sys.executable,
        say: Callable[[str], None] = _log.info,
    ) -> None:
        gpus = find_gpus(env) if resources.gpus else ()
        cores = count_cores()
        self._slots = Slots(resources, gpus, cores)
        self._crowd = Crowd(cores, say)
        self._interpreter, self._errors = interpreter, errors
        self._say = say
        self._links: dict[str, Link] = {}
        self._links_by_fd: dict[int, str] = {}
        self._deaths: dict[str, int] = {}
        self._too_cold = ""  # why no more attempts are forked from warm launchers
        self._told_importing = self._told_warm = False
        self._warm_ends = 0
        self._runs: dict[int, _Run] = {}
        self._news: list[Started | Ended] = []
        self._poller = select.poll()
        self._pidfds: dict[int, int] = {}
        self._look_at_adopted = 0.0
        self._woken, self._waker = os.pipe()
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)
        self._notices, self._notices_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # shims tell of their ends
        self._notice_buffer = b""
        for fd in (self._woken, self._notices):
            self._poller.register(fd, select.POLLIN)

    def free(self) -> int:
        return self._slots.free()

    def reserve(self, trial_id: int) -> tuple[str, ...]:
        return self._slots.take(trial_id)

    def release(self, trial_id: int) -> None:
        self._slots.give_back(trial_id)

    def launch(self, launch: Launch) -> None:
        run = _Run(launch, launch.paths.attempt(launch.attempt))
        self._runs[launch.trial_id] = run
        self._send(run)

    def adopt(self, launch: Launch) -> Adoption:
        run = _Run(launch, launch.paths.attempt(launch.attempt), told=True)
        self._slots.hold(launch.trial_id, launch.gpus)
        fate, _ = records.fate(run.folder, launch.nonce)
        if fate is Fate.NEVER:
            return Adoption.NEVER
        self._runs[launch.trial_id] = run
        return self._settle(run)

    def reap(self) -> list[Started | Ended]:
        self._look(0)
        self._give_up_late_ones()
        self._settle_adopted()
        self._crowd.look()
        for run in list(self._runs.values()):
            if run.why is not None and not run.signalled:
                run.signalled = records.ask_to_stop(run.folder, run.launch.nonce, run.why, kill=run.kill)
        news, self._news = self._news, []
        return news

    def stop(self, trial_id: int, why: str, *, kill: bool = False) -> None:
        run = self._runs.get(trial_id)
        if run is None:
            return
        if self._waits(run):
            self._end(run, Exit(asked_for=why))
            return
        if (link := self._links.get(run.link or _COLD)) is not None:
            link.wake()
        if run.kill and kill:  # asked for again: it does not answer
            records.kill_shim(run.folder, run.launch.nonce)
        if run.why is not None and run.kill >= kill:
            return
        run.why, run.kill = run.why or why, kill
        run.signalled = records.ask_to_stop(run.folder, run.launch.nonce, run.why, kill=kill)

    def wait(self, timeout_s: float) -> None:
        if self._news:
            return
        if any(run.why is not None and not run.signalled for run in self._runs.values()):
            timeout_s = min(timeout_s, _STOP_AGAIN_S)  # it is starting: signal it as soon as it can hear
        self._look(timeout_s)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b"\0")

    def close(self) -> None:
        for link in self._links.values():
            link.close()
        for pidfd in self._pidfds:
            os.close(pidfd)
        for fd in (self._woken, self._waker, self._notices, self._notices_in):
            os.close(fd)

    # -- launchers -------------------------------------------------------------------------------------------------

    def _send(self, run: _Run) -> None:
        launch, folder = run.launch, run.folder
        try:
            argv0 = _program(launch)
        except FileNotFoundError as error:
            self._end(run, Exit(error=str(error)))
            return
        order = {
            "trial": launch.trial_id,
            "attempt": launch.attempt,
            "nonce": launch.nonce,
            "argv": [argv0, *launch.argv[1:]],
            "env": dict(launch.env),
            "cwd": launch.paths.result_dir,
            "started": f"{folder}/{records.STARTED}",
            "exit": f"{folder}/{records.EXIT}",
            "stop": f"{folder}/{records.STOP}",
            "log": f"{folder}/{outputlog.NAME}",
            "tails": [f"{folder}/{name}" for name in outputlog.TAILS],
            "time_limit_s": launch.time_limit_s,
            "grace_s": launch.grace_s,
            "log_bytes": launch.log_bytes,
            "protect": list(launch.protect),
        }
        for _ in range(3):
            start = self._warm_start(launch, argv0)
            run.link = _COLD if start is None else start.key
            if self._deaths.get(run.link, 0) > _DEATHS:
                break
            order["warm"] = None if start is None else start.program
            line = b"%d %d %s\n" % (launch.trial_id, launch.attempt, json.dumps(order).encode())
            try:
                link = self._link(run.link, start)
                if link.ready:  # else it is sent when the imports are done: until then nothing has begun
                    link.socket.sendall(line)
                    failpoint("attempt.sent")
                return
            except OSError:
                self._launcher_died(run.link, but=run)
        self._end(run, Exit(error="the launcher cannot be started; see hpo-engine doctor"))

    def _warm_start(self, launch: Launch, argv0: str) -> warm.Start | None:
        if launch.warm_start == "off" or self._too_cold:
            return None
        modules = None if isinstance(launch.warm_start, str) else launch.warm_start
        start = warm.start_of(launch, argv0, modules)
        if start is None or (start.key not in self._links and len(self._links) > _MOST_WARM):
            return None
        return start

    def _link(self, key: str, start: warm.Start | None) -> Link:
        if key not in self._links:
            if deaths := self._deaths.get(key, 0):
                time.sleep(_PAUSE_S * 2**deaths)  # what kills them may pass
            link = self._links[key] = Link(self._interpreter, start, self._errors, self._notices_in)
            self._links_by_fd[link.socket.fileno()] = key
            self._poller.register(link.socket, select.POLLIN)
        return self._links[key]

    def _launcher_died(self, key: str, but: _Run | None = None) -> None:
        """Its shims go on: from now on their files and pidfds tell. What it had not begun, a new one begins."""
        self._deaths[key] = self._deaths.get(key, 0) + 1
        link = self._links.pop(key, None)
        if link is not None:
            self._poller.unregister(link.socket)
            del self._links_by_fd[link.socket.fileno()]
            link.close()
        if link is None or link.given_up:
            pass
        elif key != _COLD and self._deaths[key] >= _WARM_DEATHS:
            where = f" in import {link.imports}" if link.imports and not link.ready else ""
            self._go_cold(f"its process dies{where}")
        else:
            _log.warning("the launcher died; a new one takes over")
        for run in list(self._runs.values()):
            if run.link != key or run.pidfd is not None or run is but:
                continue
            fate, _ = records.fate(run.folder, run.launch.nonce)
            if fate is Fate.NEVER:
                self._send(run)
            else:
                self._settle(run)

    def _go_cold(self, why: str) -> None:
        if not self._too_cold:
            self._too_cold = why
            self._say(f"no warm start: {why}; each trial begins with a new interpreter")

    def _give_up_late_ones(self) -> None:
        for link in self._links.values():
            if link.ready or link.given_up:
                continue
            took = time.monotonic() - link.began
            if took > _WARM_UP_S:
                what = f"import {link.imports}" if link.imports else "its interpreter's start"
                self._go_cold(f"{what} is not done after {_WARM_UP_S:g} s")
                link.give_up()
            elif took > _LONG_S and link.imports and not self._told_importing:
                self._told_importing = True
                self._say(f"warm start: importing {link.imports} ...")

    def _settle_adopted(self) -> None:
        """Where another engine is there still, its shim does not leave with the attempt's end."""
        if not self._pidfds or time.monotonic() < self._look_at_adopted:
            return
        self._look_at_adopted = time.monotonic() + _ADOPTED_S
        for pidfd, trial_id in list(self._pidfds.items()):
            run = self._runs.get(trial_id)
            if run is None or records.read_exit(run.folder, run.launch.nonce):
                self._adopted_ended(pidfd)

    def _look(self, timeout_s: float) -> None:
        for fd, _ in self._poller.poll(timeout_s * 1000):
            if fd == self._woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 512)
            elif fd in self._pidfds:
                self._adopted_ended(fd)
            elif fd == self._notices:
                self._read_notices()
            elif fd in self._links_by_fd:
                self._read_launcher(self._links_by_fd[fd])

    def _read_launcher(self, key: str) -> None:
        link = self._links[key]
        lines = link.read()
        if lines is None:
            self._launcher_died(key)
            return
        for line in lines:
            what, _, rest = line.partition(b" ")
            if what == b"warm":
                self._warmed(key, json.loads(rest))
                continue
            if what == b"imports":
                link.imports = json.loads(rest)
                continue
            if what == b"cold":
                self._tell_warm(link, float(rest))
                continue
            trial_id, attempt, number = map(int, rest.split())
            if what == b"started":
                self._started(trial_id, attempt, number)
            elif run := self._run_of(trial_id, attempt):
                self._deaths.pop(key, None)
                if os.WIFEXITED(number) and os.WEXITSTATUS(number) == shim.TAKEN:
                    _log.info("trial %d: attempt %d runs already; adopted", trial_id, attempt)
                self._settle(run)

    def _warmed(self, key: str, report: dict[str, Any]) -> None:
        link = self._links[key]
        waiting = [run for run in self._runs.values() if self._waits(run) and run.link == key]
        if "problem" in report:
            link.given_up = True  # it leaves by itself
            self._go_cold(report["problem"])
        else:
            link.ready, link.report = True, report
        for run in waiting:
            self._send(run)

    def _waits(self, run: _Run) -> bool:
        """Whether its order has not been sent, as the launcher is not ready."""
        link = self._links.get(run.link or _COLD)
        return link is not None and not link.ready

    def _tell_warm(self, link: Link, seconds: float) -> None:
        """`seconds`: of a new interpreter's start and, if that is known, end, without the imports."""
        if link.report is not None and not self._told_warm:
            self._told_warm = True
            self._say(warm.told(link.report, seconds))

    def _read_notices(self) -> None:
        """Ends, from the shims themselves: a line `TRIAL ATTEMPT PID` each."""
        *lines, self._notice_buffer = (self._notice_buffer + os.read(self._notices, 1 << 16)).split(b"\n")
        for line in lines:
            trial_id, attempt, pid = map(int, line.split())
            self._started(trial_id, attempt, pid)
            if run := self._run_of(trial_id, attempt):
                self._settle(run)

    def _started(self, trial_id: int, attempt: int, pid: int) -> None:
        if (run := self._run_of(trial_id, attempt)) and not run.told:
            self._deaths.pop(run.link or _COLD, None)
            run.told = True
            self._crowd.started(trial_id, pid)
            self._news.append(Started(trial_id, attempt, pid))

    def _run_of(self, trial_id: int, attempt: int) -> _Run | None:
        run = self._runs.get(trial_id)
        return run if run is not None and run.launch.attempt == attempt else None

    # -- the fate of a run -----------------------------------------------------------------------------------------

    def _settle(self, run: _Run) -> Adoption:
        """Says what the files say: adopts what lives, ends what has ended."""
        nonce = run.launch.nonce
        deadline = time.monotonic() + 1.0
        while True:
            fate, exit_ = records.fate(run.folder, nonce)
            if fate is Fate.ALIVE:
                pidfd = records.open_shim(run.folder, nonce)
                if pidfd is not None:
                    self._watch_pidfd(run, pidfd)
                    return Adoption.RUNNING
                if time.monotonic() < deadline:
                    time.sleep(0.001)  # it is on its way out
                    continue
            if exit_ is None:
                killed = records.sweep(run.launch.paths, run.launch.attempt, nonce)
                if killed:
                    _log.warning("trial %d: its supervisor died; %d processes killed", run.launch.trial_id, killed)
                exit_ = Exit(lost=True)
            self._end(run, exit_)
            return Adoption.ENDED

    def _end(self, run: _Run, exit_: Exit) -> None:
        launch = run.launch
        if self._runs.pop(launch.trial_id, None) is None:
            return
        link = self._links.get(run.link or _COLD)
        if link is not None and not link.ready and not any(run.link == r.link for r in self._runs.values()):
            link.give_up()  # nobody waits for its imports any more
        if link is not None and link.report is not None:
            self._warm_ends += 1
            if self._warm_ends == _TOLD_BY:
                self._tell_warm(link, link.report["startup_s"])
        self._slots.give_back(launch.trial_id)
        self._crowd.ended(launch.trial_id)
        self._news.append(Ended(launch.trial_id, launch.attempt, exit_))

    def _watch_pidfd(self, run: _Run, pidfd: int) -> None:
        if run.pidfd is not None:
            self._forget_pidfd(run.pidfd)
        run.pidfd = pidfd
        self._pidfds[pidfd] = run.launch.trial_id
        self._poller.register(pidfd, select.POLLIN)

    def _adopted_ended(self, pidfd: int) -> None:
        run = self._runs.get(self._pidfds[pidfd])
        self._forget_pidfd(pidfd)
        if run is not None:
            run.pidfd = None
            self._settle(run)

    def _forget_pidfd(self, pidfd: int) -> None:
        self._poller.unregister(pidfd)
        del self._pidfds[pidfd]
        os.close(pidfd)


def _program(launch: Launch) -> str:
    """argv[0] as a path: what a shell would find in the working directory or on the PATH."""
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
