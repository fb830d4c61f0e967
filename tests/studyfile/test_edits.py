"""Changes to the text of a study file: what is set, what stays as it was written, what there is nothing to set at."""

from __future__ import annotations

from typing import Any

import pytest

from hpo_engine.errors import SpecError
from hpo_engine.studyfile.document import read_document
from hpo_engine.studyfile.edits import rewritten, with_set, without

TEXT = """\
# my study
command: python train.py {params}   # as by hand
objective: minimize loss
trials: 8       # enough

# what is searched
space:
  lr: {float: [0.001, 0.1], log: true}
  model.depth: {int: [1, 4]}
  pool: {choice: [max, mean]}
  seed: 3
parallel: 2
"""
DATA: dict[str, Any] = read_document(TEXT, "algo.yaml").data


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("trials=50", ("trials",), 50),
        ("trials = unlimited", ("trials",), "unlimited"),
        ("space.lr.max=0.3", ("space", "lr", "float"), [0.001, 0.3]),
        ("space.lr.min=1e-5", ("space", "lr", "float"), [1e-5, 0.1]),
        ("space.model.depth.max=9", ("space", "model.depth", "int"), [1, 9]),
        ("space.pool.choice=[max, mean, null]", ("space", "pool", "choice"), ["max", "mean", None]),
        ("space.pool={choice: [a, b], was: a}", ("space", "pool"), {"choice": ["a", "b"], "was": "a"}),
        ("space.seed.was=3", ("space", "seed"), {"constant": 3, "was": 3}),
        ("space.new.name=0.5", ("space", "new.name"), 0.5),
        ("trial.time_limit=2m", ("trial", "time_limit"), "2m"),
        ("stop='median'", ("stop",), "median"),
        ("env.A=B=C", ("env", "A"), "B=C"),
    ],
)
def test_what_is_set(assignment: str, path: tuple[str, ...], value: Any) -> None:
    found = with_set(DATA, assignment)
    for key in path:
        found = found[key]
    assert found == value
    assert read_document(TEXT, "algo.yaml").data == DATA, "the document that was given stays"


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("trials", "write PATH=VALUE"),
        ("=3", "write PATH=VALUE"),
        ("trails=3", 'there is no field "trails"; did you mean "trials"'),
        ("space.lrr.max=3", 'there is no parameter "lrr"; did you mean "lr"'),
        ("space.pool.max=3", "only a float or an int has ends"),
        ("objective.goal=maximize", "is not a mapping here; set it as a whole"),
        ("trials=[1", "not valid YAML"),
        ("trials=*x", "not allowed"),
    ],
)
def test_what_cannot_be_set_is_refused(assignment: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        with_set(DATA, assignment)
    assert words in str(caught.value)


def test_what_is_left_out() -> None:
    assert "pool" not in without(DATA, "space.pool")["space"] and "trials" not in without(DATA, "trials")
    with pytest.raises(SpecError, match="is not in the study file"):
        without(DATA, "space.momentum")


@pytest.mark.parametrize(
    "assignments",
    [["trials=50"], ["space.lr.max=0.3", "parallel=1"], ["time_limit=10m"], ["stop=[rank, stop.py:Mine]", "trials=9"]],
)
def test_the_rest_of_the_text_stays_as_it_was_written(assignments: list[str]) -> None:
    data: dict[str, Any] = DATA
    for assignment in assignments:
        data = with_set(data, assignment)
    text = rewritten(read_document(TEXT, "algo.yaml"), TEXT, data)
    assert read_document(text, "algo.yaml").data == data
    kept = ["# my study", "command: python train.py {params}   # as by hand", "# what is searched"]
    assert [line for line in text.splitlines() if line in kept] == kept


@pytest.mark.parametrize(
    "text", ['{"trials": 8, "space": {"x": {"float": [0, 1]}}}', "{trials: 8}", "hpo = {'trials': 8}"]
)
def test_a_text_of_another_form_has_the_new_data_too(text: str) -> None:
    document = read_document(text, "algo.yaml")
    data = with_set(document.data, "trials=9")
    assert read_document(rewritten(document, text, data), "algo.yaml").data == data
