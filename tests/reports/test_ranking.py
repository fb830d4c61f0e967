"""Trials in order, metrics of interest, and a history judged again, on histories made by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from hpo_engine.errors import EngineError, SpecError
from hpo_engine.reports.ranking import beside, best_first, judged_again, objective_for, ordered, row_metrics
from hpo_engine.space.searchspace import Choice, Float, SearchSpace
from hpo_engine.study.events import (
    AttemptIntended,
    EngineStarted,
    MetricsSeen,
    StudyClosed,
    StudyOpened,
    TrialCarriedOn,
    TrialEnded,
    TrialProposed,
    apply,
)
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import Resource, StudySpec
from hpo_engine.study.trial import TrialState

SPACE = SearchSpace((Float("lr", 0, 1), Choice("opt", ("adam", 3, None, "SGD"))))


def study(**changes: Any) -> History:
    fields: dict[str, Any] = {"extra_metrics": {"acc": "maximize", "size": "latest", "err": "minimize"}, **changes}
    spec = StudySpec(
        "digits", SPACE, fields.pop("objectives", (Objective("loss"),)), ("python", "train.py"), "/m", **fields
    )
    return apply(apply(None, StudyOpened(0.0, spec.to_json())), EngineStarted(0.0, 1, "box"))


def trial(
    history: History,
    *rows: Mapping[str, float],
    value: float | None = None,
    code: int | None = 0,
    resource: int | None = None,
    **params: Any,
) -> History:
    """One more trial with these rows; `code` None: it runs on."""
    number, at = history.next_id, 10.0 * (history.next_id + 1)
    history = apply(history, TrialProposed(at, number, {"lr": 0.5, "opt": "adam", **params}, resource))
    history = apply(history, AttemptIntended(at, number, 1, f"n{number}"))
    if rows:
        history = apply(history, MetricsSeen(at, number, tuple(Row(i + 1, r) for i, r in enumerate(rows)), True))
    if code is None:
        return history
    state = "completed" if value is not None else "failed"
    exit_ = {"code": code, "seconds": 100.0 - number}
    return apply(history, TrialEnded(at + 5, number, state, value, "" if value is not None else "why", exit_))


def test_metrics_of_interest_are_the_lowest_highest_or_latest() -> None:
    rows = (
        {"loss": 1, "acc": 0.2, "size": 9, "err": 4},
        {"acc": 0.9, "err": 2},
        {"acc": 0.5, "size": 3, "err": math.nan},
    )
    history = trial(study(), *rows, value=1.0)
    assert beside(history, history.trials[0]) == {"acc": 0.9, "size": 3, "err": 2}
    assert beside(trial(study(), {"loss": 1}, value=1.0), history.trials[0]) == {"acc": 0.9, "size": 3, "err": 2}
    assert beside(study(extra_metrics={"loss": "maximize"}), history.trials[0]) == {}, (
        "the objective is not beside itself"
    )


def several() -> History:
    history = study()
    history = trial(history, {"loss": 3, "acc": 0.7, "other": 5}, value=3.0, lr=0.1, opt=3)
    history = trial(history, {"loss": 1, "acc": 0.6}, value=1.0, lr=0.3, opt="SGD")
    history = trial(history, code=1, lr=0.2, opt=None)
    return trial(history, {"loss": 0.5, "acc": 0.9, "other": 4}, code=None, lr=0.9)


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("trial", [0, 1, 2, 3]),
        ("-trial", [3, 2, 1, 0]),
        ("loss", [1, 0, 2, 3]),
        ("-loss", [0, 1, 2, 3]),
        ("value", [1, 0, 2, 3]),
        ("acc", [3, 0, 1, 2]),
        ("-acc", [1, 0, 3, 2]),
        ("other", [3, 0, 1, 2]),
        ("lr", [0, 2, 1, 3]),
        ("-params.lr", [3, 1, 2, 0]),
        ("opt", [0, 1, 3, 2]),
        ("state", [0, 1, 2, 3]),
        ("duration", [2, 1, 0, 3]),
        ("metrics.other", [3, 0, 1, 2]),
        ("started", [0, 1, 2, 3]),
    ],
)
def test_trials_are_ordered_and_those_without_a_value_come_last(name: str, order: list[int]) -> None:
    assert [t.id for t in ordered(several(), name)] == order
    if name.startswith("-"):
        assert [t.id for t in ordered(several(), name[1:], reverse=True)] == order


def test_order_by_nothing_that_there_is_names_the_nearest() -> None:
    with pytest.raises(SpecError, match=r'--sort: digits has no metric or parameter "los"; did you mean "loss"'):
        ordered(several(), "los")


def test_best_first_puts_the_most_of_the_resource_first() -> None:
    history = study(resource=Resource("epochs", 9))
    for value, resource in ((0.1, 1), (0.5, 3), (0.4, 3), (0.2, 1)):
        history = trial(history, {"loss": value}, value=value, resource=resource)
    assert [t.id for t in best_first(history)] == [2, 1, 0, 3]
    assert [t.id for t in ordered(history, "loss")] == [2, 1, 0, 3]
    assert [t.id for t in ordered(history, "epochs")] == [0, 3, 1, 2]


def test_judged_again_by_another_metric_is_as_if_it_had_been_the_objective() -> None:
    before = several()
    history = judged_again(before, Objective("acc", "maximize"))
    assert (history.best_id, history.best_value) == (0, 0.7)
    assert history.counts == before.counts and history.open_ids == before.open_ids
    assert beside(history, history.trials[1]) == {"loss": 1}, "the former objective stands beside the new one"
    assert before.best_id == 1 and judged_again(history, before.spec.objectives[0]).best_id == 1
    history = judged_again(before, Objective("other"))
    assert history.best_id == 0 and history.trials[1].state is TrialState.FAILED
    assert history.trials[1].reason == 'trial 1: no finite "other" in its rows'


def test_trials_that_failed_for_their_metrics_alone_count_and_others_do_not() -> None:
    history = study(objectives=(Objective("valid_loss"),))
    history = trial(history, {"loss": 3}, {"loss": 2}, {"loss": 2.5})
    history = trial(history, {"loss": 1}, code=1)
    history = apply(history, StudyClosed(99, "failed", "no trial gave a valid value"))
    again = judged_again(history, Objective("loss"))
    assert (again.best_id, again.best_value, again.counts) == (0, 2, {TrialState.COMPLETED: 1, TrialState.FAILED: 1})
    assert judged_again(history, Objective("loss", over="last")).best_value == 2.5


def test_judged_again_with_a_resource_counts_what_had_the_most() -> None:
    history = study(resource=Resource("epochs", 9))
    for acc, resource in ((0.9, 1), (0.5, 3), (0.6, 3)):
        history = trial(history, {"loss": 1.0, "acc": acc}, value=1.0, resource=resource)
    assert judged_again(history, Objective("acc", "maximize")).best_id == 2


@pytest.mark.parametrize("end", ["failed", "running", "pending", "no result"])
def test_judged_again_counts_what_a_trial_had_before_it_was_carried_on(end: str) -> None:
    history = study(resource=Resource("epochs", 9))
    history = trial(history, {"loss": 1.0, "acc": 0.7}, value=1.0, resource=3)
    history = apply(history, TrialCarriedOn(30.0, 0, {"lr": 0.5, "opt": "adam"}, 9))
    if end != "pending":
        history = apply(history, AttemptIntended(31.0, 0, 2, "again"))
        history = apply(history, MetricsSeen(32.0, 0, (Row(2, {"loss": 0.1, "acc": 0.9}),)))
    if end in ("failed", "no result"):
        history = apply(history, TrialEnded(33.0, 0, "failed", reason="why", exit={"code": int(end == "failed")}))
    again = judged_again(
        trial(history, {"acc": 0.1}, value=5.0, resource=3), objective_for(history, "acc", "maximize", None)
    )
    assert [(r.resource, r.losses) for r in again.trials[0].results] == [(3, (-0.7,))]
    assert (again.best_id, again.best_value, again.trials[0].state) == (0, 0.7, history.trials[0].state)


def test_metric_that_no_trial_has_is_refused_with_those_that_they_have() -> None:
    with pytest.raises(
        EngineError, match=r'no trial has a metric "ac" \(did you mean "acc"\?\); there are "loss" \(3 trials\)'
    ) as error:
        judged_again(several(), Objective("ac"))
    assert error.value.exit_code == 3
    with pytest.raises(EngineError, match="nor any other"):
        judged_again(study(), Objective("acc"))
    history = trial(study(), {"loss": 1, "acc": math.nan}, value=1.0)
    with pytest.raises(EngineError, match='1 trial has "acc", but'):
        judged_again(history, Objective("acc"))
    assert list(row_metrics(several())) == ["loss", "acc", "other"]


def test_goal_comes_from_the_study_and_is_not_guessed() -> None:
    history = trial(study(), {"loss": 1, "unheard": 2, "size": 3}, value=1.0)
    objective = history.spec.objectives[0]
    assert objective_for(history, "acc", None, None) == Objective("acc", "maximize", "best")
    assert objective_for(history, "acc", "minimize", "last") == Objective("acc", "minimize", "last")
    assert objective_for(history, "loss", None, None) == objective_for(history, None, None, None) == objective
    assert objective_for(history, None, None, "last") == Objective("loss", over="last")
    assert objective_for(history, "size", "minimize", None) == Objective("size", "minimize", "last")
    for name in ("size", "unheard"):
        with pytest.raises(SpecError, match=f"--metric {name}: add --goal minimize or --goal maximize"):
            objective_for(history, name, None, None)
    with pytest.raises(EngineError, match='no trial has a metric "nothing"; there are "loss"'):
        objective_for(history, "nothing", None, None)
