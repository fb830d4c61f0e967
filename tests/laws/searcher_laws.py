"""The laws of a searcher, and real histories to try them on. Runs over any class, ours or a plugin's:

    class TestMine(SearcherLaws):
        def make(self, spec): return MySearcher(spec, my_option=3)

Histories are made of events through `events.apply`, as an engine makes them. Knows no searcher by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hpo_engine.core.ports import Searcher
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    AttemptStarted,
    EngineStarted,
    Event,
    MetricsSeen,
    StudyOpened,
    TrialEnded,
    TrialProposed,
    apply,
)
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import Budget, StudySpec
from hpo_engine.study.trial import Proposal, Trial

# -- studies ---------------------------------------------------------------------------------------------------------

SPACES: Mapping[str, SearchSpace] = {
    "one float": SearchSpace((Float("x", -5, 5),)),
    "mixed": SearchSpace(
        (
            Float("lr", 1e-5, 1e-1, log=True),
            Int("hidden", 16, 256, log=True),
            Int("width", 3, 6, power=2),
            Float("dropout", 0, 0.5, step=0.1),
            Choice("act", ("relu", "tanh", None, True, 1)),
            Choice("size", (1, 2, 4), ordered=True),
            Constant("epochs", 5),
        )
    ),
    "conditional": SearchSpace(
        (
            Choice("opt", ("adam", "sgd")),
            Float("lr", 0.001, 1, log=True),
            Float("momentum", 0.5, 0.99, when={"opt": "sgd"}),
            Choice("nesterov", (True, False), when={"opt": "sgd"}),
            Int("delay", 1, 9, when={"nesterov": True}),
        )
    ),
    "tiny": SearchSpace((Choice("a", (0, 1)), Int("b", 1, 3))),
    "one value": SearchSpace((Int("a", 3, 3), Constant("c", [1, {"k": None}]))),
}


def spec_of(space: SearchSpace, **changes: Any) -> StudySpec:
    """An opened study over `space`: 60 trials, seed 7, unless said otherwise."""
    fields: dict[str, Any] = {"name": "law", "objective": Objective("loss"), "command": ("true",), "model_dir": "/"}
    return StudySpec(**{**fields, "space": space, "seed": 7, "budget": Budget(trials=60), **changes})


def opened(spec: StudySpec) -> History:
    """The history of a study that has no trials yet."""
    return applied(apply(None, StudyOpened(0.0, spec.to_json())), EngineStarted(0.0, pid=1))


def applied(history: History, *events: Event) -> History:
    for event in events:
        history = apply(history, event)
    return history


def proposed(history: History, proposals: Sequence[Proposal]) -> History:
    """The history after these proposals became trials; they are pending. Goes through JSON, as the log does."""
    for p in proposals:
        params, slot = json.loads(json.dumps([dict(p.params), p.note]))
        history = apply(history, TrialProposed(history.last_at + 1, history.next_id, params, p.resource, slot))
    return history


# -- how trials go ---------------------------------------------------------------------------------------------------

Loss = Callable[[Trial, np.random.Generator], float]
FATES = ("completed", "completed", "completed", "failed", "timed_out", "stopped", "lost", "running", "pending", "nan")


def noise(trial: Trial, rng: np.random.Generator) -> float:
    """A loss that has nothing to do with the parameters."""
    return float(rng.normal())


def goes(history: History, trial_id: int, fate: str, value: float = 0.0) -> History:
    """What happens to a pending trial: a state's name, or "nan" (fails after reporting NaN), or "retried"."""
    at = history.last_at + 1
    if fate == "pending":
        return history
    number = len(history.trials[trial_id].attempts) + 1
    history = applied(
        history,
        AttemptIntended(at, trial_id, number, f"n{trial_id}.{number}"),
        AttemptStarted(at, trial_id, number, pid=100 + trial_id),
        MetricsSeen(at, trial_id, (Row(1, {"loss": math.nan if fate == "nan" else value, "other": math.inf}),)),
    )
    if fate == "running":
        return history
    if fate == "retried":
        return apply(history, AttemptEnded(at, trial_id, number, {"code": 1}, "exit code 1"))
    state = "failed" if fate == "nan" else fate
    if state == "completed":
        return well(history, trial_id, value)
    return apply(history, TrialEnded(at, trial_id, state, None, state, {"code": 1}))


