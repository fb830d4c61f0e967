"""Folders as the engine lays them out, under a plain and under an odd name."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from engine.contract import lay_out, lay_out_study
from engine.paths import StudyPaths, TrialPaths


@pytest.fixture(params=["plain", "odd name '\"\\ \n é"])
def study(tmp_path: Path, request: pytest.FixtureRequest) -> StudyPaths:
    paths = StudyPaths(str(tmp_path / request.param))
    os.mkdir(paths.root)
    lay_out_study(paths, "ada")
    return paths


@pytest.fixture
def trial(study: StudyPaths) -> TrialPaths:
    paths = study.trial(3)
    lay_out(paths)
    return paths


# Everywhere else each run tries new cases; a build must not turn red by the luck of a draw.
settings.register_profile("CI", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("CI")

# A suite that was started in the background, or under nohup, ignores signals, and so would every engine that it starts.
for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)
