"""The laws of a searcher, and real histories to try them on. Runs over any class, ours or a plugin's:

    class TestMine(SearcherLaws):
        def make(self, spec): return MySearcher(spec, my_option=3)

Histories are made of events through `events.apply`, as an engine makes them. Knows no searcher by name.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hpo_engine.searchers.interface import Asks
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal
from hpo_engine.testing.histories import (
    FATES,
    SPACES,
    Loss,
    all_completed,
    as_text,
    noise,
    opened,
    proposed,
    simulated,
    snapshot,
    spec_of,
    with_fate,
)


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

    def make(self, spec: StudySpec) -> Asks:
        raise NotImplementedError

    def specs(self) -> Mapping[str, StudySpec]:
        """The studies that the laws are tried on, by name."""
        two = (Objective("loss", over="last"), Objective("speed", "maximize", "last"))
        several = spec_of(SPACES["conditional"], objectives=two)
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
            ("retried and pruned", ("retried", "completed", "pruned"), noise),
            ("equal losses", ("completed",), lambda *_: 1.0),
            ("huge losses", ("completed",), lambda t, _: (-1.0) ** t.id * 1e308),
        )
        pairs = [(study, kind) for study in self.specs().items() for kind in kinds]
        for (name, spec), (label, fates, loss) in pairs[:: self.every]:
            history, rng = opened(spec), np.random.default_rng([len(name), len(label)])
            if fates:
                history = simulated(history, self.make(spec), self.trials, rng, fates=fates, loss=loss)
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
        kept: dict[str, Asks] = {}
        for label, spec, history in self.cases():
            name = label.split(",")[0]
            old = kept.setdefault(name, self.make(spec))  # it has seen other histories of the study before
            answers = [
                as_text(old.ask(history, 3)),
                as_text(old.ask(history, 3)),
                as_text(self.make(spec).ask(history, 3)),
            ]
            assert answers[0] == answers[1] == answers[2], f"{label}: answers differ"

    def test_no_global_generator_is_drawn_from_or_moved(self) -> None:
        for label, spec, history in self.cases():
            answers = []
            for seed in (1, 2):
                random.seed(seed)
                np.random.seed(seed)
                before = _global_generators()
                answers.append(as_text(self.make(spec).ask(history, 2)))
                assert _global_generators() == before, f"{label}: moved a global generator"
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
            before = as_text(first)
            for p in first:
                assert isinstance(p.params, dict), f"{label}: params must be a dict"
                spoil(p.params)
            assert as_text(searcher.ask(history, 3)) == before, f"{label}: an answer was kept and changed from outside"

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
                    later = with_fate(later, later.open_ids[-1], "completed", 0.5)
            assert as_text(single) == as_text(batch), f"{label}: asking one by one gives others"

    def test_another_seed_searches_elsewhere(self) -> None:
        if not self.seeded:
            return
        spec = self.specs()["mixed"]
        other = replace(spec, seed=(spec.seed or 0) + 1)
        assert as_text(self.make(spec).ask(opened(spec), 3)) != as_text(self.make(other).ask(opened(other), 3))

    def test_a_study_goes_on_until_its_budget_or_says_that_it_is_over(self) -> None:
        for label, spec in self.specs().items():
            searcher = self.make(spec)
            history = simulated(opened(spec), searcher, self.trials, np.random.default_rng(3), batch=4)
            assert history.next_id > 0, f"{label}: proposed nothing at all"
            history = all_completed(history, np.random.default_rng(4))
            if history.runs < self.trials:
                assert not searcher.ask(history, 1), f"{label}: said it was over, then went on"


# -- helpers ---------------------------------------------------------------------------------------------------------


def _global_generators() -> int:
    """A number that changes when a global generator is moved; short, as pytest shows where two sides differ."""
    state = np.random.get_state(legacy=False)
    return hash((random.getstate(), state["state"]["key"].tobytes(), state["state"]["pos"], state["gauss"]))


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
