"""The default: picks the searcher for each trial, by what the study is like and how far it has come.

Does nothing itself. The note of each proposal names the searcher that it is from, if the study has no resource;
`Auto.choice` is the rule.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo_engine.plugins.card import Card
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.searchers.model_source import Model, model_of
from hpo_engine.searchers.observations import Observations, Observer
from hpo_engine.space.searchspace import Float, Int
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpo_engine.searchers.trusted import TrustedHalving

_SELDOM = 4  # one proposal in this many is TPE's if all parameters are plain numbers; otherwise every other one
_LONG = 300  # results from which on the process models a part of them only
_WIDE = 60  # dimensions from which on the process has one lengthscale for all


class Auto(Searcher):
    """`bayesian` and `tpe` in turns; for a study that has a resource, within `TrustedHalving`: most configurations get
    less of it, as long as that tells which are good.

    On plain numbers the Gaussian process finds more, so TPE has one trial in four there, as a guard against a process
    that is stuck. With choices or conditions, which bring plateaus and ties, neither is always better, and they
    take turns: on 11 tables of real trainings the two together came to a normalised regret of 0.054 after 100
    trials, the process alone to 0.063, TPE alone to 0.075 (one seed; benchmarks/search). They also take
    turns from 300 results on, because the process models only a part of them, and from 60 dimensions on, because it
    cannot estimate so many lengthscales.
    Failures and running trials need no rule: both searchers use them.
    """

    traits = Traits(
        card=Card(
            summary="picks an algorithm for each trial, by the space, the budget and the results so far",
            suits="nearly everything: start with it",
            cost="1 to 60 ms, depending on the searcher that it picks",
            source="the rule and its figures: benchmarks/search/README.md",
        ),
        uses_running=True,
        many_objectives=True,
    )

    def __init__(self, spec: StudySpec) -> None:
        self._spec, self._reader = spec, Observer(spec.space)
        self._models: dict[str, Model] = {}
        resumes = spec.resource is not None and spec.resource.resume != "never"
        self.traits = replace(self.traits, rations=spec.resource is not None, carries_on=resumes)

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        if self.traits.rations:
            return self._halving.ask(history, count)
        return [
            Proposal(p, note={"by": by}) for p, by in self._turns(self._reader.read(history), history.next_id, count)
        ]

    def suggest(self, observed: Observations, first_id: int, count: int) -> list[dict[str, Any]]:
        """Parameters for trials `first_id`, `first_id` + 1, ...; each counts as running when the next one is chosen."""
        return [params for params, _ in self._turns(observed, first_id, count)]

    def _turns(self, observed: Observations, first_id: int, count: int) -> Iterator[tuple[dict[str, Any], str]]:
        for trial_id in range(first_id, first_id + count):
            name = self.choice(observed, trial_id)
            for params in self._model(name).suggest(observed, trial_id, 1):
                yield params, name
                observed = replace(observed, pending=np.vstack([observed.pending, self._spec.space.encode(params)]))

    def why(self, before: History, trial: Trial) -> str:
        if self.traits.rations:
            return self._halving.why(before, trial)
        by = (trial.proposal.note or {}).get("by")
        found = self._model(by).phase(self._reader.read(before), trial.id) if by in ("tpe", "bayesian") else ""
        return f"left to {by}: {found}" if found else ""

    def phase(self, observed: Observations, number: int) -> str:
        """How the configuration of that number is chosen, in words."""
        by = self.choice(observed, number)
        return f"left to {by}: {self._model(by).phase(observed, number)}"

    def about(self) -> str:
        return self._halving.about() if self.traits.rations else ""

    def promotable(self, history: History) -> Collection[int] | None:
        return self._halving.promotable(history) if self.traits.rations else ()

    def planned(self) -> str:
        return self._halving.planned() if self.traits.rations else ""

    def planned_runs(self) -> Mapping[int, int]:
        return self._halving.planned_runs() if self.traits.rations else {}

    def promote_waiting(self, history: History, count: int) -> Sequence[Proposal]:
        return self._halving.promote_waiting(history, count) if self.traits.rations else ()

    def choice(self, observed: Observations, number: int) -> str:
        """The searcher for a trial, or for the configuration of that number in a study with a resource, given what is
        known."""
        easy = self._plain and len(observed.losses) < _LONG and len(self._spec.space.dimensions) < _WIDE
        every = _SELDOM if easy else 2
        return "tpe" if number % every == every - 1 else "bayesian"

    @cached_property
    def _plain(self) -> bool:
        """Whether all parameters are numbers, without conditions."""
        return all(isinstance(p, (Float, Int)) and not p.when for p in self._spec.space.dimensions)

    def _model(self, name: str) -> Model:
        if name not in self._models:
            self._models[name] = model_of(self._spec, name)
        return self._models[name]

    @cached_property
    def _halving(self) -> TrustedHalving:
        from hpo_engine.searchers.trusted import TrustedHalving

        return TrustedHalving(self._spec, self)
