"""Trials that stop or trace what is above them: no limit is overrun for ever, and no other trial waits for ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.core.ports import Adoption
from hpo_engine.executors.local import guard, processes, records
from hpo_engine.study.trial import StopCause
from tests.support.helpers import remove_tree, wait_until
from tests.support.local_bench import Bench, launchers, nothing_left

ABOVE = """
import ctypes, os, signal, sys, time
def parent(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
shim = os.getppid()
launcher = parent(shim)
libc = ctypes.CDLL(None, use_errno=True)
ATTACH, SEIZE, INTERRUPT, EXITKILL = 16, 0x4206, 0x4207, 1 << 20
def attach(pid):
    assert libc.ptrace(ATTACH, pid, None, None) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(pid, 0x40000000)
def seize(pid, options=0):
    assert libc.ptrace(SEIZE, pid, None, ctypes.c_void_p(options)) == 0, os.strerror(ctypes.get_errno())
    assert libc.ptrace(INTERRUPT, pid, None, None) == 0
    os.waitpid(pid, 0x40000000)
def below(pid):
    return [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]
def ready():
    open("ready", "w").close()
"""
TRACED = "it traces its supervisor"
FOREVER = "ready()\nwhile True: time.sleep(60)\n"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    monkeypatch.setattr(guard, "_LOOK_S", 0.05)
    monkeypatch.setattr(guard, "_STILL_S", 0.4)
    monkeypatch.setattr(guard, "_MARGIN_S", 0.5)
    caplog.set_level("WARNING")
    yield


@pytest.fixture(autouse=True)
def _ptrace() -> None:
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if scope.exists() and scope.read_text().strip() != "0" and os.geteuid() != 0:
        pytest.skip("a trial cannot trace what is above it here")


def hostile(bench: Bench, script: str, **more: Any) -> None:
    bench.python(0, ABOVE + script, **more)
    wait_until(lambda: bench.executor.wait(0.02) or bench.executor.reap() or bench.file(0, "ready").exists())


def next_trial_runs(bench: Bench, trial: int = 1) -> None:
    bench.shell(trial, "echo x >> count; exit 3")
    (end,) = bench.end()
    assert (end.nonce, end.exit.code) == (bench.nonce(trial), 3)
    assert bench.file(trial, "count").read_text() == "x\n"


STOPS = {
    "stops the launcher": "os.kill(launcher, signal.SIGSTOP)\n",
    "stops launcher and supervisors": "for p in (*below(launcher), launcher): os.kill(p, signal.SIGSTOP)\n",
    "traces the launcher": "attach(launcher)\n",
    "seizes the launcher": "seize(launcher)\n",
    "traces the free supervisors": "for p in below(launcher):\n    if p != shim: attach(p)\n",
}


@pytest.mark.parametrize("script", STOPS.values(), ids=STOPS)
def test_next_trial_starts_whatever_stands_still(bench: Bench, script: str) -> None:
    hostile(bench, script + FOREVER)
    bench.shell(1, "echo x >> count; exit 3")
    (end,) = bench.end()
    if end.exit.lost:  # its supervisor was traced, and killed for it, before or after it began
        count = bench.file(1, "count")
        assert "p != shim" in script and (not count.exists() or count.read_text() == "x\n")
        return
    assert (end.nonce, end.exit.code) == (bench.nonce(1), 3) and bench.file(1, "count").read_text() == "x\n"
    bench.executor.stop(bench.nonce(0), StopCause.USER)
    (end,) = bench.end()
    assert end.nonce == bench.nonce(0) and end.exit.stop_cause == "user" and nothing_left(bench)


def test_launcher_that_is_stopped_again_and_again_is_replaced(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    again = (  # the launcher is gone when it was replaced; the trial goes on
        "ready()\nwhile True:\n    try:\n        os.kill(launcher, signal.SIGSTOP)\n"
        "    except ProcessLookupError:\n        pass\n    time.sleep(0.0005)\n"
    )
    hostile(bench, again, time_limit_s=20.0)
    (first,) = launchers()
    next_trial_runs(bench)
    assert caplog.messages.count("the launcher does not answer; a new one takes over") == (first not in launchers())
    bench.executor.stop(bench.nonce(0), StopCause.USER)
    (end,) = bench.end()
    assert end.exit.stop_cause == "user" and nothing_left(bench)


TRACES = {
    "attached": "attach(shim)\n",
    "seized": "seize(shim)\n",
    "seized, to die with the trial": "seize(shim, EXITKILL)\n",
    "both": "attach(launcher); attach(shim)\n",
    "stopped with the launcher": "os.kill(launcher, signal.SIGSTOP); os.kill(shim, signal.SIGSTOP)\n",
    "kept stopped": (  # it goes on when a launcher that did not answer was replaced
        "ready()\nwhile True:\n    for pid in (launcher, shim):\n        try:\n            os.kill(pid, signal.SIGSTOP)\n"
        "        except ProcessLookupError:\n            pass\n"
    ),
}


@pytest.mark.by_default(2)
@pytest.mark.parametrize("script", TRACES.values(), ids=TRACES)
def test_time_limit_holds_whatever_the_supervisor_is_kept_from(bench: Bench, script: str) -> None:
    begin = time.monotonic()
    hostile(bench, script + FOREVER, time_limit_s=0.5, grace_s=0.2)
    (end,) = bench.end()
    assert time.monotonic() - begin < 60.0
    assert end.exit.stop_cause == "time_limit" or end.exit.lost or TRACED in str(end.exit), end
    assert nothing_left(bench)


@pytest.mark.parametrize("script", [TRACES["attached"], TRACES["both"]], ids=["attached", "both"])
def test_trial_without_limit_that_keeps_its_supervisor_still_is_ended(
    bench: Bench, script: str, caplog: pytest.LogCaptureFixture
) -> None:
    hostile(bench, script + FOREVER)
    (end,) = bench.end()
    assert TRACED in str(end.exit) and not end.exit.lost and nothing_left(bench)
    assert sum(TRACED in text for text in caplog.messages) == 1
    next_trial_runs(bench)


@pytest.mark.parametrize("kill", [False, True])
def test_stop_reaches_a_trial_that_traces_its_supervisor(bench: Bench, kill: bool) -> None:
    hostile(bench, "seize(shim)\n" + FOREVER, grace_s=0.2)
    bench.executor.stop(bench.nonce(0), StopCause.USER, kill=kill)
    (end,) = bench.end()
    assert end.exit.stop_cause == "user" and nothing_left(bench)


def test_adopted_trial_that_traces_its_supervisor_keeps_its_limit(bench: Bench) -> None:
    launch = bench.python(0, ABOVE + "attach(shim)\n" + FOREVER, time_limit_s=0.5, grace_s=0.2)
    wait_until(bench.file(0, "ready").exists)
    bench.executor.close()
    bench.executors.clear()
    bench.new_executor()
    assert bench.executor.adopt(launch) is Adoption.RUNNING
    (end,) = bench.end()
    assert end.exit.stop_cause == "time_limit" or TRACED in str(end.exit)
    assert nothing_left(bench)


def test_stopped_launcher_of_an_adopted_trial_is_woken(bench: Bench) -> None:
    launch = bench.shell(0, ": > ready; exec sleep 60")
    wait_until(bench.file(0, "ready").exists)
    (launcher,) = launchers()
    bench.executor.close()
    bench.executors.clear()
    os.kill(launcher, signal.SIGSTOP)
    wait_until(lambda: processes.stands_still(launcher))
    bench.new_executor()
    assert bench.executor.adopt(launch) is Adoption.RUNNING
    wait_until(lambda: bench.executor.wait(0.02) or bench.executor.reap() or not processes.stands_still(launcher))
    bench.executor.stop(bench.nonce(0), StopCause.USER)
    (end,) = bench.end()
    assert end.exit.stop_cause == "user"
    wait_until(lambda: os.waitpid(launcher, os.WNOHANG)[0] == launcher)


def test_trial_that_stops_itself_and_its_group_is_its_own_business_until_its_limit(bench: Bench) -> None:
    bench.python(0, ABOVE + "ready(); os.kill(0, signal.SIGSTOP); time.sleep(60)", time_limit_s=0.5)
    (end,) = bench.end()
    assert end.exit.stop_cause == "time_limit" and nothing_left(bench)


def test_supervisor_that_its_trial_traces_without_stopping_it_is_left_alone(bench: Bench) -> None:
    script = "assert libc.ptrace(SEIZE, shim, None, None) == 0\nready()\ntime.sleep(1.0)\nos._exit(4)\n"
    hostile(bench, script)
    (end,) = bench.end()
    assert end.exit.code == 4


def test_slow_launcher_is_not_replaced(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.shell(0, "exec sleep 60")
    bench.shim_pid(0)
    (launcher,) = launchers()
    for _ in range(3):
        os.kill(launcher, signal.SIGSTOP)
        time.sleep(0.1)
        os.kill(launcher, signal.SIGCONT)
        bench.executor.wait(0.05)
        bench.executor.reap()
    assert launchers() == [launcher]
    next_trial_runs(bench)
    assert "the launcher does not answer; a new one takes over" not in caplog.messages


def test_orders_beyond_what_a_stopped_launcher_takes_hold_up_nobody(bench: Bench) -> None:
    bench.shell(0, "exit 0")
    bench.end()
    (launcher,) = launchers()
    os.kill(launcher, signal.SIGSTOP)
    env = {"PATH": os.environ["PATH"], "LONG": "x" * 60_000}
    begin = time.monotonic()
    for trial in range(1, 21):
        launch = bench.order(trial, "/bin/sh", "-c", "echo x >> count")
        bench.executor.launch(type(launch)(**{**vars(launch), "env": {**env, "HPO_ATTEMPT": launch.nonce}}))
    assert time.monotonic() - begin < 60.0
    assert sorted(end.exit.code or 0 for end in bench.end(20)) == [0] * 20
    assert all(bench.file(trial, "count").read_text() == "x\n" for trial in range(1, 21))


def test_trial_whose_records_were_removed_can_be_stopped(bench: Bench) -> None:
    bench.shell(0, ": > ready; exec sleep 60")
    wait_until(bench.file(0, "ready").exists)
    wait_until(lambda: bench.executor.wait(0.02) or bench.executor.reap())
    remove_tree(bench.paths.trials)
    bench.executor.stop(bench.nonce(0), StopCause.USER)
    (end,) = bench.end()
    assert end.exit.stop_cause == "user" and nothing_left(bench)


def test_forged_token_moves_the_guard_to_no_signal(bench: Bench) -> None:
    """A trial names a stranger, stopped, in its own record: it is neither woken nor killed."""
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    os.kill(stranger.pid, signal.SIGSTOP)
    try:
        launch = bench.shell(0, "exec sleep 60")
        bench.shim_pid(0)
        path = Path(launch.paths.attempt(1), records.STARTED)
        token = {**json.loads(path.read_text()), "pid": stranger.pid, "start": processes.start_time(stranger.pid)}
        path.write_text(json.dumps(token))
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            bench.executor.wait(0.05)
            bench.executor.reap()
        assert processes.stands_still(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()
