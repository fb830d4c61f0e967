"""Random search: every trial is an independent draw from the space. Knows nothing of the past."""

from __future__ import annotations

import random
from typing import Any

from hpo_engine.plugins.card import Card
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Trial


class Random(Searcher):
    """Independent draws, repeats included; among what the study's rules allow."""

    traits = Traits(
        card=Card(
            summary="independent draws",
            suits="a baseline, very many workers, or values that are mostly noise",
            cost="0.05 ms",
            source="Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012",
        ),
        quick=True,
        many_objectives=True,
    )

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec

    def why(self, before: History, trial: Trial) -> str:
        return "drawn at random; results have no influence"

    def ask(self, history: History, count: int) -> list[Proposal]:
        first = history.next_id
        return [Proposal(self._draw(trial_id)) for trial_id in range(first, first + count)]

    def _draw(self, trial_id: int) -> dict[str, Any]:
        # The standard library's generator, seeded by (seed, trial id): a draw costs a fortieth of what making one of
        # numpy's does, and a study by random search never has to import numpy.
        rng, space = random.Random(f"{self._spec.seed or 0}/{trial_id}"), self._spec.space
        return space.draw(lambda: [rng.random() for _ in space.dimensions])
