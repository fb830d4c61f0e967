"""A study without its processes: which runs the searcher asks for, how much of the resource they train, and how long
they take side by side, if trials keep their order from one amount of the resource to the next."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hpo_engine.core.proposing import Proposer
from hpo_engine.core.recorder import Recorder
from hpo_engine.core.searcher_thread import InLine
from hpo_engine.searchers.interface import Searcher
from hpo_engine.study.events import AttemptIntended, Event, TrialEnded
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial, TrialState

_CHECKPOINT = "checkpoint"


class Nowhere:
    """A store that keeps nothing."""

    def append(self, events: Iterable[Event], history: History | None = None) -> None:
        pass

    def read(self, after: int = 0) -> list[Event]:
        return []

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Rehearsed:
    """What runs, from where the history stands.

    `runs`: how many, by their amount of the resource (None: the study has none); `carried_on`: how many of them go on
    from what their trial has left. `units`: of the resource that all of them train. `trials`: new configurations.
    `seconds`: from the first start to the last end. `whole`: the search came to its end, and not to the most runs that
    were looked at. `between_s`: the shortest and the longest time of several orders.
    """

    runs: Mapping[int | None, int]
    carried_on: Mapping[int | None, int]
    units: int
    trials: int
    seconds: float
    whole: bool
    between_s: tuple[float, float] | None = None


def in_the_middle(found: Sequence[Rehearsed]) -> Rehearsed:
    """The one with the median time, with the range of all."""
    ordered = sorted(found, key=lambda one: one.seconds)
    return replace(ordered[len(ordered) // 2], between_s=(ordered[0].seconds, ordered[-1].seconds))


def rehearse(
    history: History,
    searcher: Searcher,
    run_s: Callable[[int | None], float],
    *,
    leaves_checkpoints: bool,
    order: int = 0,
    most: int = 5_000,
) -> Rehearsed:
    """Plays the rest of a study; its open trials end well.

    Args:
        history: of a study that is open; nothing is added to it.
        run_s: seconds that a run takes which trains so many units of the resource (None: the study has none).
        leaves_checkpoints: whether trials leave what another attempt can go on from.
        order: a number for the order of the configurations from good to bad. How many asha promotes depends on it.
        most: runs that are looked at.

    Raises:
        SearcherError: the searcher failed.
    """
    recorder = Recorder(Nowhere(), history, ())
    proposer = Proposer(recorder, searcher, InLine)
    now, ended = history.last_at, 0
    began, running = now, list[tuple[float, int]]()
    runs, carried_on, units = Counter[int | None](), Counter[int | None](), 0
    try:
        while ended < most:
            room = max(0, recorder.history.spec.resources.parallel - len(running))
            begun = {trial_id for _, trial_id in running}
            waiting = [trial.id for trial in recorder.history.open if trial.id not in begun][:room]
            for trial_id in [*waiting, *proposer.propose(room - len(waiting), now)]:
                trial = recorder.history.trials[trial_id]
                if trial.state is TrialState.PENDING:
                    recorder.record(AttemptIntended(now, trial_id, len(trial.attempts) + 1, f"{trial_id}/{ended}"))
                    trial = recorder.history.trials[trial_id]
                amount, before = trial.proposal.resource, recorder.history.inherited(trial)
                trained = None if amount is None else max(0, amount - before)
                runs[amount] += 1
                carried_on[amount] += bool(before)
                units += trained or 0
                heapq.heappush(running, (now + run_s(trained), trial_id))
            if not running:
                break
            now, trial_id = heapq.heappop(running)
            recorder.record(_end(recorder.history, recorder.history.trials[trial_id], now, order, leaves_checkpoints))
            ended += 1
    finally:
        proposer.close()
    return Rehearsed(runs, +carried_on, units, recorder.history.begun - history.begun, now - began, whole=not running)


def side_by_side(amount: int | None, count: int, parallel: int, run_s: Callable[[int | None], float]) -> Rehearsed:
    """So many runs that are all alike."""
    rounds = -(-count // max(1, parallel))
    return Rehearsed({amount: count}, {}, (amount or 0) * count, count, rounds * run_s(amount), whole=True)


def _end(history: History, trial: Trial, now: float, order: int, leaves_checkpoints: bool) -> TrialEnded:
    """A trial ends with losses that its configuration decides, and that fall with the resource."""
    amount = trial.proposal.resource or 0
    values = tuple(
        aim.value(random.Random(f"{order}/{_first(history, trial)}/{aim.metric}").random() - amount / (1 + amount))
        for aim in history.spec.objectives
    )
    return TrialEnded(
        now, trial.id, TrialState.COMPLETED.value, values[0], exit={"code": 0},
        values=values if len(values) > 1 else None, checkpoint=_CHECKPOINT if leaves_checkpoints else None,
    )  # fmt: skip


def _first(history: History, trial: Trial) -> int:
    """The trial that was the first to have its configuration."""
    while trial.proposal.repeats is not None:
        trial = history.trials[trial.proposal.repeats]
    return trial.id
