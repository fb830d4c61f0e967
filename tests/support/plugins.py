"""Search plugins of WMLA's form for tests: their files, searchers made of them, and studies that they search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

from hpo_engine.isolation.home import Home
from hpo_engine.isolation.plugin import PluginSearcher
from hpo_engine.space.params import Choice, Float, Int
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.history import History
from hpo_engine.study.spec import Budget, Isolation, Named, SearchPlugin, StudySpec
from hpo_engine.study.trial import Proposal
from hpo_engine.testing.histories import proposed, spec_of, with_fate

SPACE = SearchSpace((Float("rate", 0.0, 1.0), Int("size", 1, 9), Choice("kind", ("a", "b"))))
HEAD = """\
import json, os, random, sys, time
from plugins.core.base_plugin_opt import BasePluginOptimizer
from plugins.core.logger import logger


"""
WALK = """\
class PluginOptimizer(BasePluginOptimizer):
    # What it proposes depends on all that it was asked and told before.
    def __init__(self, name, hyper_parameters, **kwargs):
        super().__init__(name, hyper_parameters, **kwargs)
        self.draws, self.seen = random.Random(int(kwargs.get("start", "1"))), []

    def search(self, number_samples, last_exp_results):
        for result in last_exp_results or []:
            self.seen.append([result["id"], result["state"], result["score"]])
        self.draws.seed(json.dumps([self.draws.random(), self.seen]))
        return [
            {"rate": self.draws.random(), "size": self.draws.randint(1, 9), "kind": self.draws.choice("ab")}
            for _ in range(number_samples)
        ]
"""
STATE = """\

    def get_state(self):
        return {"draws": self.draws.getstate(), "seen": self.seen}

    def set_state(self, state):
        self.draws.setstate(state["draws"])
        self.seen = state["seen"]
"""


def written(folder: Path, text: str, head: str = HEAD) -> Path:
    """A plugin's folder with this text in its optimizer.py."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "optimizer.py").write_text(head + dedent(text))
    return folder


def searching(search: str) -> str:
    """A plugin whose method `search` has this body."""
    lines = "\n".join(f"        {line}" for line in dedent(search).strip().splitlines())
    return f"class PluginOptimizer(BasePluginOptimizer):\n    def search(self, number_samples, last):\n{lines}\n"


def spec_for(folder: Path, space: SearchSpace = SPACE, limit_s: float = 60.0, **options: Any) -> StudySpec:
    plugin = SearchPlugin(str(folder))
    algorithm, isolation = Named("mine", options), Isolation(limit_s, plugin)
    return spec_of(space, algorithm=algorithm, isolation=isolation, budget=Budget(trials=30))


def at(folder: Path) -> Home:
    """A home below the folder."""
    return Home(str(folder / "searcher.log"), str(folder / "searcher.state"))


def searched(
    searcher: PluginSearcher, history: History, trials: int, *, batch: int = 1, fates: Sequence[str] = ("completed",)
) -> History:
    """The history with `trials` more trials, proposed a batch at a time, each batch run to its end before the next."""
    last = history.next_id + trials
    while history.next_id < last:
        answer = list(searcher.ask(history, min(batch, last - history.next_id)))
        if not answer:
            break
        history = ended(proposed(history, answer), fates)
    return history


def ended(history: History, fates: Sequence[str] = ("completed",)) -> History:
    for trial in history.open:
        history = with_fate(history, trial.id, fates[trial.id % len(fates)], float(trial.id % 7))
    return history


def values(history_or: History | Sequence[Proposal]) -> list[dict[str, Any]]:
    if isinstance(history_or, History):
        return [dict(trial.params) for trial in history_or.trials]
    return [dict(proposal.params) for proposal in history_or]
