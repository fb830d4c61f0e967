"""Configurations that a check tries: inside the space, far apart, and with one parameter changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.probe.choosing import differing, far_apart, least, with_one_changed
from hpo_engine.study.spec import StudySpec
from tests.support.native import parse

SPACES: list[dict[str, Any]] = [
    {"lr": {"float": [1e-5, 1], "log": True}, "n": {"int": [1, 100]}},
    {"a": {"choice": [1, 2]}, "b": {"choice": ["x", "y", "z"]}, "c": {"float": [0, 1]}},
    {"opt": {"choice": ["sgd", "adam"]}, "momentum": {"float": [0, 0.9], "when": {"opt": "sgd"}}, "lr": {"float": [0, 1]}},
    {"opt": {"choice": ["a", "b", "c"]}, "x": {"float": [0, 1], "when": {"opt": "b"}}, "fixed": 3},
]  # fmt: skip


def spec_of(space: dict[str, Any], folder: Path, **fields: Any) -> StudySpec:
    return parse(json.dumps({"command": "sh", "objective": "minimize loss", "space": space, **fields}), folder)


@pytest.mark.parametrize("space", SPACES)
def test_two_configurations_are_allowed_and_differ_in_everything_that_both_have(
    space: dict[str, Any], tmp_path: Path
) -> None:
    spec = spec_of(space, tmp_path)
    first, other = far_apart(spec)
    assert other is not None and not spec.space.problem_with(first) and not spec.space.problem_with(other)
    searched = {p.name for p in spec.space.dimensions}
    assert set(differing(first, other)) == searched & {*first, *other}
    for name in differing(first, other):
        base = first if name in first else other
        changed = with_one_changed(spec.space, base, other if base is first else first, name)
        assert changed is not None and not spec.space.problem_with(changed)
        children = {n for n in differing(base, changed) if n != name}
        assert all(spec.space[n].when for n in children), "only what depends on it changes as well"


def test_rules_hold(tmp_path: Path) -> None:
    space = {"a": {"int": [1, 64]}, "b": {"int": [1, 64]}}
    spec = spec_of(space, tmp_path, require=["a * b == 64"])
    first, other = far_apart(spec)
    assert other is not None and spec.space.allows(first) and spec.space.allows(other) and first != other
    assert with_one_changed(spec.space, first, other, "a") is None, "no other value of a goes with this b"


def test_a_single_configuration_has_no_other(tmp_path: Path) -> None:
    assert far_apart(spec_of({"a": {"choice": [1]}}, tmp_path))[1] is None


def test_trials_get_the_least_of_the_resource_and_members_of_a_population_an_interval(tmp_path: Path) -> None:
    """A script that trains 256 steps at a time had nothing to do between steps 1 and 3, so that nothing was shown."""
    steps = {"name": "steps", "min": 1, "max": 1536}

    def given(algorithm: str, resource: Any = steps, **options: Any) -> int | None:
        return least(spec_of(SPACES[0], tmp_path, algorithm=algorithm, resource=resource, options=options))

    assert given("pbt", interval=512) == 512
    assert given("pbt") == 154
    assert given("pbt", {"name": "epochs", "max": 5, "min": 2}) == 2
    assert given("asha") == 1
    assert least(spec_of(SPACES[0], tmp_path)) is None
