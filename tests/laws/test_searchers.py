"""The searcher laws over the searchers that need no results, over a fake, and over fakes that break one law each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpo_engine.core.queue import TrialQueue
from hpo_engine.searchers import trial_rng
from hpo_engine.searchers.asha import Asha
from hpo_engine.searchers.auto import Auto
from hpo_engine.searchers.bayesian import Bayesian
from hpo_engine.searchers.bohb import Bohb
from hpo_engine.searchers.cmaes import CmaEs
from hpo_engine.searchers.evolution import Evolution
from hpo_engine.searchers.grid import Grid
from hpo_engine.searchers.hyperband import Hyperband
from hpo_engine.searchers.interface import Asks, Searcher
from hpo_engine.searchers.optuna import Optuna
from hpo_engine.searchers.pbt import Pbt
from hpo_engine.searchers.random import Random
from hpo_engine.searchers.sobol import Sobol
from hpo_engine.searchers.tpe import Tpe
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.events import TrialReopened, apply
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Named, Resource, StudySpec
from hpo_engine.study.trial import Proposal, TrialState
from hpo_engine.testing.histories import FATES, SPACES, as_text, opened, proposed, spec_of, with_fate
from hpo_engine.testing.searchers import SearcherLaws


class TestRandom(SearcherLaws):
    order_free = True

    def make(self, spec: StudySpec) -> Searcher:
        return Random(spec)


class TestGrid(SearcherLaws):
    order_free = True
    seeded = False

    def make(self, spec: StudySpec) -> Searcher:
        return Grid(spec)


class TestShuffledGrid(SearcherLaws):
    order_free = True

    def make(self, spec: StudySpec) -> Searcher:
        return Grid(spec, levels=3, shuffle=True)


class TestSobol(SearcherLaws):
    order_free = True

    def make(self, spec: StudySpec) -> Searcher:
        return Sobol(spec)


class TestBayesian(SearcherLaws):
    every = 5
    trials = 12
    many = 6

    def make(self, spec: StudySpec) -> Searcher:
        return Bayesian(spec)


class TestCmaEs(SearcherLaws):
    def make(self, spec: StudySpec) -> Searcher:
        pytest.importorskip("cmaes")
        return CmaEs(spec, n_startup=5)


class TestSmallPopulations(SearcherLaws):
    """Generations end often, and restarts come soon."""

    every = 3

    def make(self, spec: StudySpec) -> Searcher:
        pytest.importorskip("cmaes")
        return CmaEs(spec, n_startup=2, population=4, sigma=0.01)


class TestEvolution(SearcherLaws):
    every = 3

    def make(self, spec: StudySpec) -> Searcher:
        return Evolution(spec, n_startup=4)


@pytest.mark.slow
class TestSkopt(SearcherLaws):
    """scikit-optimize's model, asked early and seldom: it takes tenths of a second."""

    trials = 7
    many = 2

    def make(self, spec: StudySpec) -> Searcher:
        pytest.importorskip("skopt")
        return Bayesian(spec, surrogate="skopt", n_startup=5, cube_size=100)

    def specs(self) -> Mapping[str, StudySpec]:
        return {name: spec_of(SPACES[name]) for name in ("mixed", "conditional")}


class OptunaLaws(SearcherLaws):
    """A sampler of Optuna."""

    every = 3
    __test__ = False
    name = "tpe"
    options: Mapping[str, Any] = {}
    trials = 12
    many = 3

    names: Sequence[str] = ("mixed", "conditional", "one value", "two objectives")

    def specs(self) -> Mapping[str, StudySpec]:
        return {name: spec for name, spec in super().specs().items() if name in self.names}

    def make(self, spec: StudySpec) -> Searcher:
        pytest.importorskip("optuna")
        return Optuna(replace(spec, algorithm=Named(f"optuna:{self.name}")), **self.options)


class TestOptunaTpe(OptunaLaws):
    __test__ = True


class TestOptunaGroupedTpe(OptunaLaws):
    __test__ = True
    options = {"multivariate": True, "group": True, "n_startup_trials": 4}


@pytest.mark.slow
class TestOptunaGp(OptunaLaws):
    __test__ = True
    name = "gp"

    def make(self, spec: StudySpec) -> Searcher:
        pytest.importorskip("torch")
        return super().make(spec)


class TestOptunaCmaEs(OptunaLaws):
    __test__ = True
    name = "cmaes"
    names = ("mixed", "conditional", "one value")  # one objective is all it knows
    options = {"popsize": 4, "with_margin": True}


class TestOptunaNsga(OptunaLaws):
    __test__ = True
    name = "nsgaii"
    options = {"population_size": 4, "crossover": "uniform"}


class TestOptunaQmc(OptunaLaws):
    __test__ = True
    name = "qmc"
    options = {"scramble": True}


class TestAuto(SearcherLaws):
    every = 3
    trials = 12
    many = 6

    def specs(self) -> Mapping[str, StudySpec]:
        return {name: spec_of(SPACES[name]) for name in ("mixed", "conditional", "tiny")}

    def make(self, spec: StudySpec) -> Searcher:
        return Auto(spec)


