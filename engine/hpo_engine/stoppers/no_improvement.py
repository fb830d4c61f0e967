"""Ending what does not get better any more: a trial by its own curve, or the study by its trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers.ends import Ends
from hpo_engine.stoppers.live import no_live_rows
from hpo_engine.stoppers.per_objective import per_objective
from hpo_engine.stoppers.rule import Rule, TrialEnd
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row, has_one
from hpo_engine.study.spec import NO_IMPROVEMENT, StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Result, StopCause, Trial, TrialState

Losses = tuple[float, ...]


class NoImprovementStopper(Rule):
    """Ends a trial whose last `patience` reports did not improve on those before, or the study when that holds for its
    last `patience` trials.

    A report improves if it is better than all improvements before it by more than `min_delta`. With several objectives
    none of these may be as good in all of them, give or take `min_delta`. Values that are not finite never improve.

    - Scope trial: reports are the rows with an objective, from the one on by which all have been reported. What the
      trial has reported counts as if it had run to its end. A trial at a step where completed trials end is left alone.
    - Scope study: counted are results and pruned trials, in the order in which they ended. Those with less of the
      resource than the best have nothing to say about it and are passed over; the first with more begins anew.
    """

    card = Card(
        summary="ends a trial, or the study, that has not improved for a while; what a trial has reported counts",
        suits="scripts without early stopping of their own; studies whose number of trials is not known",
        options={
            "patience": Option("reports of a trial, or trials of the study, without improvement", int, 10, least=1),
            "min_delta": Option(
                "what is better by no more than this is no improvement; with several objectives a list in their order",
                float, 0.0, least=0, many=True,
            ),
            "scope": Option("what is looked at, and ends", str, "trial", words=("trial", "study")),
        },
    )  # fmt: skip

    def __init__(
        self, spec: StudySpec, *, patience: int = 10, min_delta: float | Sequence[float] = 0.0, scope: str = "trial"
    ) -> None:
        same = min_delta == 0.0
        self._deltas = (0.0,) * len(spec.objectives) if same else per_objective(min_delta, spec, "min_delta")
        self._patience, self._scope = patience, scope
        self._ends = Ends()
        self._curves: dict[int, tuple[Sequence[Row], tuple[int, float]]] = {}  # by running trial: rows, what is in them
        self._sequence = _Sequence(self._deltas)

    def end_trial(self, trial: Trial, history: History, now: float) -> TrialEnd | None:
        if self._scope != "trial":
            return None
        rows, stale = self._curves.get(trial.id, ((), (0, 0.0)))
        if rows is not trial.rows:
            stale = _stale(trial.rows, history.spec.objectives, self._deltas)
            self._curves[trial.id] = trial.rows, stale
        reports, step = stale
        if reports < self._patience or self._ends.reached(trial, history):
            return None
        return TrialEnd(f"no improvement in {reports} reports, since step {step:g}", StopCause.CONVERGED)

    def end_study(self, history: History, now: float) -> str | None:
        if self._scope != "study":
            return None
        since, best = self._sequence.read(history)
        if best is None or since < self._patience:
            return None
        return f"no improvement: none of the last {since} trials was better than trial {best}"

    def idle(self, history: History, now: float) -> str | None:
        if self._scope == "study":
            return None
        return no_live_rows(history, NO_IMPROVEMENT, "cannot see a trial's progress")


class Improvements:
    """The improvements so far; `takes` says whether losses are another one, which then belongs to them."""

    def __init__(self, deltas: Losses) -> None:
        self._deltas, self._found = deltas, list[Losses]()

    def takes(self, losses: Losses) -> bool:
        if not all(map(math.isfinite, losses)) or any(self._as_good(best, losses) for best in self._found):
            return False
        if len(losses) == 1:
            self._found.clear()  # it is better than all of them
        self._found.append(losses)
        return True

    def _as_good(self, best: Losses, losses: Losses) -> bool:
        return all(a <= b + delta for a, b, delta in zip(best, losses, self._deltas, strict=True))


def _stale(rows: Sequence[Row], aims: Sequence[Objective], deltas: Losses) -> tuple[int, float]:
    """How many reports there are since the last improvement, and the step of that one (the first report's if none is
    finite)."""
    found, latest = Improvements(deltas), dict[str, float]()
    reports, step = 0, math.nan
    for row in rows:
        if not has_one(row, aims):
            continue
        latest.update(row.values)
        if any(aim.metric not in latest for aim in aims):
            continue
        reports += 1
        if found.takes(tuple(aim.loss(latest[aim.metric]) for aim in aims)):
            reports, step = 0, row.step
        elif math.isnan(step):
            step = row.step
    return reports, step


class _Try(NamedTuple):
    """A result, or a trial that was pruned (`losses` are None); in the order in which they ended."""

    at: float
    trial: int
    attempt: int
    resource: int
    losses: Losses | None


@dataclass
class _Sequence:
    """The tries of a study: how many there are since the last improvement, and whose that was."""

    deltas: Losses
    _table: TrialTable = field(default_factory=TrialTable)
    _tries: dict[int, tuple[_Try, ...]] = field(default_factory=dict)  # by trial

    def __post_init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._found, self._most, self._since = Improvements(self.deltas), -1, 0
        self._best: int | None = None
        self._latest: _Try | None = None

    def read(self, history: History) -> tuple[int, int | None]:
        if history.trials is not self._table:
            self._look(history.trials)
        return self._since, self._best

    def _look(self, trials: TrialTable) -> None:
        if len(trials) < len(self._table):
            self._table = TrialTable()
            self._tries.clear()
            self._restart()
        news: list[_Try] = []
        anew = False
        for trial in trials.changed(self._table):
            before, tries = self._tries.get(trial.id, ()), _tries(trial)
            self._tries[trial.id] = tries
            anew = anew or tries[: len(before)] != before
            news += tries[len(before) :]
        self._table = trials
        news.sort(key=_order)
        if anew or (news and self._latest is not None and _order(news[0]) < _order(self._latest)):
            self._restart()
            news = sorted((each for tries in self._tries.values() for each in tries), key=_order)
        for each in news:
            self._take(each)

    def _take(self, each: _Try) -> None:
        self._latest = each
        if each.losses is not None and each.resource > self._most:
            self._most, self._found = each.resource, Improvements(self.deltas)
        if each.resource != self._most:
            return
        if each.losses is not None and self._found.takes(each.losses):
            self._since, self._best = 0, each.trial
        else:
            self._since += 1


def _order(each: _Try) -> tuple[float, int, int]:
    return each.at, each.trial, each.attempt


def _tries(trial: Trial) -> tuple[_Try, ...]:
    out = [
        _Try(_ended_at(trial, result), trial.id, result.attempt, result.resource or 0, result.losses)
        for result in trial.results
    ]
    if trial.state is TrialState.PRUNED:
        out.append(_Try(trial.ended_at or 0.0, trial.id, len(trial.attempts), trial.proposal.resource or 0, None))
    return tuple(out)


def _ended_at(trial: Trial, result: Result) -> float:
    attempt = trial.attempt_of(result)
    return (trial.ended_at if attempt is None else attempt.ended_at) or 0.0
