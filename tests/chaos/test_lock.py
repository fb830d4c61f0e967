"""One study, many engines: one leads, the others say who, and the next takes over what runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.errors import StudyLocked
from hpo_engine.store.lock import StudyLock, who_leads
from tests.support.helpers import processes_with, wait_until

RACER = """
import sys, time
from hpo_engine.errors import StudyLocked
from hpo_engine.store.lock import StudyLock
while not __import__("os").path.exists(sys.argv[1] + ".go"): time.sleep(0.005)
try:
    lead = StudyLock(sys.argv[1])
except StudyLocked as error:
    print("locked", error.holder, flush=True)
else:
    print("leads", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("engines", [16, pytest.param(50, marks=pytest.mark.slow)])
def test_of_many_engines_one_leads_and_a_kill_frees_the_lead(tmp_path: Path, engines: int) -> None:
    lock = tmp_path / "engine.lock"
    argv = [sys.executable, "-c", RACER, str(lock)]
    racers = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(engines)]
    try:
        Path(f"{lock}.go").touch()
        said = [r.stdout.readline().strip() for r in racers if r.stdout is not None]
        leaders = [r for r, words in zip(racers, said, strict=True) if words == "leads"]
        assert len(leaders) == 1 and sum(words.startswith("locked") for words in said) == engines - 1
        holder = who_leads(str(lock))
        assert holder is not None and holder.pid == leaders[0].pid
        with pytest.raises(StudyLocked, match=f"process {leaders[0].pid} on"):
            StudyLock(str(lock))
        leaders[0].kill()
        leaders[0].wait()
        assert who_leads(str(lock)) is None
        StudyLock(str(lock)).close()
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def test_waiting_engine_gets_the_lead_when_it_is_free(tmp_path: Path) -> None:
    lock = str(tmp_path / "engine.lock")
    argv = [sys.executable, "-c", "import sys; from hpo_engine.store.lock import StudyLock; l = StudyLock(sys.argv[1]); print(flush=True); sys.stdin.read()"]  # fmt: skip
    holder = subprocess.Popen([*argv, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None and holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(StudyLocked):
        StudyLock(lock, wait_s=0.01)
    ends = threading.Timer(0.1, holder.stdin.close)
    ends.start()
    StudyLock(lock, wait_s=20.0).close()
    assert holder.wait(20) == 0
    ends.join()
    holder.stdout.close()


@pytest.mark.parametrize("count", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (16, 64))])
def test_running_trials_are_taken_over_and_none_is_started_again(tmp_path: Path, count: int) -> None:
    (tmp_path / "m").mkdir()
    counts = tmp_path / "counts"
    (tmp_path / "m" / "run.sh").write_text('echo "$SUBID" >> "$COUNTS"; exec sleep 600\n')
    study = {
        "command": "sh run.sh", "objective": "minimize loss", "trials": count, "parallel": count, "options": {"seed": 1},
        "env": {"COUNTS": str(counts)}, "space": {"x": {"float": [0, 1]}}, "trial": {"grace": "5s"},
    }  # fmt: skip
    (tmp_path / "m" / "algo.yaml").write_text(json.dumps(study))
    argv = [sys.executable, "-m", "hpo_engine.cli"]
    submit = [*argv, "submit", str(tmp_path / "m" / "algo.yaml"), "--root", str(tmp_path / "runs")]
    first = subprocess.Popen(submit, stdout=subprocess.DEVNULL)
    wait_until(lambda: counts.exists() and len(counts.read_text().splitlines()) == count, 60)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = sorted(processes_with("HPO_ATTEMPT="))
    second = subprocess.Popen(submit, stdout=subprocess.PIPE, text=True)
    try:
        assert second.stdout is not None
        begin = time.monotonic()
        told = [second.stdout.readline() for _ in range(2)]
        print(f"took over after {time.monotonic() - begin:.2f} s from the start of the process")
        assert any(f"took over {count} running trials" in line for line in told), told
        history = studies.read(StudyPaths(str(tmp_path / "runs" / "m")))
        assert len(history.running) == count and {len(t.attempts) for t in history.trials} == {1}
        assert sorted(counts.read_text().split(), key=int) == [str(i) for i in range(count)]
        assert set(processes_with(f"COUNTS={counts}")) <= set(before)
    finally:
        second.send_signal(signal.SIGINT)
        second.communicate(timeout=240)
    assert second.returncode == 130
    wait_until(lambda: not processes_with(f"COUNTS={counts}"))
    assert os.path.getsize(counts) > 0
