"""What a study with a resource is said to cost, before it starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine import assembly
from hpo_engine.searchers.asha import Asha
from hpo_engine.space.searchspace import Choice, Float, SearchSpace
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import GUARDS, RANK, Budget, Named, Resource, Resources, StudySpec
from tests.support.examples import some

STUDY = StudySpec(
    name="s",
    space=SearchSpace((Float("lr", 0, 1),)),
    objectives=(Objective("loss"),),
    command=("python", "train.py"),
    model_dir="/",
    budget=Budget(20),
    resource=Resource("epochs", 27),
    seed=1,
)
PLANS: dict[str, tuple[dict[str, Any], str]] = {
    "hyperband, a round": (
        {"algorithm": Named("hyperband"), "budget": Budget(runs=69)},
        "69 runs: 27 of 1, 21 of 3, 13 of 9, 8 of 27 epochs; 423 epochs in all",
    ),
    "hyperband, unlimited": (
        {"algorithm": Named("hyperband"), "budget": Budget()},
        "69 runs: 27 of 1, 21 of 3, 13 of 9, 8 of 27 epochs; 423 epochs in all",
    ),
    "hyperband, two rounds": (
        {"algorithm": Named("hyperband", {"rounds": 2}), "budget": Budget()},
        "138 runs: 54 of 1, 42 of 3, 26 of 9, 16 of 27 epochs; 846 epochs in all",
    ),
    "hyperband, few": (
        {"algorithm": Named("hyperband"), "budget": Budget(runs=5)},
        "5 runs: 4 of 9, 1 of 27 epochs; 63 epochs in all",
    ),
    "hyperband, points to try first": (
        {"algorithm": Named("hyperband"), "budget": Budget(runs=5), "points": ({"lr": 0.5},)},
        "5 runs: 4 of 9, 1 of 27 epochs; 63 epochs in all",
    ),
    "asha": (
        {"algorithm": Named("asha"), "budget": Budget(runs=40)},
        "40 runs: about 27 of 1, 9 of 3, 3 of 9, 1 of 27 epochs; about 108 epochs in all",
    ),
    "asha, unlimited": (
        {"algorithm": Named("asha"), "budget": Budget()},
        "no end is set; for each 100 runs: about 68 of 1, 22 of 3, 8 of 9, 2 of 27 epochs; about 260 epochs in all",
    ),
    "asha, trials": (
        {"algorithm": Named("asha"), "budget": Budget(27)},
        "40 runs: about 27 of 1, 9 of 3, 3 of 9, 1 of 27 epochs; about 108 epochs in all",
    ),
    "asha, few trials": (
        {"algorithm": Named("asha"), "budget": Budget(4)},
        "5 runs: about 4 of 9, 1 of 27 epochs; about 63 epochs in all",
    ),
    "hyperband, trials": (
        {"algorithm": Named("hyperband"), "budget": Budget(49)},
        "69 runs: 27 of 1, 21 of 3, 13 of 9, 8 of 27 epochs; 423 epochs in all",
    ),
    "hyperband, trials and runs": (
        {"algorithm": Named("hyperband"), "budget": Budget(49, runs=5)},
        "5 runs: 4 of 9, 1 of 27 epochs; 63 epochs in all",
    ),
    "bohb": ({"algorithm": Named("bohb"), "budget": Budget(runs=20)}, "20 runs: about 16 of 3, 4 of 27 epochs; about 156 epochs in all"),
    "auto": ({"algorithm": Named("auto"), "budget": Budget(runs=20)}, "20 runs: about 8 of 3, 3 of 9, 9 of 27 epochs; about 294 epochs in all"),
    "auto, trials": ({"algorithm": Named("auto"), "budget": Budget(8)}, "8 runs of 27 epochs; about 216 epochs in all"),
    "others give every run the most": ({"algorithm": Named("random")}, "20 runs of 27 epochs; 540 epochs in all"),
    "others, unlimited": ({"algorithm": Named("random"), "budget": Budget()}, "27 epochs for every run"),
    "others that may stop runs early": (
        {"algorithm": Named("random"), "stop": (*GUARDS, Named(RANK))}, "20 runs of 27 epochs; at most 540 epochs in all"
    ),
    "nothing to ration": ({"algorithm": Named("random"), "resource": None}, ""),
}  # fmt: skip


@pytest.mark.parametrize(
    ("resume", "spent"),
    [
        ("never", "423 epochs in all"),
        ("always", "357 epochs in all"),
        ("auto", "423 epochs in all, or 357 if promoted trials leave checkpoints to go on from"),
    ],
)
def test_what_promoted_trials_take_that_go_on(resume: str, spent: str) -> None:
    spec = replace(STUDY, algorithm=Named("hyperband"), budget=Budget(49), resource=Resource("epochs", 27, 1, resume))
    assert assembly.plan(spec) == f"69 runs: 27 of 1, 21 of 3, 13 of 9, 8 of 27 epochs; {spent}"
    spec = replace(spec, algorithm=Named("asha"), budget=Budget(27))
    spent = spent.replace("423", "about 108").replace("357", "about 81")  # 27 + 9 * 2 + 3 * 6 + 18
    assert assembly.plan(spec) == f"40 runs: about 27 of 1, 9 of 3, 3 of 9, 1 of 27 epochs; {spent}"
    spec = replace(spec, algorithm=Named("asha"), space=SearchSpace((Choice("a", (1, 2, 3)),)), budget=Budget())
    assert assembly.plan(spec).endswith({"always": "about 81 epochs in all"}.get(resume, "")), "3 times 27"


@pytest.mark.parametrize("what", PLANS)
def test_the_plan_is_said(what: str) -> None:
    changes, text = PLANS[what]
    assert assembly.plan(replace(STUDY, **changes)) == text


@given(st.integers(0, 500), st.integers(1, 300), st.sampled_from([2.0, 3.0, 9.0, 2.5]), st.integers(1, 4))
@settings(max_examples=some(50))
def test_what_is_likely_adds_up_to_the_budget(trials: int, most: int, eta: float, brackets: int) -> None:
    spec = replace(STUDY, resource=Resource("epochs", most), budget=Budget(runs=trials))
    counts = Asha(spec, eta=eta, brackets=brackets).likely(trials)
    assert counts.total() == trials and all(runs > 0 for runs in counts.values())
    assert trials == 0 or counts[most] >= 1


def asked(**changes: Any) -> StudySpec:
    return replace(STUDY, submitted_code="model", **changes)


def test_a_native_study_is_what_its_author_wants() -> None:
    wide = replace(STUDY, resources=Resources(1000), algorithm=Named("hyperband"), budget=Budget(8))
    found = assembly.warnings(wide)
    assert (
        all("need the memory of 8" in note for note in found) and len(found) <= 1
    )  # nothing that WMLA would have done
    assert assembly.warnings(replace(wide, resources=Resources(2))) == []


def test_a_request_is_told_what_costs_more_than_on_its_cluster() -> None:
    hyperband = asked(algorithm=Named("hyperband", {"eta": 3}), resource=Resource("epochs", 81))
    few = assembly.warnings(replace(hyperband, budget=Budget(runs=8)))
    assert len(few) == 1 and "8 runs of 1 epochs; 8 epochs in all" in few[0] and few[0].endswith("takes 324 epochs")
    assert assembly.warnings(replace(hyperband, budget=Budget(runs=206))) == [], "a round is a round"
    assert assembly.warnings(replace(hyperband, budget=Budget())) == []
    finite = replace(hyperband, space=SearchSpace((Choice("a", (1, 2)),)), budget=Budget(runs=30))
    assert len(assembly.warnings(finite)) == 1


def test_a_request_is_told_of_more_trials_at_a_time_than_cores() -> None:
    found = assembly.warnings(asked(algorithm=Named("random"), resources=Resources(1000), budget=Budget()))
    assert len(found) == 1 and found[0].startswith("maxParalleJobNum is 1000: 1000 trials at a time share")
    assert assembly.warnings(asked(algorithm=Named("random"), resources=Resources(1000), budget=Budget(1))) == []
    assert assembly.warnings(asked(algorithm=Named("random"), resources=Resources(1))) == []
