"""Population-based training: its decisions against a plain reading of the rule, and toys whose best schedule is known."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hpo_engine.core.queue import TrialQueue
from hpo_engine.errors import SearcherError, SpecError
from hpo_engine.searchers.pbt import Pbt
from hpo_engine.searchers.pbt_explore import Explorer, may_change
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.study.events import TrialEnded
from hpo_engine.study.history import History
from hpo_engine.study.lineage import schedule
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Resource, StudySpec
from hpo_engine.study.trial import Trial
from hpo_engine.testing.histories import FATES, applied, opened, proposed, spec_of, with_fate
from tests.support.population import Farm

LR = SearchSpace((Float("lr", 1e-3, 1, log=True),))
TWO = SearchSpace((Float("h0", 0, 1), Float("h1", 0, 1)))
LENGTH = 60


def spec_for(space: SearchSpace, most: int, members: int, seed: int = 1, **more: Any) -> StudySpec:
    return spec_of(
        space, seed=seed, resource=Resource("e", most, resume="always"), budget=Budget(trials=members), **more
    )


def noise(seed: int, fails: float = 0.0) -> Any:
    rng = random.Random(seed)
    return lambda state, params, units: (None, None if rng.random() < fails else rng.random())


# -- the rule, read plainly --------------------------------------------------------------------------------------------


def losses_at(history: History, level: int) -> dict[int, float]:
    return {t.id: r.losses[0] for t in history.trials for r in t.results if r.resource == level}


def check(history: History, trial: Trial, source: int | None, share: float) -> None:
    """A decision on a member that has had its amount: it goes on (no source), or gives way to a copy of one."""
    levels = [r.resource or 0 for r in trial.results]
    full = [n for n in levels if len(losses_at(history, n)) * share >= 1]
    losses = losses_at(history, full[-1] if full else levels[-1])
    order = sorted(losses, key=lambda i: (losses[i], i))
    number = math.floor(len(order) * share + 1e-9)
    best, worst = order[:number], order[::-1][:number]
    if source is not None:
        assert trial.id in worst and source in best and losses[source] < losses[trial.id]
    elif trial.id in worst:
        replaced = {t.proposal.replaces for t in history.trials}
        there = [i for i in best if history.trials[i].startable is not None and i not in replaced]
        assert not [i for i in there if losses[i] < losses[trial.id] and history.trials[i].trained < 12]


@pytest.mark.parametrize("workers", [1, 3, 6, 20])
@pytest.mark.parametrize("mode", ["asynchronous", "generations"])
def test_decisions_are_those_of_the_rule(mode: str, workers: int) -> None:
    for seed in range(4):
        spec = spec_for(TWO, 12, 8, seed)
        farm = Farm(spec, Pbt(spec, interval=2, mode=mode), noise(seed), workers, seed)
        history = farm.run()
        members = {t.proposal.note["member"]: t for t in history.trials if t.proposal.note}
        assert len(members) == 8 and all(t.trained == 12 for t in members.values())
        for before, proposal in farm.seen:
            if proposal.carry_on is not None:
                check(before, before.trials[proposal.carry_on], None, 0.25)
            elif proposal.replaces is not None:
                check(before, before.trials[proposal.replaces], proposal.start_from, 0.25)
        if mode == "generations":
            for before, proposal in farm.seen:
                if proposal.carry_on is not None:
                    assert len(losses_at(before, before.trials[proposal.carry_on].trained)) >= 8, "all have been there"


def test_generations_do_not_depend_on_workers_or_arrivals() -> None:
    spec, found = spec_for(LR, 12, 6), []
    for workers, seed in ((1, 0), (2, 1), (6, 2), (50, 3)):
        history = Farm(spec, Pbt(spec, interval=3, mode="generations"), decay, workers, seed).run()
        found.append([(t.params, t.origin, t.losses, t.proposal.replaces) for t in history.trials])
    assert all(each == found[0] for each in found) and len(found[0]) > 6


def test_what_was_answered_is_answered_again_for_every_prefix() -> None:
    spec = spec_for(TWO, 12, 6)
    farm = Farm(spec, Pbt(spec, interval=2), noise(3, fails=0.1), 4, 3)
    farm.run()
    for history, proposal in farm.seen[::3]:
        anew = Pbt(spec, interval=2).ask(history, 1)
        assert anew and (anew[0].carry_on, anew[0].start_from) == (proposal.carry_on, proposal.start_from)


@pytest.mark.parametrize("mode", ["asynchronous", "generations"])
def test_members_that_fail_are_replaced(mode: str) -> None:
    for seed in range(6):
        spec = spec_for(TWO, 12, 6, seed)
        history = Farm(spec, Pbt(spec, interval=2, mode=mode), noise(seed, fails=0.15), 3, seed).run()
        failed = [t.id for t in history.trials if t.state.value == "failed"]
        replaced = [t.proposal.replaces for t in history.trials]
        assert failed and all(replaced.count(i) <= 1 for i in range(history.next_id))
        most = [t for t in history.trials if t.trained == 12]
        assert len(most) == 6 - sum(i not in replaced for i in failed)


def test_a_script_that_always_fails_ends_the_search() -> None:
    spec = spec_for(TWO, 12, 6)
    history = Farm(spec, searcher := Pbt(spec, interval=2), noise(0, fails=1.0), 3).run()
    assert history.next_id == 6
    assert searcher.over(history) == "0 of 6 members have had e 12; the others failed, or were stopped"


def test_a_member_that_the_user_stopped_is_not_replaced() -> None:
    spec = spec_for(TWO, 6, 4)
    from hpo_engine.study.events import StopAsked

    searcher, history = Pbt(spec, interval=2), opened(spec)
    history = proposed(history, searcher.ask(history, 4))
    history = applied(history, StopAsked(1.0, 0, "stop"), TrialEnded(1.0, 0, "stopped", None, "stopped by the user"))
    for i in (1, 2, 3):
        history = with_fate(history, i, "completed", float(i))
    assert [p.carry_on for p in searcher.ask(history, 9)] == [1, 2, 3]


def test_the_last_row_counts_whatever_the_objective_counts_by() -> None:
    """A member that was good and has diverged is neither gone on with nor copied."""
    spec = replace(spec_for(TWO, 6, 4), objectives=(Objective("loss", over="best"),))
    from hpo_engine.study.events import MetricsSeen
    from hpo_engine.study.objective import Row

    searcher, history = Pbt(spec, interval=2, exploit=0.25), opened(spec)
    history = proposed(history, searcher.ask(history, 4))
    for i, rows in enumerate(([0.1, 9.0], [1.0, 0.5], [2.0, 0.6], [3.0, 0.7])):
        history = with_fate(history, i, "running", rows[0])
        more = tuple(Row(step, {"loss": loss}) for step, loss in enumerate(rows, 1))
        history = applied(
            history, MetricsSeen(9.0, i, more, True), TrialEnded(9.0, i, "completed", min(rows), "", {"code": 0})
        )
    first = searcher.ask(history, 9)[0]
    assert (first.replaces, first.start_from) == (0, 1)


def test_without_a_checkpoint_it_says_what_is_needed() -> None:
    spec = replace(spec_for(TWO, 6, 4), resource=Resource("e", 6, resume="auto"))
    history = proposed(opened(spec), Pbt(spec).ask(opened(spec), 1))
    history = with_fate(history, 0, "completed", 1.0)
    with pytest.raises(SearcherError, match="trial 0 left no checkpoint in its RESULT_DIR after e 1"):
        Pbt(spec).ask(history, 1)


# -- new values --------------------------------------------------------------------------------------------------------


def test_only_what_may_change_changes_and_what_begins_to_apply_gets_a_value() -> None:
    space = SearchSpace((
        Float("lr", 1e-4, 1, log=True), Int("layers", 1, 4), Choice("opt", ("sgd", "adam")), Int("width", 8, 64),
        Choice("size", (1, 2, 4, 8), ordered=True), Float("third", 0, 1, when={"layers": [3, 4]}), Float("x", -1, 1),
    ))  # fmt: skip
    assert may_change(space) == ["lr", "width", "size", "third", "x"], "others depend on layers; opt has no order"
    explorer, rng = Explorer(space, frozenset(may_change(space)), "perturb", (0.8, 1.2), 0.0), random.Random(0)
    params = {"lr": 0.01, "layers": 2, "opt": "sgd", "width": 10, "size": 2, "x": 0.5}
    found = [explorer.changed(params, rng) for _ in range(100)]
    assert {f["layers"] for f in found} == {2} and {f["opt"] for f in found} == {"sgd"}
    assert {round(f["lr"], 9) for f in found} == {0.008, 0.012} and {f["width"] for f in found} == {8, 12}
    assert {f["size"] for f in found} == {1, 4} and {round(f["x"], 9) for f in found} == {0.1, 0.9}
    layers = Explorer(space, frozenset({"layers"}), "resample", (1.2,), 1.0)
    assert all(("third" in f) == (f["layers"] > 2) for f in (layers.changed(params, rng) for _ in range(50)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"mutable": ("lt",)}, "options.mutable: lt is not a parameter that is searched; known: lr"),
        ({"mutable": ("lr",), "fixed": ("lr",)}, "options.fixed: names lr, which `mutable` names, too"),
        ({"fixed": ("lr",)}, "options: pbt has nothing to change"),
        ({"factors": ()}, "options.factors: must have one number at least"),
        ({"interval": 61}, "options.interval: must be at most 60"),
    ],
)
def test_options_that_contradict_the_study(options: Mapping[str, Any], text: str) -> None:
    with pytest.raises(SpecError) as caught:
        Pbt(spec_for(LR, LENGTH, 4), **options)
    assert text in str(caught.value)


def test_a_study_whose_trials_begin_anew_is_refused() -> None:
    with pytest.raises(SpecError, match=r"resource\.resume: pbt needs auto or always"):
        Pbt(replace(spec_for(LR, LENGTH, 4), resource=Resource("e", 9, resume="never")))


# -- toys --------------------------------------------------------------------------------------------------------------


def decay(state: float | None, params: Mapping[str, Any], units: int) -> tuple[float, float]:
    """Descent on a noisy parabola: m is the mean square of the distance, and the step that lowers it most is
    m / (m + 1), so that the best schedule is 1/2, 1/3, 1/4 ..., and m after n steps 1 / (n + 1)."""
    m = 1.0 if state is None else state
    for _ in range(units):
        m = (1 - params["lr"]) ** 2 * m + params["lr"] ** 2
    return m, m


def surrogates(state: Any, params: Mapping[str, Any], units: int) -> tuple[Any, float]:
    """Jaderberg et al. 2017, figure 2: ascent on a surrogate whose values h hide one direction or the other."""
    a, b = state or (0.9, 0.88)
    for _ in range(units):
        a, b = a - 0.02 * params["h0"] * a, b - 0.02 * params["h1"] * b
    return (a, b), a * a + b * b - 1.2


CONSTANT = min(decay(None, {"lr": 10 ** (-3 + 3 * i / 300)}, LENGTH)[1] for i in range(301))


@pytest.mark.by_default("options1-1-4")
@pytest.mark.parametrize(
    ("options", "workers", "seeds"),
    [
        ({"mode": "generations"}, 3, 6),
        ({}, 1, 4),
        ({"mode": "generations", "explore": "resample"}, 4, 4),
        pytest.param({"explore": "gp"}, 4, 2, marks=pytest.mark.slow),
    ],
)
def test_a_schedule_beats_every_constant_rate(options: dict[str, Any], workers: int, seeds: int) -> None:
    """Of 20 seeds each, all came below the best constant (0.0269), at 0.0172 to 0.0252, where 0.0164 is the optimum;
    the answers depend on the seed alone, so this cannot fail by chance."""
    for seed in range(seeds):
        spec = spec_for(LR, LENGTH, 8, seed)
        history = Farm(spec, Pbt(spec, interval=3, **options), decay, workers, seed).run()
        best = history.best
        assert best is not None and best.loss is not None
        assert 1 / (LENGTH + 1) < best.loss < CONSTANT
        runs = schedule(history, best)
        assert runs[-1].params["lr"] < runs[0].params["lr"] / 2, "it decays"


@pytest.mark.slow
def test_members_that_all_run_at_once_beat_constant_rates_mostly() -> None:
    """17 of 20 seeds did; of these eight, at least six do: with p = 0.85 that fails in one of ten draws of seeds."""
    found = []
    for seed in range(2, 10):
        spec = spec_for(LR, LENGTH, 8, seed)
        history = Farm(spec, Pbt(spec, interval=3), decay, 20, seed).run()
        found.append(history.best is not None and (history.best.loss or 0.0) < CONSTANT)
    assert sum(found) >= 6, found


def test_two_members_that_are_blind_in_one_direction_each() -> None:
    """Alone each comes to 0.43 of 1.2; of 12 seeds, all came to 1.17 at least together."""
    points = ({"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0})
    for exploit, low, high in ((0.0, 0.42, 0.43), (0.5, 1.15, 1.2)):
        for seed in range(3):
            spec = spec_for(TWO, 200, 2, seed, points=points)
            searcher = TrialQueue(spec, Pbt(spec, interval=5, exploit=exploit))
            best = Farm(spec, searcher, surrogates, 2, seed).run().best
            assert best is not None and low < -(best.loss or 0.0) < high


def test_any_fates_come_to_an_end() -> None:
    rng = random.Random(5)
    spec = spec_for(TWO, 8, 5)
    for mode in ("asynchronous", "generations"):
        searcher, history = Pbt(spec, interval=2, mode=mode), opened(spec)
        for _ in range(400):
            answer = searcher.ask(history, rng.randint(1, 4))
            history = proposed(history, answer)
            for trial in history.open:
                if rng.random() < 0.5 and trial.state.value == "pending":
                    fate = rng.choice([f for f in FATES if f not in ("running", "pending")])
                    history = with_fate(history, trial.id, fate, rng.random())
            if not history.open_ids and not searcher.ask(history, 1):
                break
        assert not history.open_ids and not searcher.ask(history, 1)
