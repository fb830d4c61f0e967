"""Studies without an engine, for trackers to listen to."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.helpers import processes_with
from tests.support.shell import Shell
from tests.support.study_by_hand import Study


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Study]:
    return lambda **changes: Study(tmp_path / "a study's folder", **changes)


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    return make_study()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    yield Shell(tmp_path)
    for pid in processes_with(f"MARK={tmp_path}"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
