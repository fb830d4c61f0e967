"""Sobol search: like random search, but trials fill the space evenly. Knows nothing of results."""

from __future__ import annotations

from hpo_engine.plugins.card import Card
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.searchers.start import start_point
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Trial


class Sobol(Searcher):
    """Trial i is point i of a scrambled Sobol sequence of the study's seed, over the space's dimensions.

    Values of conditional parameters that do not apply at a point are skipped there. Most even after 2^k trials.
    """

    traits = Traits(
        card=Card(
            summary="like random, but fills the space evenly",
            suits="a look at the whole space; few parameters",
            cost="0.1 ms",
            source="Sobol 1967, with the scrambling of Matousek 1998",
        ),
        quick=True,
        many_objectives=True,
    )

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec

    def why(self, before: History, trial: Trial) -> str:
        return f"point {trial.id} of a quasi-random sequence that covers the space; results have no influence"

    def ask(self, history: History, count: int) -> list[Proposal]:
        space, first = self._spec.space, history.next_id
        return [Proposal(space.decode(start_point(self._spec, i))) for i in range(first, first + count)]
