"""The overhead benchmark: its loops do the work that they time, and its table says what was found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.overhead import tables
from benchmarks.overhead.loops import SCRIPTS, Bench


@pytest.mark.slow
def test_each_loop_runs_the_script_as_often_as_it_says(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for loop in (bench.bare, bench.fork_server):
        assert loop("noop", 3, 2) > 0
    bench.engine("noop", 3, 2, preload="auto")  # it counts by itself
    assert [len(list(tmp_path.glob(f"{number}/*/val_dict_list.json"))) for number in (1, 2)] == [3, 3]


def test_table_has_a_row_for_each_loop_and_names_what_does_not_run(tmp_path: Path) -> None:
    found = {
        "no-op script, 1 at a time": {
            "bare loop": {"ms": 20.0, "ratio": 1.0},
            "Ray Tune": {"problem": "No module named 'ray'"},
        },
        "Lightning": {"bare loop": {"ms": 9000.0, "ratio": 1.0}},
        "watch": {"trials": 64, "percent": 2.04},
    }
    path = tmp_path / "performance.md"
    path.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    tables.write(path, found)
    text = path.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| bare loop | 20.0 (1.00) | 9,000 (1.00) |" in text
    assert "| Ray Tune | does not run here |  |" in text
    assert "2.0% of a core" in text


def test_table_of_the_ordinary_script_is_written_by_itself(tmp_path: Path) -> None:
    row = {"one_s": 100.04, "two_s": 50.0, "ratio": 0.5}
    found = {"ordinary": {"trials": 12, "bare loop": row, "Optuna": {"problem": "No module named 'optuna'"}}}
    path = tmp_path / "performance.md"
    other = f"{tables.BEGIN}\nas it was\n{tables.END}\n"
    path.write_text(f"{other}between\n{tables.ORDINARY}\nold\n{tables.ORDINARY_END}\nafter\n")
    tables.write(path, found)
    text = path.read_text()
    assert text.startswith(other + "between\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| seconds of 12 trials | 1 at a time | 2 at a time | ratio |" in text
    assert "| bare loop | 100.0 | 50.0 | 0.50 |" in text and "| Optuna | does not run here |" in text


def test_loops_of_the_ordinary_script_find_no_number_of_threads(tmp_path: Path) -> None:
    with Bench(tmp_path).without(["OMP_NUM_THREADS"]):
        assert "OMP_NUM_THREADS" not in os.environ
    assert "OMP_NUM_THREADS" in os.environ, "tests/__init__.py sets it"
    assert "thread" not in (SCRIPTS / "ordinary.py").read_text().partition('"""')[2].partition('"""')[2]
