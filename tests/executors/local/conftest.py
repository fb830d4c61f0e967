"""Fixtures of the tests of the local executor."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.helpers import processes_with
from tests.support.local_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for executor in made.executors:
        executor.close()
    for pid in {*processes_with(str(tmp_path)), *processes_with(made.token)}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
