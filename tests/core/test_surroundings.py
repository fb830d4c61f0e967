"""What an engine runs on is recorded beside its trials, never before them."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hpo_engine.core.loop import Engine
from hpo_engine.study.events import fold
from hpo_engine.study.history import StudyState
from hpo_engine.study.provenance import Machine, Runtime
from hpo_engine.study.spec import Budget
from tests.support.helpers import wait_until
from tests.support.loop_bench import Bench

HERE = Runtime("1", Machine("here"), "/usr/bin/python3", "3.12.0", {"torch": "2.6.0"})


def kinds(bench: Bench) -> list[str]:
    return [event.kind for event in bench.store.read()]


def test_recorded_once_however_many_engines_there_are_and_again_when_it_changes(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.look = lambda: HERE
    bench.run(bench.open(budget=Budget(1)))
    bench.run(bench.lead())
    assert kinds(bench).count("provenance_found") == 1
    there = replace(HERE, machine=Machine("there"))
    bench.look = lambda: there
    history = bench.run(bench.lead())
    assert history.runtimes == (HERE, there) == fold(bench.store.read()).runtimes


def test_trials_do_not_wait_for_it(tmp_path: Path) -> None:
    bench, go = Bench(tmp_path), threading.Event()

    def look() -> Runtime:
        assert go.wait(30)
        return HERE

    bench.look = look
    engine = bench.open(budget=Budget(3))
    engine.step(bench.now)
    assert "attempt_intended" in kinds(bench) and "provenance_found" not in kinds(bench)
    go.set()

    def recorded(engine: Engine = engine) -> bool:
        engine.step(bench.now)
        return "provenance_found" in kinds(bench)

    wait_until(recorded)


def test_study_that_ends_sooner_waits_a_moment_and_no_longer(tmp_path: Path) -> None:
    bench, never = Bench(tmp_path), threading.Event()
    bench.look = lambda: HERE if never.wait(30) else HERE
    history = bench.run(bench.open(budget=Budget(1)))
    assert history.state is StudyState.FINISHED and history.runtimes == ()
    never.set()


def test_what_cannot_be_found_out_harms_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def look() -> Runtime:
        raise RuntimeError("no idea")

    bench = Bench(tmp_path)
    bench.look = look
    history = bench.run(bench.open(budget=Budget(1)))
    assert history.state is StudyState.FINISHED and not caplog.records
