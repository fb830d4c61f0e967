"""What only real processes can show: trees, signals, adoption, hostile trials."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.outputlog import logfiles
from hpo_engine.contract.paths import identity
from hpo_engine.core.ports import Adoption, Ended
from hpo_engine.executors.context import ExecutorContext
from hpo_engine.executors.local import marks, processes, records, shim
from hpo_engine.executors.local.executor import LocalExecutor
from hpo_engine.study.spec import Resources
from hpo_engine.study.trial import StopCause
from tests.support.helpers import processes_with, wait_until
from tests.support.local_bench import Bench, launchers, nothing_left

DAEMON = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execve("/bin/sleep", ["sleep", "{token}"], {})  # a cleared environment
    os._exit(0)
open("daemon-made", "w").close()
time.sleep({wait})
"""


def daemon(bench: Bench, wait_s: int) -> str:
    return DAEMON.replace("{wait}", str(wait_s)).replace("{token}", bench.token)


def test_daemon_that_ignores_sigterm_is_gone_when_its_trial_has_ended(bench: Bench) -> None:
    bench.python(0, daemon(bench, 0))
    (end,) = bench.end()
    assert end.exit.code == 0 and end.exit.leftovers >= 1
    assert not processes_with(bench.token)


def test_daemon_is_gone_after_stop(bench: Bench) -> None:
    bench.python(0, daemon(bench, 60))
    wait_until(bench.file(0, "daemon-made").exists)
    bench.executor.stop(bench.nonce(0), StopCause.USER)
    (end,) = bench.end()
    assert end.exit.stop_cause == "user"
    assert not processes_with(bench.token)


def test_killed_shim_is_lost_and_its_tree_dies(bench: Bench) -> None:
    bench.python(0, daemon(bench, 60))
    wait_until(bench.file(0, "daemon-made").exists)
    os.kill(bench.shim_pid(0), signal.SIGKILL)
    (end,) = bench.end()
    assert end.exit.lost
    assert nothing_left(bench)


def test_trial_that_kills_its_parent_is_lost_and_dies(bench: Bench) -> None:
    bench.shell(0, "kill -9 $PPID; sleep 60")
    (end,) = bench.end()
    assert end.exit.lost and nothing_left(bench)


def test_trial_that_terms_its_parent_is_not_taken_for_a_user_stop(bench: Bench) -> None:
    bench.shell(0, "kill -TERM $PPID; sleep 60")
    (end,) = bench.end()
    assert end.exit.stop_cause == "outside"


def test_stopped_process_is_ended(bench: Bench) -> None:
    bench.shell(0, ": > here; kill -STOP $$; sleep 60")
    wait_until(bench.file(0, "here").exists)
    bench.executor.stop(bench.nonce(0), StopCause.USER)
    (end,) = bench.end()
    assert end.exit.stop_cause == "user" and nothing_left(bench)


def test_time_limit_holds_where_a_trial_stops_its_supervisor(bench: Bench) -> None:
    bench.shell(0, "kill -STOP $PPID; sleep 60", time_limit_s=0.3)
    (end,) = bench.end()
    assert end.exit.stop_cause == "time_limit" and nothing_left(bench)


def test_time_limit_holds_without_an_engine(bench: Bench) -> None:
    launch = bench.shell(0, "exec sleep 60", time_limit_s=0.3)
    bench.shim_pid(0)
    bench.executor.close()
    bench.executors.clear()
    wait_until(lambda: nothing_left(bench))
    wait_until(lambda: records.read_exit(launch.paths.attempt(1), launch.nonce))  # the last thing that a shim does
    assert records.fate(launch.paths.attempt(1), launch.nonce)[1].stop_cause == "time_limit"  # type: ignore[union-attr]


def test_one_shim_runs_attempt_after_attempt_and_gathers_no_files(bench: Bench) -> None:
    pids, files = set(), []
    for trial in range(12):
        bench.shell(trial, "ls no-such-file; exec sleep 0.01")
        (end,) = bench.end()
        assert end.exit.code == 0
        pids.add(shim := bench.shim_pid(trial))
        files.append(len(os.listdir(f"/proc/{shim}/fd")))
    assert len(pids) <= 2  # the second one was there when the first was not free yet
    assert len(set(files)) <= 2


