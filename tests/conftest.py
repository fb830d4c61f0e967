"""Folders as the engine lays them out, under a plain and under an odd name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
