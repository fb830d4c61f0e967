"""An engine with fakes for its ports and a clock that is moved by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo_engine.contract import layout
from hpo_engine.contract.copies import Copies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.snapshot import Views
from hpo_engine.contract.workspace import LocalWorkspace
from hpo_engine.core.commands import Remake, no_parts
from hpo_engine.core.loop import Engine
from hpo_engine.core.ports import Searcher
from hpo_engine.core.searcher_thread import InLine
from hpo_engine.core.surroundings import Look
from hpo_engine.executors.local.bound import Binder, BoundLaunch
from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.stoppers import BudgetStopper
from hpo_engine.study.events import fold, opening
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Resources, StudySpec
from hpo_engine.study.trial import Exit, Proposal
from tests.support.fakes import FakeExecutor, MemoryStore
from tests.support.reports import OWN


class Counting(Searcher):
    """Proposes x = id / 100."""

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        return [Proposal({"x": i / 100}) for i in range(history.next_id, min(self.limit, history.next_id + count))]


class Bench:
    def __init__(self, root: Path) -> None:
        self.paths = StudyPaths(str(root / "study"))
        os.makedirs(self.paths.root)
        layout.lay_out_study(self.paths, "me")
        self.store = MemoryStore()
        self.now = 1000.0
        self.behave: Callable[[BoundLaunch], Exit | None] = self.good
        self.searcher: Any = Counting()
        self.stopper: Any = BudgetStopper()
        self.trackers: list[Any] = []
        self.asker: Any = None
        self.copies: Copies | None = None
        self.candidates = OWN
        self.remake: Remake = no_parts
        self.look: Look | None = None

    def open(self, **changes: Any) -> Engine:
        spec = StudySpec(
            name="s",
            space=SearchSpace((Float("x", 0.0, 10.0),)),
            objectives=(Objective("loss"),),
            command=("run",),
            model_dir=str(self.paths.model),
            seed=1,
        )
        parts: dict[str, Any] = {"budget": Budget(3), "resources": Resources(2), **changes}
        spec = StudySpec(**{**{f: getattr(spec, f) for f in spec.__dataclass_fields__}, **parts})
        self.store.append(opening(spec, self.now))
        return self.lead()

    def lead(self, *events: Any) -> Engine:
        if events:
            self.store.append(events)
        self.executor = self.new_executor(lambda launch: self.behave(launch))
        return self.engine()

    def new_executor(self, behave: Callable[[BoundLaunch], Exit | None] | None = None) -> FakeExecutor:
        spec = fold(self.store.read()).spec
        return FakeExecutor(spec.resources, behave=behave, bind=Binder(spec, self.paths, {"PATH": "/bin"}))

    def engine(self) -> Engine:
        history = fold(self.store.read())
        engine = Engine(
            LocalWorkspace(self.paths, history.spec, Views(None), "me", self.candidates, self.copies or Copies(patience_s=60.0)), self.paths.inbox, self.store, history,
            self.searcher, self.stopper, self.executor, self.trackers,
            asker=InLine if self.asker is None else lambda ask: self.asker, remake=lambda spec: self.remake(spec),
            look=self.look,
        )  # fmt: skip
        engine.resume(self.now)
        return engine

    def run(self, engine: Engine, turns: int = 200) -> History:
        for _ in range(turns):
            self.now += 1.0
            if not engine.step(self.now):
                return self.checked(engine)
        raise AssertionError("the study does not end")

    def checked(self, engine: Engine) -> History:
        """The history, which must be what its log says."""
        told = fold(self.store.read())
        # By their text, in which NaN equals NaN.
        assert [repr(t) for t in told.trials] == [repr(t) for t in engine.history.trials]
        assert replace(told, trials=engine.history.trials) == engine.history
        return engine.history

    def good(self, launch: BoundLaunch) -> Exit | None:
        self.write(launch, [{"step": 1, "loss": 1.0 + launch.trial_id}, {"step": 2, "loss": 0.5 + launch.trial_id}])
        return Exit(code=0)

    def write(self, launch: BoundLaunch, rows: Any) -> None:
        Path(launch.paths.result_file).write_text(json.dumps(rows))


def states(history: History) -> list[str]:
    return [t.state.value for t in history.trials]