def well(history: History, trial_id: int, value: float) -> History:
    """A trial ends well. Its second objective, where there is one, has little to do with the first."""
    values = (
        (value, math.sin(math.fmod(1e3 * math.fmod(value, 10.0), 10.0) + trial_id)) if history.spec.objectives else None
    )
    event = TrialEnded(history.last_at + 1, trial_id, "completed", value, "", {"code": 0}, None, values)
    return apply(history, event)


def lived(
    history: History,
    searcher: Searcher,
    trials: int,
    rng: np.random.Generator,
    *,
    batch: int = 3,
    fates: Sequence[str] = FATES,
    loss: Loss = noise,
) -> History:
    """The history after up to `trials` more trials of `searcher`, asked for in batches, with random fates."""
    end = history.next_id + trials
    while history.next_id < end:
        first = history.next_id
        history = proposed(history, searcher.ask(history, min(batch, end - first)))
        if history.next_id == first:
            # "Wait" while something is open: let that end; else the search is over.
            if not history.open_ids:
                break
            history = all_ended(history, rng, loss)
            continue
        for trial_id in range(first, history.next_id):
            value = loss(history.trials[trial_id], rng)
            history = goes(history, trial_id, fates[int(rng.integers(len(fates)))], value)
    return history


def all_ended(history: History, rng: np.random.Generator, loss: Loss = noise) -> History:
    """Every open trial completes."""
    for trial in history.open:
        if not trial.attempts or trial.state.value == "pending":
            history = goes(history, trial.id, "completed", loss(trial, rng))
        else:
            history = well(history, trial.id, loss(trial, rng))
    return history


# -- the laws --------------------------------------------------------------------------------------------------------


