"""Placed parameters of a whole study: what its placeholders stand for in one trial."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.placing import Placed, values_of
from tests.support.native import folder, parse

__all__ = ["folder"]


@pytest.mark.parametrize("name", ["seed", "trial", "study", "data_dir"])
def test_a_parameter_that_does_not_apply_still_hides_what_the_engine_calls_so(name: str, folder: Path) -> None:
    """Its option was there all the same, with the engine's value."""
    space = {
        "kind": {"choice": ["a", "b"]},
        name: {"choice": ["mine"], "when": {"kind": "a"}},
    }
    study = {
        "command": ["python", "train.py", "--own", f"{{{name}}}", "{params}"],
        "params_env": "HP_",
        "env": {"OWN": f"{{{name}}}"},
        "objective": "minimize loss",
        "space": space,
    }
    spec = parse(json.dumps(study), folder)
    trial = StudyPaths(str(folder / "s")).trial(3)
    placed = Placed(spec, spec.command, spec.env)

    with_it = values_of(spec, trial, {"kind": "a", name: "mine"})
    assert placed.command(with_it)[2:] == ("--own", "mine", "--kind", "a")
    without = values_of(spec, trial, {"kind": "b"})
    assert placed.command(without)[2:] == ("--kind", "b")
    assert placed.environment(without) == {"HP_KIND": "b"}
