"""The pace that is kept beside the studies: the same study finds it, and a kill leaves the former one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from hpo_engine import failpoints
from hpo_engine.probe.pacefile import recall, remember
from hpo_engine.reports.pace import Pace
from tests.support import random_logs

SPEC = random_logs.spec()
PACE = Pace(2.0, 3.0, 100, 4)


def test_a_pace_is_that_of_its_command_only(tmp_path: Path) -> None:
    assert recall(str(tmp_path), SPEC) is None
    remember(str(tmp_path), SPEC, PACE)
    assert recall(str(tmp_path), SPEC) == PACE
    assert recall(str(tmp_path), random_logs.spec(command=("another",))) is None


def test_a_kill_before_the_new_pace_is_in_place_leaves_the_former_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(str(tmp_path), SPEC, PACE)
    for name, value in (("_name", "plan.pace-aside"), ("_count", 1)):
        monkeypatch.setattr(failpoints, name, value)
    if (pid := os.fork()) == 0:
        remember(str(tmp_path), SPEC, Pace(9.0, 9.0, 0, 1))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    monkeypatch.undo()
    assert recall(str(tmp_path), SPEC) == PACE
    remember(str(tmp_path), SPEC, Pace(9.0, 9.0, 0, 1))
    assert recall(str(tmp_path), SPEC) == Pace(9.0, 9.0, 0, 1)
