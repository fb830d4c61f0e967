"""kill -9 of the engine at each step of a request that changes trials or the study: it is carried out once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hpo_engine import failpoints
from hpo_engine.store.journal import Journal
from hpo_engine.study.events import SpecChanged, TrialQueued
from tests.support import command
from tests.support.helpers import wait_until
from tests.support.scene import CHANGING, Scene, killed

VERBS: dict[str, list[str]] = {
    "trial.pause-asked": ["pause", "m", "2"],
    "trial.resumed": ["resume", "m", "0"],
    "trial.reopened": ["retry", "m", "0"],
    "trial.queued": ["enqueue", "m", "x=3", "n=2"],
    "study.revised": ["edit", "m", "--set", "space.n.max=9", "--set", "trials=8"],
}


def test_every_step_is_tried_or_tried_elsewhere() -> None:
    elsewhere = {"trial.paused", "command.refused"}  # as durable as the steps around them: nothing follows
    assert set(CHANGING) == {*VERBS, *elsewhere} <= set(failpoints.NAMES)


def verb(scene: Scene, *args: str) -> Any:
    argv = [args[0], args[1], "--root", str(scene.folder / "runs"), *args[2:]]
    return command.run(*argv, cwd=scene.folder, env=dict(os.environ), timeout=120)


OFTEN = ("trial.queued", "study.revised")
SELDOM = [pytest.param(name, marks=pytest.mark.slow) for name in (*VERBS, "command.done") if name not in OFTEN]


@pytest.mark.by_default("trial.queued")
@pytest.mark.parametrize("name", [*OFTEN, *SELDOM])
def test_kill_while_a_change_is_carried_out(tmp_path: Path, name: str) -> None:
    do = VERBS.get(name, VERBS["trial.queued"])
    scene = Scene(tmp_path, live_s=30.0 if do[0] == "pause" else 10.0)
    if before := {"resume": "pause", "retry": "cancel"}.get(do[0]):
        assert killed(scene.run("attempt.intended:1:kill"))
        assert verb(scene, before, "m", "0").returncode == 0
    process = scene.engine(f"{name}:1:kill")
    wait_until(lambda: scene.counts.exists() and "\n2 " in scene.counts.read_text(), 60)
    done = verb(scene, *do)
    assert killed(process.wait(60)), scene.said()
    assert done.returncode == 0, done.stderr
    assert scene.run() == 0, scene.said()
    history = scene.history()
    log = Journal(scene.paths.db)
    events = log.read()
    log.close()
    if do[0] == "pause":
        assert history.trials[2].state.value == "paused" and history.state.value == "stopped"
        assert history.reason == "waits for paused trial 2"
        return
    assert history.state.value == "finished" and not [n for n, count in scene.starts().items() if count != 1]
    if do[0] in ("resume", "retry"):
        assert history.trials[0].state.value == "completed"
    if do[0] == "enqueue":
        assert sum(isinstance(event, TrialQueued) for event in events) == 1
        assert [dict(t.params) for t in history.trials].count({"x": 3.0, "n": 2}) == 1
    if do[0] == "edit":
        (changed,) = [event for event in events if isinstance(event, SpecChanged)]
        assert changed.lines and json.dumps(changed.spec) and len(history.trials) == 8