def test_shim_leaves_after_its_last_attempt_and_says_first_when_it_is_free(tmp_path: Path) -> None:
    (orders, orders_in), (notices, notices_in), (idle, idle_in) = os.pipe(), os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        shim._MOST_ATTEMPTS = 3
        signal.signal(signal.SIGCHLD, lambda *_: None)  # as launchers do
        os.close(orders_in)
        shim.Shim(processes.boot_id(), orders, notices_in, idle_in, preloaded=False).serve()
    for fd in (orders, notices_in, idle_in):
        os.close(fd)
    for trial in range(4):
        names = {name: f"{tmp_path}/{trial}.{name}" for name in ("started", "exit", "stop", "log")}
        order: dict[str, Any] = {
            "nonce": f"n{trial}", "argv": ["/bin/true"], "env": {}, "cwd": "/", **names,
            "tails": [], "time_limit_s": None, "grace_s": 1.0, "log_bytes": 4096, "protect": [], "lease": None, "script": None,
        }  # fmt: skip
        os.write(orders_in, json.dumps(order).encode() + b"\n")
    assert os.waitpid(pid, 0) == (pid, 0)
    assert os.read(notices, 4096) == b"".join(b"n%d %d\n" % (trial, pid) for trial in range(3))
    assert os.read(idle, 4096) == b"%d\n%d\n" % (pid, pid)
    for fd in (orders_in, notices, idle):
        os.close(fd)


def test_stop_that_comes_too_late_does_not_reach_the_next_attempt(bench: Bench) -> None:
    for trial in range(2):
        bench.shell(trial, "exit 0")
    bench.end(2)
    for trial in range(2):
        os.kill(bench.shim_pid(trial), signal.SIGTERM)  # they are free: nobody is meant
    bench.shell(2, ": > here; while [ ! -e go ]; do sleep 0.02; done")
    wait_until(bench.file(2, "here").exists)
    assert bench.shim_pid(2) in (bench.shim_pid(0), bench.shim_pid(1))
    os.kill(bench.shim_pid(2), signal.SIGUSR1)  # the engine's signal without its word
    bench.file(2, "go").touch()
    (end,) = bench.end()
    assert (end.exit.code, end.exit.stop_cause, end.exit.error) == (0, None, None)


