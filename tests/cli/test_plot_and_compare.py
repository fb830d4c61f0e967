"""`plot` and `compare` as commands: output, JSON, complaints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hpo_engine.cli import cli
from tests.support.drawn_studies import written


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for situation in ("plain", "two", "all_failed"):
        written(str(folder), situation, 30)
    return folder


def run(root: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--root", str(root)])


@pytest.mark.by_default("history", "slices")
@pytest.mark.parametrize("figure", ["history", "curves", "importance", "slices", "pareto"])
def test_each_figure_is_drawn_within_the_width(root: Path, figure: str) -> None:
    done = run(root, "plot", "two", figure, "--width", "60")
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    heads = [line for line in done.output.splitlines() if line.startswith(("PED", "fANOVA", "caution", "the forest"))]
    assert all(len(line) <= 60 for line in done.output.splitlines() if line not in heads)
    found = json.loads(run(root, "plot", "two", figure, "--json").output)
    assert found["figure"] == figure and found.get("charts") or found.get("importance")


def test_ascii_is_ascii(root: Path) -> None:
    done = run(root, "plot", "plain", "--ascii")
    assert done.output.isascii() and "best so far" in done.output


def test_without_results_it_says_so(root: Path) -> None:
    for figure in ("history", "importance", "slices"):
        done = run(root, "plot", "all_failed", figure)
        assert done.exit_code != 0 and "result" in str(done.exception)
    assert "one objective" in str(run(root, "plot", "plain", "pareto").exception)


def test_trials_side_by_side(root: Path) -> None:
    done = run(root, "compare", "plain", "0", "1", "2")
    assert "TRIAL 0" in done.output and "val_loss" in done.output
    found = json.loads(run(root, "compare", "plain", "0", "1", "--json").output)
    assert [trial["trial"] for trial in found["trials"]] == [0, 1]
    assert {part["title"] for part in found["differences"]} >= {"", "runs"}


def test_studies_side_by_side(root: Path) -> None:
    done = run(root, "compare", "plain", "two")
    assert "study files, plain -> two:" in done.output and "best values are not compared" in done.output
    assert "name:" not in done.output
    found = json.loads(run(root, "compare", "plain", "all_failed", "--json").output)
    assert found["study_files"] == {"all_failed": []}


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["plain", "3"], "name at least two trials"),
        (["plain", "3", "3"], '"3" is named twice'),
        (["plain", "plain"], '"plain" is named twice'),
        (["plain", "3", "99"], "has no trial 99"),
        (["plain", "nothing"], "nothing"),
    ],
)
def test_complaints_name_what_is_wrong(root: Path, words: list[str], complaint: str) -> None:
    done = run(root, "compare", *words)
    assert done.exit_code != 0 and complaint in str(done.exception)
