"""BOHB: short and long runs as in ASHA or Hyperband, with new configurations from a model of all results so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hpo_engine.plugins.card import Card, Option
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.searchers.asha import Asha
from hpo_engine.searchers.halving import rationed
from hpo_engine.searchers.hyperband import Hyperband
from hpo_engine.searchers.model_source import ModelSource, model_of
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal


class Bohb(Searcher):
    """The scheduler decides how much of the resource each trial gets, the model proposes new configurations.

    The paper schedules by Hyperband and fits its model to the largest amount with enough results. Here the scheduler
    is ASHA with few and widely spaced amounts of the resource, because if trials leave no checkpoint, each amount is
    trained from the beginning and has its cost. New configurations begin with the two least amounts, since the least
    may say little, and fewer are promoted than in ASHA, because configurations from a model are much alike. The model
    learns from all results (`ModelSource`). benchmarks/fidelity.md has the figures, and says where full-length runs are
    better.

    Args:
        eta: None: 9 for asha, or less if the resource spans less; 3 for hyperband. brackets: of asha, at most the
            plan's. keep: of asha; None: twice eta.

    Source: Falkner, Klein, Hutter, BOHB: Robust and Efficient Hyperparameter Optimization at Scale, ICML 2018.
    """

    traits = Traits(
        card=Card(
            summary="asha or hyperband, with new configurations from a model; needs `resource`",
            suits="as hyperband, if there is time for dozens of trainings and results depend on several parameters",
            cost="3 ms; 9 ms after 1,000 trials; with model: bayesian, that of bayesian",
            source="Falkner, Klein, Hutter, BOHB, ICML 2018; schedule of Li et al., MLSys 2020",
            options={
                "eta": Option("factor between amounts (default: 9 for asha, 3 for hyperband)", float, None, least=1.01),
                "scheduler": Option(
                    "which scheduler decides what is promoted when", str, "asha", words=("asha", "hyperband")
                ),
                "brackets": Option(
                    "asha: how many different starting amounts of the resource new configurations get", int, 2, least=1
                ),
                "keep": Option(
                    "asha: the best 1 in keep of a rung is promoted (default: twice eta)", float, None, least=1.01
                ),
                "model": Option("where new configurations come from", str, "tpe", words=("tpe", "bayesian", "random")),
                "random_share": Option(
                    "share of new configurations that are random draws", float, 0.1, least=0, most=1
                ),
            },
        ),
        needs_resource=True,
        rations=True,
        uses_running=True,
    )

    def __init__(
        self,
        spec: StudySpec,
        *,
        eta: float | None = None,
        scheduler: str = "asha",
        brackets: int = 2,
        keep: float | None = None,
        model: str = "tpe",
        random_share: float = 0.1,
    ) -> None:
        self._scheduler: Asha | Hyperband
        if scheduler == "asha":
            eta = _widest(spec) if eta is None else eta
            self._scheduler = Asha(spec, eta=eta, brackets=brackets, keep=2 * eta if keep is None else keep)
        else:
            self._scheduler = Hyperband(spec, eta=3.0 if eta is None else eta)
        if model != "random":
            self._scheduler.source = ModelSource(spec, model_of(spec, model), random_share)
        known = self._scheduler.traits
        self.traits = replace(
            self.traits, carries_on=known.carries_on, size=known.size, usual_trials=known.usual_trials
        )

    def ask(self, history: History, count: int) -> list[Proposal]:
        return self._scheduler.ask(history, count)

    def promote_waiting(self, history: History, count: int) -> list[Proposal]:
        return self._scheduler.promote_waiting(history, count)

    def about(self) -> str:
        return self._scheduler.about()

    def planned(self) -> str:
        return self._scheduler.planned()

    def planned_runs(self) -> Mapping[int, int]:
        return self._scheduler.planned_runs()


def _widest(spec: StudySpec) -> float:
    """9, or less if that would leave only one amount."""
    resource = rationed(spec)
    return max(2.0, min(9.0, resource.max / resource.min))
