"""Hyperband and ASHA as functions of history: the same places and promotions whoever is quick, whatever fails."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest

from hpo_engine import assembly
from hpo_engine.core.ports import Searcher
from hpo_engine.errors import SpecError
from hpo_engine.searchers.asha import Asha
from hpo_engine.searchers.brackets import HyperbandPlan, number_of_runs
from hpo_engine.searchers.hyperband import Hyperband
from hpo_engine.space.searchspace import Choice, Int, SearchSpace
from hpo_engine.study.events import SpecChanged, TrialReopened, apply
from hpo_engine.study.history import History
from hpo_engine.study.spec import Named, StudySpec
from hpo_engine.study.trial import Proposal, Trial
from hpo_engine.testing.histories import as_text, opened, proposed, spec_of, with_fate
from tests.support.brackets import SPACE, place_of, run, study


def rungs(history: History) -> dict[int, list[list[Trial]]]:
    """Bracket -> rungs -> trials by place."""
    out: dict[int, list[list[Trial]]] = {}
    for trial in sorted(history.trials, key=place_of):
        bracket, rung, _ = place_of(trial)
        levels = out.setdefault(bracket, [])
        while len(levels) <= rung:
            levels.append([])
        levels[rung].append(trial)
    return out


def sizes(history: History) -> list[list[int]]:
    return [[len(rung) for rung in levels] for levels in rungs(history).values()]


# -- hyperband -------------------------------------------------------------------------------------------------------


def test_one_round_is_the_plan() -> None:
    history = run(Hyperband(study(81)), opened(study(81)))
    assert sizes(history) == [[81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]]
    for levels in rungs(history).values():
        for below, above in zip(levels, levels[1:], strict=False):
            best = sorted(below, key=lambda t: (t.loss, t.id))[: len(above)]
            assert [t.proposal.repeats for t in above] == [t.id for t in best]
            assert [dict(t.params) for t in above] == [dict(t.params) for t in best]
            assert {t.proposal.resource for t in above} != {t.proposal.resource for t in below}


@pytest.mark.parametrize("workers", [2, 3, 16, 100])
def test_the_search_is_the_same_for_any_number_of_workers(workers: int) -> None:
    for trials in (None, 30, 47, 100):
        spec = study(27, runs=trials)

        def outcome(workers: int, seed: int, spec: StudySpec = spec) -> set[tuple[Any, ...]]:
            history = run(Hyperband(spec), opened(spec), workers=workers, seed=seed)
            return {(place_of(t), t.proposal.resource, as_text([Proposal(t.params)]), t.loss) for t in history.trials}

        assert outcome(1, 0) == outcome(workers, workers)


@pytest.mark.parametrize("workers", [1, 7, 40])
def test_failures_make_the_same_search_for_any_number_of_workers(workers: int) -> None:
    spec = study(27, runs=69)

    def outcome(workers: int) -> set[tuple[Any, ...]]:
        history = run(
            Hyperband(spec), opened(spec), workers=workers, seed=workers, fail=lambda t: t.params["kind"] == "a"
        )
        return {(place_of(t), as_text([Proposal(t.params)]), t.loss) for t in history.trials}

    assert len(outcome(workers)) == 69, "what failures saved was used"
    assert outcome(workers) == outcome(2)


def test_a_rung_is_waited_for_and_the_next_bracket_begins_meanwhile() -> None:
    spec = study(9)
    history = proposed(opened(spec), Hyperband(spec).ask(opened(spec), 9))
    for i in range(8):
        history = with_fate(history, i, "completed", float(i))
    got = Hyperband(spec).ask(history, 3)
    assert [place_of(p)[:2] for p in got] == [(1, 0)] * 3
    history = with_fate(history, 8, "completed", -1.0)
    got = Hyperband(spec).ask(history, 4)
    assert [place_of(p)[:2] for p in got] == [(0, 1)] * 3 + [(1, 0)]
    assert [p.repeats for p in got[:3]] == [8, 0, 1]


def test_with_one_bracket_left_it_says_wait() -> None:
    spec = study(3)  # brackets: 3 + 1, 2
    history = proposed(opened(spec), Hyperband(spec).ask(opened(spec), 10))
    assert history.next_id == 5 and Hyperband(spec).ask(history, 1) == []
    history = with_fate(with_fate(history, 0, "completed", 1.0), 2, "completed", 1.0)
    assert Hyperband(spec).ask(history, 1) == []
    (last,) = Hyperband(spec).ask(with_fate(history, 1, "completed", 1.0), 5)
    assert last.note == {"bracket": 0, "rung": 1, "place": 0} and (last.repeats, last.resource) == (0, 3)


def test_failures_in_a_rung_leave_fewer_to_go_on() -> None:
    spec = study(9)
    history = run(Hyperband(spec), opened(spec), fail=lambda t: place_of(t)[0] == 0 and place_of(t)[2] not in (3, 4))
    assert sizes(history)[0] == [9, 2]
    assert [t.proposal.repeats for t in rungs(history)[0][1]] in ([3, 4], [4, 3])


def test_a_rung_in_which_all_fail_ends_its_bracket() -> None:
    spec = study(9)
    history = run(Hyperband(spec), opened(spec), fail=lambda t: place_of(t)[:2] == (0, 0))
    assert sizes(history)[0] == [9] and len(sizes(history)) == 3


def test_all_fail() -> None:
    spec = study(9, runs=40)
    history = run(Hyperband(spec), opened(spec), workers=3, fail=lambda t: True)
    assert history.next_id == 40


def test_a_trial_that_is_run_again_after_its_rung_was_left_takes_nothing_away() -> None:
    spec = study(9)
    searcher = Hyperband(spec)
    history = run(searcher, opened(spec), fail=lambda t: t.id == 0)
    before = sizes(history)
    history = with_fate(apply(history, TrialReopened(history.last_at + 1, 0)), 0, "completed", -1.0)
    history = run(searcher, history)
    assert sizes(history) == before, "every place was taken already"


def test_rounds_and_budgets_end_it() -> None:
    round_ = sum(map(number_of_runs, HyperbandPlan(9).round()))
    assert run(Hyperband(study(9), rounds=3), opened(study(9))).next_id == 3 * round_
    assert run(Hyperband(study(9), rounds=1), opened(study(9, runs=500))).next_id == round_
    assert run(Hyperband(study(9, runs=500)), opened(study(9, runs=500))).next_id == 500
    begun = sum(bracket[0].size for bracket in HyperbandPlan(9).round())
    assert Hyperband(study(9)).traits.size == begun == Hyperband(study(9)).traits.usual_trials
    assert Hyperband(study(9), rounds=2).traits.size == 2 * begun and Hyperband(study(9, runs=7)).traits.size is None


@pytest.mark.parametrize("trials", [1, 2, 5, 13, 22, 49, 60, 200])
def test_trials_count_configurations_and_promotions_are_free(trials: int) -> None:
    spec = study(27, trials=trials)
    for searcher in (Hyperband(spec), Asha(spec), Asha(spec, brackets=2, eta=9, keep=18)):
        for workers in (1, 7):
            history = run(type(searcher)(spec), opened(spec), workers=workers, seed=trials)
            assert history.begun == trials == sum(t.proposal.repeats is None for t in history.trials)
            assert history.runs == history.next_id >= trials and history.progress == (trials, trials)
            assert history.best is not None and history.best.trained == 27
        history = run(searcher, opened(spec), workers=3, fail=lambda t: t.params["kind"] == "a")
        assert history.begun == trials


def test_the_plan_of_so_many_trials_is_what_happens() -> None:
    for trials in (1, 5, 22, 48, 49, 50, 200):
        spec = study(27, trials=trials)
        history = run(Hyperband(spec), opened(spec), workers=4)
        assert Counter(t.proposal.resource for t in history.trials) == Hyperband(spec).planned_runs()
        spec = study(27, trials=trials, runs=40)
        history = run(Hyperband(spec), opened(spec), workers=4)
        assert Counter(t.proposal.resource for t in history.trials) == Hyperband(spec).planned_runs()
        assert history.begun <= trials and history.runs <= 40


def test_asha_takes_its_best_to_the_top_when_all_trials_have_begun_and_the_best_there_failed() -> None:
    spec = study(27, trials=12)
    failing = iter([True, True] + [False] * 100)
    history = run(Asha(spec), opened(spec), workers=3, fail=lambda t: t.proposal.resource == 27 and next(failing))
    assert history.begun == 12 and history.best is not None and history.best.trained == 27


def test_asha_does_not_take_one_after_another_to_a_top_where_all_fail() -> None:
    spec = study(27, trials=30)
    history = run(Asha(spec), opened(spec), workers=3, fail=lambda t: t.proposal.resource == 27)
    assert sum(t.proposal.resource == 27 for t in history.trials) == 3


def test_a_larger_budget_later_leaves_the_brackets_that_have_begun() -> None:
    small, large = study(27, runs=10), study(27, runs=60)
    history = run(Hyperband(small), opened(small))
    before = sizes(history)
    history = apply(history, SpecChanged(history.last_at + 1, {"runs": 60}))
    history = run(Hyperband(large), history, workers=4)
    assert history.next_id == 60 and sizes(history)[: len(before)] == before


def test_a_study_that_was_killed_goes_on_with_the_same_plan() -> None:
    spec = study(27, runs=50)
    whole = run(Hyperband(spec), opened(spec), workers=3, seed=5)
    part = run(Hyperband(spec), opened(spec), workers=3, seed=5, most=20)
    again = run(Hyperband(spec), part, workers=3, seed=6)
    assert {(place_of(t), t.loss) for t in again.trials} == {(place_of(t), t.loss) for t in whole.trials}


@pytest.mark.parametrize("workers", [1, 3, 20])
def test_configurations_of_a_small_space_begin_once_and_all_get_the_most(workers: int) -> None:
    space = SearchSpace((Int("x", 1, 3), Choice("kind", ("a", "b"))))
    spec = study(27, space=space)
    history = run(Hyperband(spec), opened(spec), workers=workers)
    assert sizes(history) == [[6, 6]]
    for level in rungs(history)[0]:
        assert len({as_text([Proposal(t.params)]) for t in level}) == 6
    planned = [t.id for t in rungs(history)[0][1]][:2]
    assert all(t.id >= max(planned) for t in rungs(history)[0][1][2:]), "who was left behind comes after the plan"


def test_rounds_that_are_asked_for_end_a_small_space_too() -> None:
    spec = study(27, space=SearchSpace((Int("x", 1, 3), Choice("kind", ("a", "b")))))
    assert sizes(run(Hyperband(spec, rounds=1), opened(spec))) == [[6, 2]]


def test_number_of_runs_others_do_no_harm() -> None:
    spec = study(9, runs=20)
    history = proposed(
        opened(spec), [Proposal({"x": 0.5, "kind": "a"}, 9), Proposal({"x": 0.5, "kind": "b"}, 9, note={"p": 1})]
    )
    history = with_fate(with_fate(history, 0, "completed", 0.1), 1, "failed")
    for searcher in (Hyperband(spec), Asha(spec)):
        got = searcher.ask(history, 2)
        assert [place_of(p) for p in got] == [(0, 0, 0), (0, 0, 1)]


@pytest.mark.parametrize("cls", [Hyperband, Asha])
def test_without_a_resource_it_is_refused(cls: Any) -> None:
    with pytest.raises(
        SpecError,
        match="resource: is missing: hyperband needs one, as in {name: epochs, max: 27}".replace(
            "hyperband", cls.__name__.lower()
        ),
    ):
        assembly.searcher(spec_of(SPACE, algorithm=Named(cls.__name__.lower())))


# -- asha ------------------------------------------------------------------------------------------------------------


def test_asha_goes_on_with_the_best_third_as_soon_as_it_is_known() -> None:
    spec = study(9)
    history = opened(spec)
    for i, loss in enumerate((3.0, 1.0)):
        history = with_fate(proposed(history, Asha(spec).ask(history, 1)), i, "completed", loss)
    history = proposed(history, Asha(spec).ask(history, 1))
    assert place_of(history.trials[2])[:2] == (0, 0)
    (fourth,) = Asha(spec).ask(with_fate(history, 2, "completed", 2.0), 1)
    assert fourth.note == {"bracket": 0, "rung": 1, "place": 0} and (fourth.repeats, fourth.resource) == (1, 3)


def test_asha_promotes_from_the_highest_rung_first() -> None:
    spec = study(9)
    history = run(Asha(spec), opened(spec), most=200)
    levels = rungs(history)[0]
    # A third of each at least: whoever was among the best third for a while has gone on.
    assert len(levels[0]) // 3 <= len(levels[1]) <= 60 and len(levels[1]) // 3 <= len(levels[2])
    for history in (run(Asha(spec), opened(spec), most=n) for n in range(4, 30)):
        done = rungs(history)[0]
        behind = [len(done[k]) // 3 - len(done[k + 1]) for k in range(len(done) - 1)]
        assert max(behind) <= 1 and sum(behind) <= 1, "who may go on does so before a new one begins"


def test_asha_never_waits_before_its_last_trials() -> None:
    spec = study(81, runs=300)
    history = opened(spec)
    for _ in range(10):
        got = Asha(spec).ask(history, 25)
        assert len(got) == 25
        history = proposed(history, got)


@pytest.mark.by_default("[3-", "[20-", "[60-")
@pytest.mark.parametrize("workers", [1, 4, 50])
@pytest.mark.parametrize("trials", [3, 4, 5, 13, 20, 39, 40, 60])
def test_asha_ends_with_a_trial_that_got_the_most(trials: int, workers: int) -> None:
    spec = study(81, runs=trials)
    history = run(Asha(spec), opened(spec), workers=workers, seed=trials)
    assert history.next_id == trials
    assert max(t.proposal.resource or 0 for t in history.trials) == 81
    best = history.best
    assert best is not None and best.proposal.resource == 81


def test_asha_tries_for_the_top_when_what_was_there_failed() -> None:
    spec = study(27, runs=40)
    failing = iter([True, True] + [False] * 100)
    history = run(Asha(spec), opened(spec), fail=lambda t: t.proposal.resource == 27 and next(failing))
    assert history.best is not None and history.next_id == 40


def test_asha_shares_configurations_out_to_brackets_as_hyperband_would() -> None:
    spec = study(27, runs=400)
    history = run(Asha(spec, brackets=3), opened(spec), workers=4)
    starts = Counter(t.proposal.resource or 0 for t in history.trials if t.proposal.repeats is None)
    assert set(starts) == {1, 3, 9}
    plan = HyperbandPlan(27)
    shares = {1: plan.size(3), 3: plan.size(2), 9: plan.size(1)}
    for amount, number in starts.items():
        assert number / sum(starts.values()) == pytest.approx(shares[amount] / sum(shares.values()), abs=0.02)


# -- trials that are carried on --------------------------------------------------------------------------------------


def results(history: History) -> dict[tuple[str, int | None], float]:
    """(configuration, resource) -> loss."""
    return {
        (as_text([Proposal(t.params)]), r.resource): r.losses[0] for t in history.trials for r in reversed(t.results)
    }


def fails_promoted(trial: Trial) -> bool:
    return trial.params["kind"] == "a" and (trial.proposal.resource or 0) > 1


def leaves_one(trial: Trial) -> bool:
    """Some configurations leave a checkpoint, and others only after their first run."""
    return trial.params["kind"] != "b" or (trial.proposal.resource or 0) > 1


@pytest.mark.parametrize(("cls", "workers"), [(Hyperband, 1), (Hyperband, 5), (Asha, 1)])
@pytest.mark.parametrize("limits", [{}, {"runs": 80}, {"trials": 40}])
def test_trials_that_are_carried_on_make_the_same_search(cls: Any, workers: int, limits: dict[str, int]) -> None:
    """Only `promotion` differs: places, counts and results are read from either kind of trial, and from a mixture."""
    found = {}
    for resume in ("never", "always", "auto"):
        spec = study(27, resume=resume, **limits)  # type: ignore[arg-type]
        searcher = cls(spec)
        history = run(searcher, opened(spec), workers=workers, fail=fails_promoted, most=120, leaves=leaves_one)
        found[resume] = history
        assert as_text(cls(spec).ask(history, 9)) == as_text(searcher.ask(history, 9)), "a fresh reading says the same"
        assert (history.runs, history.begun) == (found["never"].runs, found["never"].begun)
        assert results(history) == results(found["never"])
    carried, mixed = found["always"].trials, found["auto"].trials
    assert all(t.proposal.repeats is None for t in carried) and max(len(t.results) for t in carried) == 4
    assert len(carried) < len(mixed) < len(found["never"].trials)
    assert any(t.proposal.repeats is not None and len(t.results) > 1 for t in mixed), "anew once, then carried on"


def test_one_that_fails_when_it_is_carried_on_keeps_its_place_and_its_result() -> None:
    spec = study(9, resume="always")
    history = proposed(opened(spec), Hyperband(spec).ask(opened(spec), 9))
    for i in range(9):
        history = with_fate(history, i, "completed", float(i))
    promoted = [p for p in Hyperband(spec).ask(history, 9) if not p.begins]
    assert [p.carry_on for p in promoted] == [0, 1, 2]
    for end in ("failed", "pruned", "stopped"):
        after = with_fate(proposed(history, promoted), 0, end)
        assert (after.trials[0].loss, after.trials[0].trained) == (0.0, 1), "it keeps its result"
        (bracket,) = Hyperband(spec)._past.read(after.trials).values()
        assert [(r.begun, r.open, len(r.done)) for r in bracket.rungs] == [(9, 0, 9), (3, 2, 0), (0, 0, 0)]
        assert all(entry[1] > 2 for entry in bracket.rungs[0].waiting), "not a second time"
        after = with_fate(with_fate(after, 1, "completed", 1.0), 2, "completed", 2.0)
        assert [p.carry_on for p in Hyperband(spec).ask(after, 1)] == [1], "the best of those that are left"
        if end != "stopped":
            again = with_fate(apply(after, TrialReopened(after.last_at + 1, 0)), 0, "completed", -1.0)
            assert [p.carry_on for p in Hyperband(spec).ask(again, 1)] == [0], "a retry that ends well counts"


# -- whatever comes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in range(1, 10))])
def test_a_thousand_studies(block: int) -> None:
    """No exception, no place twice, resources inside their range (all in `run`), and no study that is stuck."""
    rng = np.random.default_rng(block)
    for case in range(100):
        most = int(rng.integers(1, 100))
        least = int(rng.integers(1, most + 1)) if rng.random() < 0.3 else 1
        trials = int(rng.integers(1, 80)) if rng.random() < 0.7 else None
        eta = float(rng.choice([1.3, 1.5, 2, 2.7, 3, 4, 10])) if rng.random() < 0.5 else float(rng.uniform(1.2, 5))
        space = SearchSpace((Int("x", 1, int(rng.integers(1, 9))),)) if rng.random() < 0.2 else SPACE
        rate, workers = float(rng.choice([0, 0.1, 0.5, 0.9])), int(rng.choice([1, 2, 3, 16, 64]))
        spec = study(most, least, trials, space)
        searcher: Searcher
        if rng.random() < 0.5:
            searcher = Hyperband(spec, eta=eta, rounds=int(rng.integers(1, 3)) if rng.random() < 0.2 else None)
        else:
            searcher = Asha(spec, eta=eta, brackets=int(rng.integers(1, 5)))
        dice = random.Random(case)
        end = trials or 100
        history = run(searcher, opened(spec), workers=workers, seed=case, fail=partial(_fails, dice, rate), most=end)
        small = isinstance(searcher, Hyperband) and space is not SPACE  # it ends when all have had the most
        if not small and not (isinstance(searcher, Hyperband) and (trials is None or searcher.traits.size is not None)):
            assert history.next_id >= end
        if rate == 0 and history.next_id >= 3 and (trials is not None or isinstance(searcher, Hyperband)):
            reached = max(t.proposal.resource or 0 for t in history.trials)
            assert reached == most or trials is None, (most, least, trials, eta)


def _fails(dice: random.Random, rate: float, trial: Trial) -> bool:
    return dice.random() < rate


@pytest.mark.parametrize("make", [Hyperband, Asha])
@pytest.mark.parametrize("runs", [None, 40])
@pytest.mark.parametrize("seed", range(4))
def test_trials_that_cannot_be_promoted_any_more_never_are(make: Any, runs: int | None, seed: int) -> None:
    """`run` holds each promotion against what was said before. Some fail, so that others take their places."""
    spec = study(27, runs=runs, trials=30, resume="always")
    searcher = make(spec)
    history = run(searcher, opened(spec), workers=1 + 3 * seed, seed=seed, fail=lambda t: t.id % 7 == seed, most=400)
    waiting = {t.id for t in history.trials if t.results and t.trained < 27}
    assert {*searcher.promotable(history)} <= waiting, "what has had all of the resource is at its end"
    assert len(searcher.promotable(history)) < len(waiting), "some are known to be out"