class TestTpe(SearcherLaws):
    every = 3

    def make(self, spec: StudySpec) -> Searcher:
        return Tpe(spec)


class TestTpeOfWmla(SearcherLaws):
    every = 3

    def make(self, spec: StudySpec) -> Searcher:
        return Tpe(spec, n_startup=3, ei_candidates=24, good_ratio=0.25, good_max=25)


class TestQueuedRandom(SearcherLaws):
    """As a study runs it: with points to try first and rules, and in small spaces."""

    order_free = True

    def make(self, spec: StudySpec) -> Asks:
        return TrialQueue(spec, Random(spec))

    def specs(self) -> Mapping[str, StudySpec]:
        ruled = SearchSpace(SPACES["mixed"].params, ("hidden > 20 and (act != 'tanh' or dropout < 0.3)",))
        return {**super().specs(), "points": spec_of(ruled, points=({"lr": 0.01}, {}, {"act": "tanh"}))}


class TestQueuedSobol(TestQueuedRandom):
    def make(self, spec: StudySpec) -> Asks:
        return TrialQueue(spec, Sobol(spec))


class TestQueuedGrid(TestQueuedRandom):
    seeded = False

    def make(self, spec: StudySpec) -> Asks:
        return TrialQueue(spec, Grid(spec))


class TestExperiments(SearcherLaws):
    """A study that brings its own list of parameter sets."""

    order_free = True
    seeded = False

    def make(self, spec: StudySpec) -> Searcher:
        return Grid(spec)

    def specs(self) -> Mapping[str, StudySpec]:
        listed = ({"lr": 0.1, "layers": [1, 2]}, {"lr": 0.2}, {"other": "x"}, {"lr": 0.1, "layers": [1, 2]})
        return {"experiments": spec_of(SearchSpace(()), experiments=listed)}


class Rationed(SearcherLaws):
    """Searchers that ration a resource: the same studies, with one, in each way of promoting trials."""

    def specs(self) -> Mapping[str, StudySpec]:
        ways = dict(zip(SPACES, ("auto", "always", "never", "auto", "always"), strict=True))
        return {
            name: spec_of(space, resource=Resource("epoch", 9, resume=ways[name]), budget=Budget(runs=60))
            for name, space in SPACES.items()
        }

    def test_one_that_saw_the_study_grow_answers_as_a_new_one(self) -> None:
        for name, spec in self.specs().items():
            old, history, rng = self.make(spec), opened(spec), np.random.default_rng(5)
            past = [history]
            for step in range(2 * self.trials):
                answer = old.ask(history, 2)
                assert as_text(answer) == as_text(self.make(spec).ask(history, 2)), f"{name}, step {step}"
                history = proposed(history, answer)
                for trial in history.open:
                    if rng.random() < 0.6 and trial.state is TrialState.PENDING:
                        fate = str(rng.choice(FATES))
                        history = with_fate(history, trial.id, fate, float(rng.normal()))
                ended = [t.id for t in history.trials if t.state.ended and t.loss is None]
                if ended and rng.random() < 0.1:
                    history = apply(history, TrialReopened(history.last_at + 1, int(rng.choice(ended))))
                past.append(history)
                if rng.random() < 0.1:  # what it saw later must not show in an answer to an earlier question
                    earlier = past[int(rng.integers(len(past)))]
                    assert as_text(old.ask(earlier, 3)) == as_text(self.make(spec).ask(earlier, 3)), (
                        f"{name}, before {step}"
                    )


class TestHyperband(Rationed):
    def make(self, spec: StudySpec) -> Searcher:
        return Hyperband(spec)


class TestOneRoundOfHyperband(Rationed):
    def make(self, spec: StudySpec) -> Searcher:
        return Hyperband(replace(spec, resource=Resource("epochs", 3)), eta=1.5, rounds=1)


class TestBohb(Rationed):
    every = 3

    def make(self, spec: StudySpec) -> Searcher:
        return Bohb(spec)


@pytest.mark.slow
class TestBohbWithGaussianProcess(Rationed):
    trials = 12

    def make(self, spec: StudySpec) -> Searcher:
        return Bohb(spec, scheduler="hyperband", model="bayesian")


class TestAsha(Rationed):
    def make(self, spec: StudySpec) -> Searcher:
        return Asha(spec, brackets=2)


class TestPbt(Rationed):
    def specs(self) -> Mapping[str, StudySpec]:
        given = {"resource": Resource("epoch", 9, resume="always")}
        two = (Objective("loss"), Objective("speed", "maximize"))
        several = spec_of(SPACES["conditional"], objectives=two, **given)
        ruled = SearchSpace(SPACES["mixed"].params, ("hidden > 20 and (act != 'tanh' or dropout < 0.3)",))
        spaces = {**SPACES, "ruled": ruled}
        return {**{name: spec_of(space, **given) for name, space in spaces.items()}, "two objectives": several}

    def make(self, spec: StudySpec) -> Searcher:
        return Pbt(spec, population=6, interval=2)


