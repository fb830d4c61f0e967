"""The benchmark of the service measures what it says; its figures come from an idle machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_short_run_loses_nothing_and_prints_a_table() -> None:
    words = [sys.executable, "-m", "benchmarks.service", "posts", "kills", "shares", "--short", "--json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    found = {what.strip(): value for rows in list(json.loads(done.stdout).values())[1:] for what, value, _ in rows}
    assert found["lost"] == found["twice"] == found["acknowledged and not in the database"] == "0"
    assert float(next(value for what, value in found.items() if "Jain" in what)) > 0.3
