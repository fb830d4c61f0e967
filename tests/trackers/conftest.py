"""Studies without an engine, for trackers to listen to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.study_by_hand import Study


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Study]:
    return lambda **changes: Study(tmp_path / "a study's folder", **changes)


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    return make_study()
