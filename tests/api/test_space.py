"""Spaces as Python values are those of a study file, with its checks."""

from __future__ import annotations

import copy
import pickle
import random
from typing import Any

import numpy as np
import pytest

import hpo_engine as hpo
from hpo_engine.searchers.random import Random
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.studyfile.document import dump, read_document
from hpo_engine.studyfile.native import parse_document
from hpo_engine.testing.histories import SPACES, opened, spec_of


def whole() -> hpo.Space:
    return hpo.Space(
        lr=hpo.float(1e-4, 0.1, log=True),
        layers=hpo.int(1, 5),
        width=hpo.int(5, 9, power=2),
        act=hpo.choice(["relu", "tanh", None]),
        beta=hpo.float(0, 1, step=0.25, when={"act": "tanh"}),
        size=hpo.choice([1, 2, 4], ordered=True),
        epochs=3,
        nest=hpo.constant([1, {"a": 2}], when={"act": ["relu", "tanh"]}),
        require="layers * width <= 1000",
    )


def test_a_space_is_what_the_same_words_in_a_study_file_are(tmp_path: Any) -> None:
    space = whole()
    text = dump(
        {"command": "true", "objective": "minimize loss", "space": space.to_dict(), "require": space.require[0]}
    )
    spec = parse_document(read_document(text, "algo.yaml"), base_dir=str(tmp_path))
    assert space.search_space == spec.space and hpo.Space.of(spec.space) == space


@pytest.mark.parametrize("name", SPACES)
def test_the_text_of_a_space_makes_it_again(name: str) -> None:
    space = hpo.Space.of(SPACES[name])
    names = {"Space": hpo.Space, "float": hpo.float, "int": hpo.int, "choice": hpo.choice, "constant": hpo.constant}
    assert eval(repr(space), names) == space  # noqa: S307
    assert pickle.loads(pickle.dumps(space)) == copy.deepcopy(space) == space  # noqa: S301


def test_a_sample_is_what_random_search_tries_first() -> None:
    space = whole()
    history = opened(spec_of(space.search_space, seed=5))
    assert space.sample(20, seed=5) == [p.params for p in Random(history.spec).ask(history, 20)]
    for params in space.sample(200, seed=random.randrange(1000)):
        space.check(params)


def test_parameters_may_come_as_those_of_a_search_space_and_as_numbers_of_numpy() -> None:
    space = hpo.Space({"a b": Float("x", 0, 1), "n": Int("n", 1, 3), "c": Choice("c", (1, 2)), "k": Constant("k", 5)})
    assert list(space) == ["a b", "n", "c", "k"] and space["a b"] == Float("a b", 0, 1)
    assert hpo.Space(x=hpo.float(np.float32(0), np.int64(2)), y=np.int32(4)).sample(3)[0]["y"] == 4
    assert "a b" in space and len(space) == 4 and space.size is None


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"lr": hpo.float(1, 0)}, ["space.lr.float", "low 1.0 is above high 0.0"]),
        ({"lr": hpo.float(0, 1, log=True)}, ["space.lr.float", "must be above 0 for a log scale"]),
        ({"lr": hpo.float(float("nan"), 1)}, ["space.lr", "NaN"]),
        ({"n": hpo.int(1.5, 3)}, ["space.n", "whole number"]),  # type: ignore[arg-type]
        ({"a": hpo.choice([])}, ["space.a.choice", "is empty"]),
        ({"a": hpo.choice("adam")}, ["space.a.choice", "must be a list"]),
        ({"a": hpo.choice([object()])}, ["space.a.choice", "is not a JSON value"]),
        ({"a": [1, 2]}, ["space.a", "a list is not a parameter"]),
        ({"b": hpo.float(0, 1, when={"c": 1})}, ["space.b.when", "c"]),
        ({"a": hpo.float(2, 1), "b": hpo.int(3, 1)}, ["space.a", "space.b"]),
        ({}, ["space is empty", "name at least one parameter"]),
    ],
)
def test_what_is_wrong_is_said_as_for_a_study_file(entries: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(hpo.SpecError) as error:
        hpo.Space(entries)
    text = str(error.value).replace("space: is empty", "space is empty")
    assert all(word in text for word in words), text


def test_what_is_no_space_or_no_rule_is_refused() -> None:
    wrong: Any = 9
    with pytest.raises(hpo.SpecError, match="maps names to entries, and this is 9"):
        hpo.Space(wrong)
    with pytest.raises(hpo.SpecError, match="require: must be a rule"):
        hpo.Space(x=hpo.float(0, 1), require=wrong)


def test_a_configuration_outside_is_refused_with_the_reason() -> None:
    with pytest.raises(hpo.SpecError, match="is not a parameter of the space; did you mean"):
        whole().check({"lrr": 1})
    with pytest.raises(hpo.SpecError, match="require: layers"):
        hpo.Space(layers=hpo.int(1, 5), require="layers <= 3").check({"layers": 4})


def test_a_star_import_hides_no_builtin() -> None:
    names: dict[str, Any] = {}
    exec("from hpo_engine import *", names)
    assert {"run", "Study", "Space"} <= set(names) and not {"float", "int"} & set(names)
    assert isinstance(whole().search_space, SearchSpace)