class SearcherLaws:
    """Subclass it, say how to `make` a searcher, and let pytest collect it.

    `order_free`: trial i's proposal depends on the seed and i alone, not on results (random, grid, sobol).
    `seeded`: another seed gives other proposals. `trials`: length of the histories; `many`: a large count to ask for.
    `every`: for searchers that take long, 3 or 5 tries every third or fifth case: each study and each
    kind of history (there are eight: an odd number meets them all), not all pairs.
    """

    order_free = False
    seeded = True
    trials = 24
    many = 40
    every = 1

    def make(self, spec: StudySpec) -> Searcher:
        raise NotImplementedError

    def specs(self) -> Mapping[str, StudySpec]:
        """The studies that the laws are tried on, by name."""
        two = (Objective("loss", over="last"), Objective("speed", "maximize", "last"))
        several = spec_of(SPACES["conditional"], objective=two[0], objectives=two)
        return {**{name: spec_of(space) for name, space in SPACES.items()}, "two objectives": several}

    def cases(self) -> Sequence[tuple[str, StudySpec, History]]:
        """Histories of each study, made once a class: new, all well, random fates, only failures, all pending ..."""
        cls = type(self)
        if "_cases" not in vars(cls):
            cls._cases = tuple(self._histories())
        return cls._cases

    _cases: tuple[tuple[str, StudySpec, History], ...] = ()

    def _histories(self) -> Iterator[tuple[str, StudySpec, History]]:
        kinds: tuple[tuple[str, Sequence[str], Loss], ...] = (
            ("new", (), noise),
            ("all completed", ("completed",), noise),
            ("random fates", FATES, noise),
            ("all failed", ("failed", "nan"), noise),
            ("all pending", ("pending",), noise),
            ("retried", ("retried", "completed"), noise),
            ("equal losses", ("completed",), lambda *_: 1.0),
            ("huge losses", ("completed",), lambda t, _: (-1.0) ** t.id * 1e308),
        )
        pairs = [(study, kind) for study in self.specs().items() for kind in kinds]
        for (name, spec), (label, fates, loss) in pairs[:: self.every]:
            history, rng = opened(spec), np.random.default_rng([len(name), len(label)])
            if fates:
                history = lived(history, self.make(spec), self.trials, rng, fates=fates, loss=loss)
            yield f"{name}, {label}", spec, history

    def test_proposals_are_members_of_the_space_and_plain_json(self) -> None:
        for label, spec, history in self.cases():
            for p in self.make(spec).ask(history, 3):
                problem = spec.space.problem_with(p.params)
                assert problem is None or dict(p.params) in [dict(e) for e in spec.experiments], f"{label}: {problem}"
                for value in (dict(p.params), None if p.note is None else dict(p.note), p.resource):
                    assert is_plain(value), f"{label}: {value!r} is not plain JSON"
                assert p.resource is None or (type(p.resource) is int and p.resource > 0), label

    def test_never_more_than_asked_for(self) -> None:
        for i, (label, spec, history) in enumerate(self.cases()):
            count = (self.many, 1, 2)[i % 3]  # over the studies, each kind of history meets each count
            got = len(self.make(spec).ask(history, count))
            assert got <= count, f"{label}: {got} proposals where {count} were asked for"

    def test_the_same_question_has_the_same_answer(self) -> None:
        kept: dict[str, Searcher] = {}
        for label, spec, history in self.cases():
            name = label.split(",")[0]
            old = kept.setdefault(name, self.make(spec))  # it has seen other histories of the study before
            answers = [told(old.ask(history, 3)), told(old.ask(history, 3)), told(self.make(spec).ask(history, 3))]
            assert answers[0] == answers[1] == answers[2], f"{label}: answers differ"

    def test_no_global_generator_is_drawn_from_or_moved(self) -> None:
        import random

        for label, spec, history in self.cases():
            answers = []
            for seed in (1, 2):
                random.seed(seed)
                np.random.seed(seed)
                before = random.getstate(), str(np.random.get_state())
                answers.append(told(self.make(spec).ask(history, 2)))
                assert (random.getstate(), str(np.random.get_state())) == before, f"{label}: moved a global generator"
            assert answers[0] == answers[1], f"{label}: depends on a global generator"

    def test_the_history_is_left_as_it_is(self) -> None:
        for label, spec, history in self.cases():
            before = snapshot(history)
            self.make(spec).ask(history, 2)
            assert snapshot(history) == before, f"{label}: ask changed the history"

    def test_what_was_given_away_may_be_changed(self) -> None:
        for label, spec, history in self.cases():
            searcher = self.make(spec)
            first = searcher.ask(history, 3)
            before = told(first)
            for p in first:
                assert isinstance(p.params, dict), f"{label}: params must be a dict"
                spoil(p.params)
            assert told(searcher.ask(history, 3)) == before, f"{label}: an answer was kept and changed from outside"

    def test_a_batch_is_the_same_as_one_by_one(self) -> None:
        if not self.order_free:
            return
        for label, spec, history in self.cases():
            batch = self.make(spec).ask(history, 4)
            single: list[Proposal] = []
            later = history
            for _ in range(len(batch)):
                answer = self.make(spec).ask(later, 1)
                single += answer
                later = proposed(later, answer)
                if later.open_ids:
                    later = goes(later, later.open_ids[-1], "completed", 0.5)
            assert told(single) == told(batch), f"{label}: asking one by one gives others"

    def test_another_seed_searches_elsewhere(self) -> None:
        if not self.seeded:
            return
        spec = self.specs()["mixed"]
        other = replace(spec, seed=(spec.seed or 0) + 1)
        assert told(self.make(spec).ask(opened(spec), 3)) != told(self.make(other).ask(opened(other), 3))

    def test_a_study_goes_on_until_its_budget_or_says_that_it_is_over(self) -> None:
        for label, spec in self.specs().items():
            searcher = self.make(spec)
            history = lived(opened(spec), searcher, self.trials, np.random.default_rng(3), batch=4)
            assert history.next_id > 0, f"{label}: proposed nothing at all"
            history = all_ended(history, np.random.default_rng(4))
            if history.next_id < self.trials:
                assert not searcher.ask(history, 1), f"{label}: said it was over, then went on"


# -- helpers ---------------------------------------------------------------------------------------------------------


def told(proposals: Sequence[Proposal]) -> str:
    """Proposals as text, types and order of the parameters included."""
    return json.dumps([[dict(p.params), p.resource, None if p.note is None else dict(p.note)] for p in proposals])


def snapshot(history: History) -> str:
    return json.dumps(
        [history.spec.to_json(), [repr(t) for t in history.trials], history.open_ids, history.best_id], default=str
    )


def is_plain(value: Any) -> bool:
    """Whether a value is made of Python's own JSON types, finite numbers only (no numpy scalars, no tuples)."""
    if type(value) is dict:
        return all(type(k) is str and is_plain(v) for k, v in value.items())
    if type(value) is list:
        return all(map(is_plain, value))
    return value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value))


def spoil(value: Any) -> None:
    """Changes a JSON value in place, all the way down."""
    if isinstance(value, dict):
        for inner in value.values():
            spoil(inner)
        value["spoilt"] = True
    elif isinstance(value, list):
        for inner in value:
            spoil(inner)
        value.append("spoilt")
