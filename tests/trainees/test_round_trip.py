"""What a script reports is what the engine reads, and what the engine writes is what a script gets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.contract import binding, layout
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.sources.val_dict_list import parse
from hpo_trainees.report import Reporter, config, main
from tests.support.examples import some

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(
    lambda name: name not in ("step", "steps", "epoch", "iteration")
)
STEPS = st.none() | st.integers(0, 10**6) | st.floats(0, 1e6)
REPORTS = st.lists(
    st.tuples(STEPS, st.dictionaries(NAMES, st.floats(), min_size=1, max_size=4)), min_size=1, max_size=6
)
VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
PARAMS = st.dictionaries(NAMES, VALUES | st.text(max_size=8) | st.lists(st.integers(-9, 9), max_size=3), max_size=6)


@settings(max_examples=some(60), deadline=None)
@given(REPORTS)
def test_reported_rows_are_read_as_they_were(tmp_path_factory: pytest.TempPathFactory, reports: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("result")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESULT_DIR", str(folder))
        reporter = Reporter()
        for step, metrics in reports:
            reporter.report(step, **metrics)
    rows = parse((folder / "val_dict_list.json").read_bytes())[0]
    assert len(rows) == len(reports)
    for row, (step, metrics) in zip(rows, reports, strict=True):
        assert step is None or row.step == step
        assert list(row.values) == list(metrics)
        for name, value in metrics.items():
            assert row.values[name] == value or (math.isnan(value) and math.isnan(row.values[name]))


@settings(max_examples=some(60), deadline=None)
@given(PARAMS)
def test_written_parameters_are_what_the_script_gets(tmp_path_factory: pytest.TempPathFactory, params: Any) -> None:
    study = StudyPaths(str(tmp_path_factory.mktemp("study")))
    layout.lay_out_study(study, "user")
    paths = study.trial(3)
    layout.lay_out(paths)
    binding.write_config(paths, params)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESULT_DIR", paths.result_dir)
        found = config()
    assert found == params
    assert {name: type(value) for name, value in found.items()} == {name: type(v) for name, v in params.items()}


def test_rows_of_the_command_line_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESULT_DIR", str(tmp_path))
    assert main(["loss=0.5"]) == main(["step=7", "loss=inf"]) == 0
    rows = parse((tmp_path / "val_dict_list.json").read_bytes())[0]
    assert [dict(row.values) for row in rows] == [{"loss": 0.5}, {"loss": math.inf}] and rows[1].step == 7
