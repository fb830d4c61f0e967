"""Worker processes of trials are counted against the cores: real ones, looked at soon."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from hpo_engine.executors.local import crowd
from hpo_engine.study.trial import StopCause
from tests.support.both import Both

CORES = len(os.sched_getaffinity(0))
BUSY = """
import multiprocessing, os, sys
def work():
    while True:
        pass
if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        multiprocessing.get_context("fork").Process(target=work, daemon=True).start()
    open("began", "w").close()
    work()
"""


def _told(tmp_path: Path, workers: int, trials: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said of so many trials with so many workers each, until two looks have been taken."""
    monkeypatch.setattr(crowd, "_LOOKS_S", (0.1, 0.1))
    monkeypatch.setattr(crowd, "_BETWEEN_S", 0.4)
    looks: list[int] = []
    demand = crowd._demand
    monkeypatch.setattr(crowd, "_demand", lambda shims: looks.append(len(shims)) or demand(shims))
    with closing(Both(tmp_path)) as both:
        launches = [
            both.launch("cold", {"busy.py": BUSY}, ("busy.py", str(workers)), trial=trial) for trial in range(trials)
        ]
        both.drive_until(lambda: all(os.path.exists(f"{launch.paths.result_dir}/began") for launch in launches), "cold")
        looks.clear()  # one that was taken before they were all there shows nothing
        both.drive_until(lambda: bool(both.said) or len(looks) >= 3 or trials == 1, "cold")
        for trial in range(trials):
            both.executor("cold").stop(f"nonce-{trial}", StopCause.USER, kill=True)
        both.end("cold", trials)
        return both.said


def test_more_busy_processes_than_cores_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = _told(tmp_path, CORES, 2, monkeypatch)
    assert len(told) == 1
    assert f"of 2 trials share {CORES} core" in told[0] and "num_workers" in told[0] and "--parallel" in told[0]
    assert int(told[0].split()[0]) > CORES


def test_trials_of_one_process_are_none_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _told(tmp_path, 0, 2, monkeypatch) == []


def test_one_trial_has_as_many_as_it_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _told(tmp_path, CORES + 1, 1, monkeypatch) == []


def test_looks_cost_nothing_until_they_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks = [0.0], []
    monkeypatch.setattr(crowd, "_demand", lambda shims: looks.append(dict(shims)) or {})
    watch = crowd.Crowd(2, lambda text: None, lambda: now[0])
    for trial in range(1000):  # trials of 5 ms: none is there long enough
        watch.started(str(trial), trial)
        now[0] += 0.005
        watch.look()
        watch.ended(str(trial))
    assert looks == []
    for second in range(1000):
        if second == 0:
            watch.started("1", 11)
            watch.started("2", 12)
        now[0] += 1
        watch.look()
    assert len(looks) == 2 * len(crowd._LOOKS_S), "a few times in a study"