def test_shim_whose_mounts_were_changed_is_not_used_again(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for trial in range(2):
        bench.shell(trial, "exit 0", protect=(str(tmp_path / "data"),))
        bench.end()
    assert bench.shim_pid(0) != bench.shim_pid(1)


def test_launcher_and_shim_leave_when_all_is_over(bench: Bench) -> None:
    bench.shell(0, "exit 0")
    bench.end()
    (launcher,) = launchers()
    bench.executor.close()
    bench.executors.clear()
    wait_until(lambda: os.waitpid(launcher, os.WNOHANG)[0] == launcher)


def test_launchers_that_die_at_once_end_every_attempt_with_the_reason(bench: Bench) -> None:
    bench.executor = LocalExecutor(ExecutorContext(Resources(parallel=9), os.environ, interpreter="/bin/false"))
    bench.executors.append(bench.executor)
    for trial in range(5):
        bench.shell(trial, "exit 0")
    assert {end.exit.error for end in bench.end(5)} == {"the launcher cannot be started; see hpo-engine doctor"}


def test_killed_launcher_stops_no_trial_and_the_next_one_starts(bench: Bench) -> None:
    bench.shell(0, ": > here; while [ ! -e go ]; do sleep 0.02; done; exit 7")
    wait_until(bench.file(0, "here").exists)
    for pid in launchers():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    bench.shell(1, "exit 3")
    (end,) = bench.end()
    assert (end.nonce, end.exit.code) == (bench.nonce(1), 3)
    bench.file(0, "go").touch()
    (end,) = bench.end()
    assert (end.nonce, end.exit.code) == (bench.nonce(0), 7)


def test_running_trials_are_adopted_by_the_next_executor(bench: Bench) -> None:
    launches = [bench.shell(i, "echo x >> count; while [ ! -e go ]; do sleep 0.05; done; exit 4") for i in range(8)]
    for i in range(8):
        wait_until(bench.file(i, "count").exists)
    bench.executor.close()
    bench.executors.clear()
    bench.new_executor()
    assert [bench.executor.adopt(launch) for launch in launches] == [Adoption.RUNNING] * 8
    for i in range(8):
        bench.file(i, "go").touch()
    ends = bench.end(8)
    assert {e.exit.code for e in ends} == {4}
    assert all(bench.file(i, "count").read_text() == "x\n" for i in range(8))


def test_adopted_trial_can_be_stopped(bench: Bench) -> None:
    launch = bench.shell(0, ": > here; exec sleep 60")
    wait_until(bench.file(0, "here").exists)
    bench.executor.close()
    bench.executors.clear()
    bench.new_executor()
    bench.executor.adopt(launch)
    bench.executor.stop(bench.nonce(0), StopCause.USER)
    (end,) = bench.end()
    assert end.exit.stop_cause == "user"


def test_same_attempt_launched_twice_runs_once(bench: Bench) -> None:
    launch = bench.order(0, "/bin/sh", "-c", "echo x >> count; sleep 0.2")
    other = LocalExecutor(ExecutorContext(Resources(parallel=9), os.environ))
    bench.executors.append(other)
    for executor in (bench.executor, other):
        executor.launch(launch)
    (end,) = bench.end()
    assert end.exit.code == 0
    assert bench.file(0, "count").read_text() == "x\n"
    ends: list[Any] = []
    wait_until(lambda: (other.wait(0.05), ends.extend(n for n in other.reap() if isinstance(n, Ended)), ends)[-1])
    assert ends[0].exit.code == 0


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


def test_what_outlived_its_launcher_and_its_shim_is_swept_when_the_next_engine_looks(bench: Bench) -> None:
    """A process that ignores signals, and one in a session of its own; both carry the attempt's mark."""
    script = f"trap '' TERM HUP INT; setsid sleep {bench.token} & : > here; sleep {bench.token}"
    launch = bench.shell(0, script)
    wait_until(bench.file(0, "here").exists)
    wait_until(lambda: len(processes_with(f"sleep\0{bench.token}")) == 2)
    supervisor = bench.shim_pid(0)
    launcher = parent(supervisor)
    assert launcher in launchers()
    os.kill(launcher, signal.SIGKILL)  # first: else it would clear up after its shim
    os.waitpid(launcher, 0)
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: supervisor not in processes_with(bench.paths.root + "/"))
    bench.executor.close()
    bench.executors.clear()
    assert len(processes_with(f"sleep\0{bench.token}")) == 2, "nobody has ended it yet"
    bystander = subprocess.Popen(["/bin/sleep", "60"], env={"HPO_ATTEMPT": f"{launch.nonce}1"})
    try:
        bench.new_executor()
        assert bench.executor.adopt(launch) is Adoption.ENDED
        (end,) = bench.end()
        assert end.exit.lost and end.exit.code is None
        wait_until(lambda: not processes_with(bench.token))
        assert bystander.poll() is None, "a mark that only begins alike is another's"
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("record", [None, "old", "copied"])
def test_mark_alone_ends_no_process_of_another_folder(bench: Bench, tmp_path: Path, record: str | None) -> None:
    launch = bench.order(0, "true")
    folder = Path(launch.paths.attempt(1))
    other = tmp_path / "other" / "results" / "0"
    other.mkdir(parents=True)
    if record is not None:
        token = {"nonce": launch.nonce, "pid": os.getpid(), "start": 1, "boot": processes.boot_id(), "at": 0}
        more = {} if record == "old" else {"folder": list(identity(tmp_path / "other"))}
        (folder / records.STARTED).write_text(json.dumps({**token, **more}))
    strangers = [
        subprocess.Popen(["/bin/sleep", "60"], cwd=cwd, env={"HPO_ATTEMPT": launch.nonce, **env})
        for cwd, env in (("/", {}), ("/", {"RESULT_DIR": str(other)}), (other, {"RESULT_DIR": "results/0"}))
    ]
    own = [
        subprocess.Popen(["/bin/sleep", "60"], cwd=cwd, env={"HPO_ATTEMPT": launch.nonce, **env})
        for cwd, env in (("/", {"RESULT_DIR": launch.paths.result_dir}), (launch.paths.result_dir, {}))
    ]
    try:
        killed = marks.sweep(launch.paths, 1, launch.nonce)
        assert killed == (0 if record == "copied" else 2)
        assert [p.poll() for p in strangers] == [None] * 3
        assert [p.wait(10) if record != "copied" else p.poll() for p in own] == [None if record == "copied" else -9] * 2
    finally:
        for process in (*strangers, *own):
            process.kill()
            process.wait()


