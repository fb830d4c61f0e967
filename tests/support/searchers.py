"""Searchers that misbehave on purpose, and studies that are only proposed."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hpo_engine.core.ports import Searcher
from hpo_engine.searchers import trial_rng
from hpo_engine.searchers.interface import Asks
from hpo_engine.space.searchspace import Choice, Int, SearchSpace
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal
from hpo_engine.testing.histories import opened, proposed

SMALL = SearchSpace((Int("a", 1, 5), Choice("b", ("x", "y", "z")), Int("c", 1, 2, when={"b": "x"})))  # 5 * (2 + 1 + 1)


class Stubborn(Searcher):
    """Proposes the middle of the space, always: the worst that a searcher can do."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        space = self.spec.space
        return [Proposal(space.decode([0.5] * len(space.dimensions)), note={"note": 1})] * count


class Rungs(Searcher):
    """New configurations with resource 1; every fourth trial runs trial 0 again with 3."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        out = []
        for i in range(history.next_id, history.next_id + count):
            if i % 4 == 3:
                out.append(Proposal(dict(history.trials[0].params), 3, note={"rung": 1}, repeats=0))
                break
            out.append(Proposal(self.spec.space.sample(trial_rng(self.spec, i)), 1, note={"rung": 0}))
        return out


def run(searcher: Asks, spec: StudySpec, most: int = 200, batch: int = 3) -> History:
    history = opened(spec)
    while history.next_id < most and (answer := searcher.ask(history, min(batch, most - history.next_id))):
        history = proposed(history, answer)
    return history


def texts(history: History) -> list[str]:
    return [json.dumps([dict(t.params), t.proposal.resource], sort_keys=True) for t in history.trials]
