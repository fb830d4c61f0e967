"""BOHB: short and long runs as in ASHA or Hyperband, with new configurations from a model of all results so far."""

from __future__ import annotations

from engine.searchers.asha import Asha
from engine.searchers.card import Card, Option
from engine.searchers.hyperband import Hyperband
from engine.searchers.modelled import Modelled, made
from engine.study import History, Proposal, StudySpec


class Bohb:
    """The scheduler says who gets how much of the resource, the model where new configurations come from.

    The paper schedules by Hyperband and fits its model to the largest amount with enough results. Here the scheduler
    is ASHA with all of Hyperband's least amounts, and the model learns from the ranks of all results (`Modelled`):
    benchmarks/fidelity.md has the figures, and says where full-length runs are the better choice.

    Args:
        brackets: of asha, at most the plan's; None: all of them.

    Source: Falkner, Klein, Hutter, BOHB: Robust and Efficient Hyperparameter Optimization at Scale, ICML 2018.
    """

    card = Card(
        summary="asha or hyperband, with new configurations from a model; needs `resource`",
        suits="as hyperband, where there is time for dozens of trainings and results depend on several parameters",
        cost="2 ms; 5 ms after 1,000 trials; with the model bayesian as that",
        source="Falkner, Klein, Hutter, BOHB, ICML 2018; schedule of Li et al., MLSys 2020",
        options={
            "eta": Option(
                "one in eta configurations goes on, to eta times as much of the resource", float, 3.0, least=1.01
            ),
            "scheduler": Option("who goes on when", str, "asha", words=("asha", "hyperband")),
            "brackets": Option("asha's least amounts of the resource to begin with (default: all)", int, least=1),
            "model": Option("where new configurations come from", str, "tpe", words=("tpe", "bayesian", "random")),
            "random_share": Option("share of new configurations that are random draws", float, 0.1, least=0, most=1),
        },
    )

    def __init__(
        self,
        spec: StudySpec,
        *,
        eta: float = 3.0,
        scheduler: str = "asha",
        brackets: int | None = None,
        model: str = "tpe",
        random_share: float = 0.1,
    ) -> None:
        self._scheduler: Asha | Hyperband
        if scheduler == "asha":
            self._scheduler = Asha(spec, eta=eta, brackets=spec.resource_max or 1 if brackets is None else brackets)
        else:
            self._scheduler = Hyperband(spec, eta=eta)
        if model != "random":
            self._scheduler.source = Modelled(spec, made(spec, model), random_share)

    def ask(self, history: History, count: int) -> list[Proposal]:
        return self._scheduler.ask(history, count)

    @property
    def size(self) -> int | None:
        return self._scheduler.size

    @property
    def usual_trials(self) -> int:
        return self._scheduler.usual_trials

    @property
    def about(self) -> str:
        return self._scheduler.about
