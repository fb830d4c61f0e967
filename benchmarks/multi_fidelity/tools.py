"""The tools that are compared, by their names: searchers and stoppers of the engine, and other tools' own.

`auto` has no resource and trains to the end; `auto+resource` has one. `tpe+rank` is a searcher with a stopper; its
options may follow: `tpe+rank:keep=0.3,from_step=5`. `bohb:scheduler=hyperband` is a searcher with options.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.multi_fidelity.clock import Start, Tool
from benchmarks.multi_fidelity.curves import Curve, World
from benchmarks.search.algorithms import parse
from hpo_engine.study.trial import StopCause

RATIONING = ("asha", "hyperband", "bohb")
Make = Callable[[World, int, int, bool], Tool]
"""(task, seed, workers, whether promoted runs carry on) -> a tool that has not begun."""

MOST_TRIALS = 360


def make(word: str) -> Make:
    if word.startswith("optuna"):
        from benchmarks.multi_fidelity.of_optuna import make_optuna

        return make_optuna(word)
    if word.startswith("syne"):
        from benchmarks.multi_fidelity.of_syne_tune import make_syne_tune

        return make_syne_tune(word)
    return lambda world, seed, workers, carry: Engine(word, world, seed, workers, carry)


class Engine:
    """A study of the engine: its events, its searcher, its stoppers; no process."""

    def __init__(self, word: str, world: World, seed: int, workers: int, carry: bool) -> None:
        from hpo_engine import assembly
        from hpo_engine.study.events import EngineStarted, fold, opening
        from hpo_engine.study.objective import Objective
        from hpo_engine.study.spec import Budget, Named, Resource, Resources, StudySpec

        self._rows = not word.endswith("+blind")
        first, _, rest = word.removesuffix("+blind").partition("+")
        name, options = parse(first)
        rations = name in RATIONING or rest == "resource"
        stop = () if rest in ("", "resource") else (Named(*parse(rest)),)
        self._world = world
        self.live = bool(stop)
        resume = "always" if carry and not world.spans else "never"
        spec = StudySpec(
            "benchmark", world.space, (Objective("loss"),), ("true",), "/", algorithm=Named(name, options),
            budget=Budget(trials=MOST_TRIALS), resources=Resources(parallel=workers), seed=seed,
            resource=Resource("epochs", world.most, resume=resume) if rations else None, stop=stop,
        )  # fmt: skip
        self.history = fold([*opening(spec, 0.0), EngineStarted(0.0, 1)])
        self._searcher = assembly.searcher(self.history.spec)
        self._stopper = assembly.stopper(self.history.spec) if stop else None
        self._reported: dict[int, list[tuple[int, float]]] = {}

    def ask(self) -> Start | None:
        from hpo_engine.study.events import AttemptIntended, TrialCarriedOn, TrialProposed, apply

        got = self._searcher.ask(self.history, 1)
        if not got:
            return None
        p, at = got[0], self.history.last_at + 1
        if p.carry_on is None:
            number = self.history.next_id
            event: Any = TrialProposed(at, number, p.params, p.resource, p.note, repeats=p.repeats)
            trained = 0
        else:
            number, trained = p.carry_on, self.history.trials[p.carry_on].trained
            event = TrialCarriedOn(at, number, p.params, p.resource or 0, p.note)
        self.history = apply(self.history, event)
        attempt = len(self.history.trials[number].attempts) + 1
        self.history = apply(self.history, AttemptIntended(at, number, attempt, f"n{number}.{attempt}"))
        return Start(number, p.params, p.resource or self._world.most, trained)

    def report(self, token: int, step: int, loss: float) -> bool:
        self._seen(token, ((step, loss),))
        trial = self.history.trials[token]
        now = self.history.last_at
        assert self._stopper is not None
        why = self._stopper.diverged(trial, self.history, now) or self._stopper.end_trial(trial, self.history, now)
        return not why

    def ended(self, token: int, rows: Curve, stopped: bool) -> None:
        from hpo_engine.study.events import StopAsked, TrialEnded, apply

        if not self.live:
            self._seen(token, rows if self._rows else [(1, rows[-1][1])])
        at = self.history.last_at + 1
        if stopped:
            self.history = apply(self.history, StopAsked(at, token, "not promising", cause=StopCause.EARLY.value))
            event = TrialEnded(at, token, "pruned", None, "not promising", {"code": None, "signal": 15})
        else:
            event = TrialEnded(at, token, "completed", rows[-1][1], "", {"code": 0})
        self.history = apply(self.history, event)

    def _seen(self, token: int, rows: Curve) -> None:
        from hpo_engine.study.events import MetricsSeen, apply
        from hpo_engine.study.objective import Row

        at = self.history.last_at + 1
        self.history = apply(self.history, MetricsSeen(at, token, tuple(Row(s, {"loss": v}) for s, v in rows)))