def test_token_that_was_copied_or_linked_opens_no_shim(bench: Bench) -> None:
    launch = bench.shell(0, ": > here; while [ ! -e go ]; do sleep 0.02; done")
    wait_until(bench.file(0, "here").exists)
    folder = Path(launch.paths.attempt(1))
    shim = bench.shim_pid(0)
    ways: tuple[Callable[[Path, Path], object], ...] = (shutil.copy, os.link)
    for number, make in enumerate(ways):
        other = folder.parent / f"other{number}"
        other.mkdir()
        make(folder / records.STARTED, other / records.STARTED)
        assert records.fate(str(other), launch.nonce)[0] is records.Fate.ELSEWHERE
        assert records.open_shim(str(other), launch.nonce) is None
        assert not records.ask_to_stop(str(other), launch.nonce, "why", kill=True)
        records.kill_shim(str(other), launch.nonce)
        assert records.original(str(other), launch.nonce) == str(folder)
    assert records.fate(str(folder), launch.nonce)[0] is records.Fate.ALIVE
    assert records.original(str(folder), launch.nonce) is None and os.path.exists(f"/proc/{shim}")
    bench.file(0, "go").touch()
    (end,) = bench.end()
    assert end.exit.code == 0


def test_ended_without_record_and_without_life_is_lost(bench: Bench) -> None:
    launch = bench.order(0, "true")
    stale = {"nonce": launch.nonce, "pid": 4, "start": 1, "boot": "another boot", "at": 0}
    Path(launch.paths.attempt(1), records.STARTED).write_text(json.dumps(stale))
    assert bench.executor.adopt(launch) is Adoption.ENDED
    (end,) = bench.end()
    assert end.exit.lost


def test_forged_record_gets_no_signal_to_the_stranger(bench: Bench) -> None:
    victim = subprocess.Popen(["/bin/sh", "-c", "trap 'exit 9' TERM USR1; while :; do sleep 0.01; done"])
    try:
        launch = bench.order(0, "true")
        folder = launch.paths.attempt(1)
        for start in (processes.start_time(victim.pid), 1):
            forged = {"nonce": launch.nonce, "pid": victim.pid, "start": start, "boot": processes.boot_id(), "at": 0}
            Path(folder, records.STARTED).write_text(json.dumps(forged))
            assert records.open_shim(folder, launch.nonce) is None
            assert not records.ask_to_stop(folder, launch.nonce, "why", kill=False)
            assert not records.ask_to_stop(folder, launch.nonce, "why", kill=True)
        time.sleep(0.05)
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


@pytest.mark.parametrize("record", ["", "[]", "{", '{"nonce": "n", "pid": -1, "start": "x"}', '{"nonce": 3}', "null"])
def test_garbage_record_is_survived(bench: Bench, record: str) -> None:
    launch = bench.order(0, "true")
    Path(launch.paths.attempt(1), records.STARTED).write_text(record)
    assert bench.executor.adopt(launch) is Adoption.ENDED
    (end,) = bench.end()
    assert end.exit.lost


