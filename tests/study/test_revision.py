"""What may change in a study that exists: every field of it is decided."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from hpo_engine.errors import SpecError
from hpo_engine.space.searchspace import Float, Int, SearchSpace
from hpo_engine.study.events import StudyOpened, TrialProposed, fold
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.revision import FIXED, FREE, KEPT, OF_SPACE, revised
from hpo_engine.study.spec import Budget, Named, Resource, Resources, StudySpec, TrialPolicy
from tests.support.random_logs import spec as spec_of

SPACE = SearchSpace((Float("x", 0.0, 1.0), Int("n", 1, 9)))


def history(trials: int = 3, **changes: Any) -> History:
    spec = spec_of(space=SPACE, **changes)
    events = [StudyOpened(0.0, spec.to_json()), *(TrialProposed(1.0, i, {"x": 0.5, "n": i + 1}) for i in range(trials))]
    return fold(events)


def test_every_field_is_decided_once() -> None:
    decided = [*FIXED, *FREE, *OF_SPACE, *KEPT]
    assert sorted(decided) == sorted(f.name for f in fields(StudySpec))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objectives": (Objective("other"),)}, "objective: cannot be changed: the results so far"),
        ({"command": ("other",)}, "command: only words that hand over"),
        ({"model_dir": "/other"}, "model_dir: cannot be changed"),
        ({"resource": Resource("epochs", 9)}, "resource: cannot be changed"),
        ({"seed": 9}, "options.seed: cannot be changed"),
        ({"points": ({"x": 0.5},)}, "points: cannot be changed.*enqueue"),
        ({"env": {"A": "1"}}, "env: only words"),
        ({"executor": Named("other")}, "executor: cannot be changed"),
        ({"budget": Budget(2)}, "trials: 2, but s has 3 trials already"),
        ({"spellings": {"x": "--eks"}}, "space.x.arg: cannot be changed"),
        ({"space": SearchSpace((*SPACE.params, Float("d", 0.0, 1.0)))}, "space.d: is new: say which value"),
    ],
)
def test_what_cannot_change_is_refused_with_the_reason(changes: dict[str, Any], words: str) -> None:
    found = history()
    with pytest.raises(SpecError, match=words):
        revised(found, replace(found.spec, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": Budget(None, 60.0)},
        {"resources": Resources(7)},
        {"trial": TrialPolicy(retries=3)},
        {"stop": (Named("rank", {"keep": 0.3}),)},
        {"algorithm": Named("tpe")},
        {"space": SearchSpace((Float("x", 0.25, 4.0), Int("n", 1, 9)))},
        {"space": SearchSpace((SPACE["x"],))},
        {"space": SearchSpace(SPACE.params, ("n > 2 * x",))},
        {"space": SearchSpace((*SPACE.params, Float("d", 0.0, 1.0))), "was": {"d": 0.0}},
        {"space": SearchSpace((*SPACE.params, Float("d", 0.5, 1.0))), "was": {"d": 0.0}},
    ],
)
def test_what_may_change(changes: dict[str, Any]) -> None:
    found = history()
    assert revised(found, replace(found.spec, **changes)) == replace(found.spec, **changes)


def test_a_seed_and_sources_that_a_file_does_not_name_are_no_change() -> None:
    found = history()
    assert revised(found, replace(found.spec, seed=None, metric_sources=(Named("auto"),))) == found.spec


def test_a_study_without_trials_needs_no_former_value() -> None:
    found = history(0)
    space = SearchSpace((*SPACE.params, Float("d", 0.0, 1.0)))
    assert revised(found, replace(found.spec, space=space)).space == space


OLD_WORDS = ("python", "train.py", "--x", "{x}", "--n={n}")


@pytest.mark.parametrize(
    ("words", "good"),
    [
        ((*OLD_WORDS, "--d", "{d}"), True),
        ((*OLD_WORDS, "--d={d}"), True),
        ((*OLD_WORDS, "{d}"), True),
        ((*OLD_WORDS, "--flag"), False),
        ((*OLD_WORDS[:2], "--d", "{d}"), False),
        (("python", "other.py", "--x", "{x}", "--n={n}", "--d", "{d}"), False),
    ],
)
def test_words_that_hand_over_a_new_parameter_may_join_the_command(words: tuple[str, ...], good: bool) -> None:
    found = history(command=OLD_WORDS)
    space = SearchSpace((*SPACE.params, Float("d", 0.0, 1.0)))
    new = replace(found.spec, space=space, was={"d": 0.0}, command=words)
    if good:
        assert revised(found, new).command == words
        with pytest.raises(SpecError, match="command"):
            revised(found, replace(found.spec, command=words))
    else:
        with pytest.raises(SpecError, match="command: only words"):
            revised(found, new)


def test_of_a_wmla_request_only_limits_can_change() -> None:
    found = history(submitted_code="code")
    assert revised(found, replace(found.spec, budget=Budget(50))).budget == Budget(50)
    with pytest.raises(SpecError, match="WMLA request, only limits can"):
        revised(found, replace(found.spec, stop=()))
