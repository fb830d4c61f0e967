"""Searchers of our own protocol in a process of their own: the same answers as here, and no harm from a crash."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hpo_engine import assembly
from hpo_engine.errors import SearcherError, SpecError
from hpo_engine.isolation.native import IsolatedSearcher
from hpo_engine.searchers import Searcher
from hpo_engine.searchers.interface import Asks
from hpo_engine.study.spec import Isolation, Named, Resource, StudySpec
from hpo_engine.testing.histories import SPACES, as_text, opened, proposed, simulated, spec_of, with_fate
from hpo_engine.testing.searchers import SearcherLaws

CLIMB = """\
import os, sys
import numpy as np
from hpo_engine import Proposal, trial_rng

class Climb:
    def __init__(self, spec, *, spread: float = 0.1, manner: str = ""):
        if spread < 0:
            raise ValueError("spread must not be negative")
        self.spec, self.space, self.spread, self.manner = spec, spec.space, spread, manner

    def ask(self, history, count):
        print("asked for", count)
        if self.manner == "crash" and history.next_id:
            os.kill(os.getpid(), 11)
        if self.manner == "raise":
            raise RuntimeError("out of ideas")
        return [Proposal(self.point(history, i), note={"from": history.best_id}) for i in
                range(history.next_id, history.next_id + count)]

    def point(self, history, trial_id):
        rng = trial_rng(self.spec, trial_id)
        if history.best is None:
            return self.space.sample(rng)
        here = self.space.encode(history.best.params)
        here = np.where(np.isnan(here), rng.random(len(here)), here)
        return self.space.decode(here + self.spread * rng.normal(size=len(here)))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("climb")
    (made / "climb.py").write_text(CLIMB)
    return made


def climbing(folder: Path, limit_s: float = 60.0, **options: Any) -> StudySpec:
    algorithm = Named("climb:Climb", options)
    return spec_of(SPACES["mixed"], algorithm=algorithm, model_dir=str(folder), isolation=Isolation(limit_s))


def inner(searcher: Searcher) -> IsolatedSearcher:
    found = getattr(searcher, "inner", None)
    assert isinstance(found, IsolatedSearcher)
    return found


@pytest.mark.by_default("climb:Climb")
@pytest.mark.parametrize("name", ["climb:Climb", "tpe", "asha", "grid"])
def test_the_same_proposals_as_in_this_process(name: str, folder: Path) -> None:
    spec = climbing(folder)
    spec = replace(spec, algorithm=Named(name), resource=Resource("epochs", 9) if name == "asha" else None)
    here, there = assembly.searcher(replace(spec, isolation=None)), assembly.searcher(spec)
    assert replace(there.traits, card=here.traits.card, quick=here.traits.quick) == here.traits
    assert (there.about(), there.planned(), there.planned_runs()) == (
        here.about(),
        here.planned(),
        here.planned_runs(),
    )
    history = simulated(opened(spec), here, 12, np.random.default_rng(1))
    for past in (opened(spec), history, opened(spec)):
        assert as_text(there.ask(past, 3)) == as_text(here.ask(past, 3))
        assert there.over(past) == here.over(past)
    assert as_text(there.ask(history, 2)) == as_text(here.ask(history, 2))
    there.close()


@pytest.mark.slow
class TestLaws(SearcherLaws):
    trials, every = 8, 5
    here: ClassVar[Path]
    made: ClassVar[list[Asks]]

    @pytest.fixture(autouse=True, scope="class")
    def _folder(self, folder: Path) -> Any:
        TestLaws.here, TestLaws.made = folder, []
        yield
        for searcher in TestLaws.made:
            searcher.close()  # type: ignore[attr-defined]

    def specs(self) -> Mapping[str, StudySpec]:
        return {"mixed": climbing(self.here), "conditional": replace(climbing(self.here), space=SPACES["conditional"])}

    def make(self, spec: StudySpec) -> Asks:
        self.made.append(assembly.searcher(replace(spec, model_dir=str(self.here))))
        return self.made[-1]


def test_what_is_wrong_with_it_is_said_as_in_this_process(folder: Path) -> None:
    for options in ({"spread": -1}, {"sprea": 1}):
        problems = []
        for isolation in (None, Isolation()):
            with pytest.raises(SpecError) as caught:
                assembly.searcher(replace(climbing(folder, **options), isolation=isolation))
            problems.append([tuple(problem)[:2] for problem in caught.value.problems])
        assert problems[0] == problems[1]
    with pytest.raises(SpecError, match="no algorithm"):
        assembly.searcher(replace(climbing(folder), algorithm=Named("climbx")))


def test_a_crash_is_one_message(folder: Path) -> None:
    spec = climbing(folder, manner="crash")
    searcher = assembly.searcher(spec)
    history = proposed(opened(spec), searcher.ask(opened(spec), 1))
    with pytest.raises(SearcherError, match=r"^Climb failed at trial 1: .*killed by SIGSEGV; its last output: asked"):
        searcher.ask(history, 1)
    spec = climbing(folder, manner="raise")
    with pytest.raises(SearcherError, match=r"RuntimeError: out of ideas \(climb.py:16, in ask: raise"):
        assembly.searcher(spec).ask(opened(spec), 1)


def test_a_process_that_is_killed_is_started_again_once(folder: Path) -> None:
    spec = climbing(folder)
    searcher, history = assembly.searcher(spec), opened(spec)
    first = searcher.ask(history, 1)
    history = with_fate(proposed(history, first), 0, "completed", 1.0)
    expected = as_text(searcher.ask(history, 2))
    keeper = inner(searcher)._process._keeper
    os.kill(keeper.pid, signal.SIGKILL)
    keeper.wait()
    assert as_text(searcher.ask(history, 2)) == expected
    searcher.close()