def test_trial_gets_no_descriptor_no_stdin_and_default_signals(bench: Bench) -> None:
    bench.python(0, SELF_PORTRAIT)
    bench.end()
    seen = json.loads(bench.file(0, "portrait.json").read_text())
    assert seen["fds"] == [0, 1, 2]
    assert seen["stdin"] == ""
    assert seen["ignored"] == seen["blocked"] == []
    assert seen["cwd"] == bench.paths.trial(0).result_dir


SELF_PORTRAIT = """
import json, os, signal, sys
fds = []
for fd in range(256):
    try:
        os.fstat(fd)
    except OSError:
        continue
    fds.append(fd)
usual = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT}  # Python's own doing
ignored = [s for s in signal.valid_signals() if s not in usual and signal.getsignal(s) == signal.SIG_IGN]
blocked = list(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
stdin = sys.stdin.read()
json.dump(dict(fds=fds, stdin=stdin, ignored=ignored, blocked=blocked, cwd=os.getcwd()), open("portrait.json", "w"))
"""

ODD = ["two words", "$HOME `id` $(id)", "a'b\"c", ";rm -rf /", "*", "--x=1\n2", "", "ü\u202e", "\\"]


def test_arguments_arrive_intact(bench: Bench) -> None:
    script = "import json, sys; json.dump(sys.argv[1:], open('argv.json', 'w'))"
    bench.start(0, sys.executable, "-c", script, *ODD)
    bench.end()
    assert json.loads(bench.file(0, "argv.json").read_text()) == ODD


def test_output_of_both_streams_is_kept(bench: Bench) -> None:
    bench.shell(0, "echo out; echo err >&2; printf 'no newline'")
    bench.end()
    assert bench.output(0) == b"out\nerr\nno newline"


def test_silent_trial_makes_no_log(bench: Bench) -> None:
    bench.shell(0, "exit 0")
    bench.end()
    assert not Path(bench.paths.trial(0).attempt(1), logfiles.NAME).exists()


def test_endless_output_keeps_head_and_tail(bench: Bench) -> None:
    limit = 1 << 16
    bench.python(0, "for i in range(200000): print('line', i)", log_bytes=limit)
    (end,) = bench.end()
    log = bench.output(0)
    assert end.exit.code == 0
    assert len(log) <= limit + 100
    assert log.startswith(b"line 0\nline 1\n") and log.endswith(b"line 199998\nline 199999\n")
    assert b"bytes dropped ...]" in log
    dropped = int(log.split(b"[... ")[1].split(b" ")[0])
    assert dropped + len(log) == len("".join(f"line {i}\n" for i in range(200000))) + len(
        f"\n[... {dropped} bytes dropped ...]\n"
    )


def test_binary_output_without_newlines_is_survived(bench: Bench) -> None:
    bench.shell(0, "head -c 3000000 /dev/urandom; printf '\\033]52;c;eA==\\007'", log_bytes=1 << 16)
    bench.end()
    assert bench.output(0).endswith(b"\033]52;c;eA==\007")


def test_closed_output_does_not_end_the_trial(bench: Bench) -> None:
    bench.shell(0, "exec >&- 2>&-; sleep 0.1; exit 5")
    (end,) = bench.end()
    assert end.exit.code == 5


def test_missing_working_directory_is_an_error_of_the_attempt(bench: Bench) -> None:
    launch = bench.order(0, "/bin/true")
    os.rmdir(launch.paths.result_dir)
    bench.executor.launch(launch)
    (end,) = bench.end()
    assert end.exit.error is not None and "No such file" in end.exit.error


def test_script_without_the_executable_bit_says_so(bench: Bench) -> None:
    bench.order(0, "x")
    bench.file(0, "run.sh").write_text("#!/bin/sh\nexit 0\n")
    bench.start(0, "./run.sh")
    (end,) = bench.end()
    assert end.exit.error is not None and "chmod +x run.sh" in end.exit.error


@pytest.mark.skipif(os.geteuid() != 0, reason="read-only binds need root; others have the mode bits")
def test_protected_paths_are_read_only_for_the_trial_alone(bench: Bench, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "x").write_text("kept")
    bench.shell(0, f"echo bad > '{data}/x'; echo own > mine", protect=(str(data),))
    bench.end()
    assert (data / "x").read_text() == "kept"
    assert bench.file(0, "mine").read_text() == "own\n"
    (data / "x").write_text("we may")