class TestPbtInGenerations(TestPbt):
    def make(self, spec: StudySpec) -> Searcher:
        return Pbt(spec, population=4, interval=2, mode="generations", explore="resample", exploit=0.5)


class TestPbtWithGaussianProcess(TestPbt):
    every = 3
    trials = 16
    many = 6

    def make(self, spec: StudySpec) -> Searcher:
        return Pbt(spec, population=4, interval=2, explore="gp")


for _laws in [each for each in globals().values() if isinstance(each, type) and issubclass(each, SearcherLaws)]:
    if _laws.every > 1 and _laws.__name__.startswith("Test"):
        _whole = type(f"{_laws.__name__}Whole", (_laws,), {"every": 1, "__module__": __name__})
        globals()[_whole.__name__] = pytest.mark.slow(_whole)
del _laws, _whole  # pytest would collect them again


class Fake:
    """The smallest searcher that keeps the laws."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        ids = range(history.next_id, history.next_id + count)
        return [Proposal(self.spec.space.sample(trial_rng(self.spec, i))) for i in ids]


class TestFake(SearcherLaws):
    order_free = True

    def make(self, spec: StudySpec) -> Asks:
        return Fake(spec)


# -- the laws can fail -----------------------------------------------------------------------------------------------


class KeepsGenerator(Fake):
    def __init__(self, spec: StudySpec) -> None:
        super().__init__(spec)
        self.rng = np.random.default_rng(0)

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        return [Proposal(self.spec.space.sample(self.rng)) for _ in range(count)]


class DrawsGlobally(Fake):
    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        d = len(self.spec.space.dimensions)
        return [Proposal(self.spec.space.decode(np.random.random(d))) for _ in range(count)]


class GivesOneTooMany(Fake):
    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        return super().ask(history, count + 1)


class LeavesTheSpace(Fake):
    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        return [replace(p, params={**p.params, "more": 1}) for p in super().ask(history, count)]


class GivesNumpyNumbers(Fake):
    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        return [
            replace(p, params={k: np.float64(v) if type(v) is float else v for k, v in p.params.items()})
            for p in super().ask(history, count)
        ]


class ChangesHistory(Fake):
    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        for trial in history.trials:
            params: Any = trial.params
            params.pop("lr", None)
        return super().ask(history, count)


class RemembersAnswers(Fake):
    def __init__(self, spec: StudySpec) -> None:
        super().__init__(spec)
        self.kept: dict[int, Proposal] = {}

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        fresh = super().ask(history, count)
        return [self.kept.setdefault(history.next_id + k, p) for k, p in enumerate(fresh)]


class LooksAtResults(Fake):
    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        seed = sum(history.losses.values()) != 0
        return Fake(replace(self.spec, seed=int(seed))).ask(history, count)


class ForgetsSeed(Fake):
    def __init__(self, spec: StudySpec) -> None:
        super().__init__(replace(spec, seed=0))


class NeverBegins(Fake):
    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        return []


class NeedsAResult(Fake):
    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        if history.next_id and history.best is None:
            raise ValueError("no best trial")
        return super().ask(history, count)


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (KeepsGenerator, "test_the_same_question_has_the_same_answer"),
        (DrawsGlobally, "test_no_global_generator_is_drawn_from_or_moved"),
        (GivesOneTooMany, "test_never_more_than_asked_for"),
        (LeavesTheSpace, "test_proposals_are_members_of_the_space_and_plain_json"),
        (GivesNumpyNumbers, "test_proposals_are_members_of_the_space_and_plain_json"),
        (ChangesHistory, "test_the_history_is_left_as_it_is"),
        (RemembersAnswers, "test_what_was_given_away_may_be_changed"),
        (LooksAtResults, "test_a_batch_is_the_same_as_one_by_one"),
        (ForgetsSeed, "test_another_seed_searches_elsewhere"),
        (NeverBegins, "test_a_study_goes_on_until_its_budget_or_says_that_it_is_over"),
        (NeedsAResult, "test_proposals_are_members_of_the_space_and_plain_json"),
    ],
)
def test_a_searcher_that_breaks_a_law_is_caught_by_it(broken: type[Fake], law: str) -> None:
    class Laws(SearcherLaws):
        order_free = True
        trials = 6

        def make(self, spec: StudySpec) -> Asks:
            return broken(spec)

        def specs(self) -> Mapping[str, StudySpec]:
            return {"mixed": spec_of(SPACES["mixed"])}

    with pytest.raises((AssertionError, ValueError)):
        getattr(Laws(), law)()


def test_law_histories_hold_what_they_are_named_for() -> None:
    states: dict[str, set[str]] = {}
    for label, _, history in TestFake().cases():
        states.setdefault(label.split(", ")[-1], set()).update(t.state.value for t in history.trials)
        json.dumps(history.spec.to_json())
    assert states["all completed"] == {"completed"} and states["all failed"] == {"failed"}
    assert states["all pending"] == {"pending"} and states["retried and pruned"] == {"pending", "completed", "pruned"}
    assert states["random fates"] == {"completed", "failed", "timed_out", "stopped", "lost", "running", "pending"}