def test_free_slot_is_told_at_once(bench: Bench) -> None:
    bench.shell(0, "exit 0")
    begin = time.monotonic()
    while not any(isinstance(n, Ended) for n in bench.executor.reap()):
        bench.executor.wait(300.0)
        assert time.monotonic() - begin < 60.0, "wait slept through the end of the attempt"


def test_wake_ends_a_wait(bench: Bench) -> None:
    bench.executor.wake()
    begin = time.monotonic()
    bench.executor.wait(300.0)
    assert time.monotonic() - begin < 60.0


def test_limit_of_a_month_is_no_trouble(bench: Bench) -> None:
    bench.shell(0, "exit 0", time_limit_s=30 * 86400.0, grace_s=90 * 86400.0)
    (end,) = bench.end()
    assert end.exit.code == 0


def test_trial_that_stops_its_shim_can_be_ended(bench: Bench) -> None:
    bench.shell(0, ": > here; kill -STOP $PPID; exec sleep 60")
    wait_until(bench.file(0, "here").exists)
    time.sleep(0.05)
    bench.executor.stop(bench.nonce(0), StopCause.USER)
    (end,) = bench.end()
    assert end.exit.stop_cause == "user" and nothing_left(bench)


def test_planted_links_lead_no_record_out_of_the_folder(bench: Bench, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("kept")
    folder = bench.paths.trial(0).attempt(1)
    bench.shell(0, f"ln -s '{canary}' '{folder}/exit.json.new'; ln -s '{canary}' '{folder}/output.log'; echo said")
    (end,) = bench.end()
    assert end.exit.code == 0 and canary.read_text() == "kept"


def test_trial_that_removes_the_engines_folder_of_it_leaves_nothing(bench: Bench) -> None:
    token = f"76543{os.getpid()}"
    script = (
        "import os, shutil, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); os.close(1); os.close(2)\n"
        f"    os.execve('/bin/sleep', ['sleep', '{token}'], {{}})\n"
        f"shutil.rmtree({bench.paths.trial(0).own!r})\n"
        "print('x' * 10000, flush=True)\n"
    )
    bench.python(0, script)
    (end,) = bench.end()
    assert end.exit.lost
    wait_until(lambda: not processes_with(token))


def test_usage_is_that_of_all_processes_of_the_attempt(bench: Bench) -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass\n"
    worker = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\nhold = b'x' * (96 << 20)\n"
    bench.python(0, worker + burn)
    bench.python(1, daemon(bench, 0))
    ends = {int(end.nonce.rpartition("-")[2]): end.exit for end in bench.end(2)}
    assert ends[0].cpu_s is not None and 0.4 <= ends[0].cpu_s < 10
    assert ends[0].memory_peak_mb is not None and 96 < ends[0].memory_peak_mb < 400
    assert ends[1].memory_peak_mb is not None and ends[1].memory_peak_mb < 96
    assert records.read_exit(bench.paths.trial(0).attempt(1), f"nonce-{bench.paths.root}-0") == ends[0]


def test_kill_by_the_kernel_for_want_of_memory_is_known(bench: Bench) -> None:
    group = Path("/sys/fs/cgroup/memory", f"hpo-{bench.token}")
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control group of version 1 can be made here")
    try:
        (group / "memory.limit_in_bytes").write_text(str(32 << 20))
        eat = f"open({str(group / 'cgroup.procs')!r}, 'w').write('0'); hold = b'x' * (256 << 20)"
        bench.shell(1, "kill -9 $$")
        (by_hand,) = bench.end()
        assert (by_hand.exit.signal, by_hand.exit.oom) == (9, False)
        bench.python(0, eat)
        bench.shell(2, f'{sys.executable} -c "{eat}"; exit $?')
        ends = {int(end.nonce.rpartition("-")[2]): end.exit for end in bench.end(2)}
        assert (ends[0].signal, ends[0].oom) == (9, True) and (ends[2].code, ends[2].oom) == (137, True)
    finally:
        group.rmdir()
