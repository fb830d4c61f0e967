"""A trial in words: why it was proposed, how it ranks, why it ended, what it would have needed.

A pure function of the history. Where the log does not know, that is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpo_engine.reports.objects import trial_object
from hpo_engine.reports.ranking import best_first
from hpo_engine.study.history import History
from hpo_engine.study.reached import reached
from hpo_engine.study.trial import FailureKind, StopCause, Trial, TrialState
from hpo_engine.text.quoting import listed
from hpo_engine.text.tables import assignments, counted, number

_ENDED = {
    StopCause.USER: "the user stopped it",
    StopCause.PAUSE: "the user paused it",
    StopCause.STUDY_OVER: "the study was over",
    StopCause.EARLY: "a rule ended it early",
    StopCause.DIVERGED: "its objective had become nan or infinite",
    StopCause.CONVERGED: "it did not improve any more, so what it had reported counts",
    StopCause.STALLED: "it neither reported nor computed any more",
    StopCause.TIME_LIMIT: "it was over its time limit",
    StopCause.INTERRUPT: "the engine was stopped",
    StopCause.OUTSIDE: "its supervisor got a signal that no engine had sent",
    StopCause.COPIED: "it runs in the folder that this one was copied from",
}
_NEEDED = {
    FailureKind.EXIT_CODE: "exit code 0, and a value of {objective}",
    FailureKind.SIGNAL: "to end by itself with exit code 0, and a value of {objective}",
    FailureKind.OUT_OF_MEMORY: "less memory, or a machine with more",
    FailureKind.NO_RESULT: "a value of {objective} where the study looks for it",
    FailureKind.BAD_RESULT: "a value of {objective} that is a finite number",
    FailureKind.TIME_LIMIT: "more time than {limit}, or on_time_limit: keep",
    FailureKind.STALLED: "to report or compute something",
    FailureKind.LAUNCH: "a program and a folder that can be started",
}


@dataclass(frozen=True)
class Explanation:
    """In words; "" for what does not apply. `kind` of the proposal: searcher, user, warm_start, start_from, repeats or
    carry_on. `based_on`: the trials that it has files or values from."""

    kind: str
    proposed: str
    rank: str
    ended: str
    needed: str
    based_on: tuple[int, ...] = ()
    place: int | None = None
    among: int | None = None


def explained(history: History, trial: Trial, why: str = "", before: History | None = None) -> Explanation:
    """
    Args:
        why: what its searcher says of it, see `Searcher.why`. before: the history when it was proposed, if known.
    """
    kind, proposed, based_on = _proposed(history, trial, why, before)
    place, among, rank = _rank(history, trial)
    return Explanation(
        kind, proposed, rank, _ended(history, trial), _needed(history, trial), based_on, place, among
    )  # fmt: skip


def lines(history: History, trial: Trial, found: Explanation) -> list[str]:
    """For people."""
    params = assignments(history.config(trial))
    out = [f"trial {trial.id} of {history.spec.name}: {trial.state.value}", f"  {params}" if params else ""]
    parts = ("proposed", found.proposed), ("ranks", found.rank), ("ended", found.ended), ("needed", found.needed)
    return [*filter(None, out), *(f"{name + ':':<10}{text}" for name, text in parts if text)]


def explanation_object(history: History, trial: Trial, found: Explanation) -> dict[str, Any]:
    return {
        "study": history.spec.name,
        "trial": trial.id,
        "state": trial.state.value,
        "value": trial_object(history, trial)["value"],
        "params": history.config(trial),
        "proposed": {"kind": found.kind, "why": found.proposed, "based_on": list(found.based_on)},
        "rank": {"place": found.place, "among": found.among, "why": found.rank or None},
        "ended": found.ended or None,
        "needed": found.needed or None,
    }


# -- why it was proposed -----------------------------------------------------------------------------------------------


def _proposed(history: History, trial: Trial, why: str, before: History | None) -> tuple[str, str, tuple[int, ...]]:
    proposal, spec = trial.proposal, history.spec
    kind, text, based_on = _first(history, trial, why, before)
    if trial.results and proposal.carry_on is not None:
        name = spec.resource.name if spec.resource is not None else "of the resource"
        amounts = [f"{result.resource}" for result in trial.results]
        text += f"; then it was trained further, to {proposal.resource} {name} (it has results at {listed(amounts, 5)})"
        kind = "carry_on"
    return kind, text, based_on


def _first(history: History, trial: Trial, why: str, before: History | None) -> tuple[str, str, tuple[int, ...]]:
    """Why the trial was begun."""
    proposal, spec, algorithm = trial.proposal, history.spec, history.spec.algorithm.name
    if proposal.queued is not None and proposal.queued.study is not None:
        earlier = spec.warm_start[proposal.queued.study] if proposal.queued.study < len(spec.warm_start) else "earlier"
        open_names = [name for name in proposal.params if name not in proposal.queued.params]
        filled = f"; {algorithm} filled in {listed(open_names, 5)}" if open_names else ""
        return "warm_start", f"a good configuration of the earlier study {earlier}{filled}", ()
    if proposal.queued is not None:
        open_names = [name for name in proposal.params if name not in proposal.queued.params]
        filled = f"; {algorithm} filled in {listed(open_names, 5)}" if open_names else ""
        asked = ", in front of the others" if proposal.queued.first else ""
        return "user", f"the user asked for it (points or enqueue){asked}{filled}", ()
    if proposal.start_from is not None:
        source = history.trials[proposal.start_from]
        changed = {n: v for n, v in proposal.params.items() if source.params.get(n) != v}
        values = f"with {assignments(changed)}" if changed else "with the same values"
        place = f"; it takes the place of trial {proposal.replaces}" if proposal.replaces is not None else ""
        return (
            "start_from",
            f"it starts from the files of trial {source.id}, {values}{place} ({algorithm})",
            (source.id,),
        )
    if proposal.repeats is not None:
        text = (
            f"trial {proposal.repeats} was good enough to be promoted: its configuration runs again from the beginning"
        )
        amount = f", with {proposal.resource} {spec.resource.name}" if spec.resource is not None else ""
        return "repeats", f"{text}{amount} ({algorithm})", (proposal.repeats,)
    if before is None:  # the searcher was not asked
        return "searcher", f"{algorithm} proposed it", ()
    said = why or "the log does not say why"
    best, known = before.best, ""
    if before.next_id:
        known = f"; {counted(sum(bool(t.results) for t in before.trials), 'result')} known then"
        known += f", the best was trial {best.id}" if best is not None else ""
    return "searcher", f"{algorithm}: {said}{known}", ()


# -- how it ranks ------------------------------------------------------------------------------------------------------


def _rank(history: History, trial: Trial) -> tuple[int | None, int | None, str]:
    """(place from 1, among how many, in words)."""
    spec = history.spec
    if not trial.results:
        return None, None, _without_result(history, trial)
    if spec.multi_objective:
        return _rank_of_several(history, trial)
    aim, order = spec.objectives[0], best_first(history)
    alike = [t for t in order if t.trained == order[0].trained]
    value = f"{aim.metric} {number(aim.value(trial.losses[0]))}"
    if trial.trained < order[0].trained:
        name = spec.resource.name if spec.resource is not None else ""
        text = f"{value} after {trial.trained} {name}, which does not compare with results after {order[0].trained}"
        return None, None, text
    place = 1 + sum(t.losses[0] < trial.losses[0] for t in alike)
    same = sum(t.losses[0] == trial.losses[0] for t in alike) - 1
    tie = f", as {'is' if same == 1 else 'are'} {counted(same, 'other')}" if same else ""
    best = alike[0]
    behind = "" if place == 1 else f"; the best is trial {best.id} with {number(aim.value(best.losses[0]))}"
    return place, len(alike), f"{value} is number {place} of {len(alike)}{tie}{behind}"


def _rank_of_several(history: History, trial: Trial) -> tuple[int | None, int | None, str]:
    values = ", ".join(
        f"{aim.metric} {number(v)}" for aim, v in zip(history.spec.objectives, history.values(trial), strict=False)
    )
    if trial.id in history.front_ids:
        others = len(history.front_ids) - 1
        return (
            None,
            None,
            f"{values}: no trial is better in everything; {counted(others, 'other')} on the front with it",
        )
    better = next((n for losses, n in history.front if _dominates(losses, trial.losses)), None)
    by = "" if better is None else f"; trial {better} is at least as good in everything"
    return None, None, f"{values}: not on the front{by}"


def _dominates(left: tuple[float, ...], right: tuple[float, ...]) -> bool:
    return left != right and all(a <= b for a, b in zip(left, right, strict=False))


def _without_result(history: History, trial: Trial) -> str:
    aim = history.spec.objectives[0]
    if (found := reached(trial, history.spec.objectives)) is not None:
        value, step = number(aim.value(found.losses[0])), number(found.step)
        return f"has no result; it had reached {aim.metric} {value} at step {step}"
    if not trial.state.ended and (best := aim.pick(trial.rows)) is not None:
        step = number(trial.rows[-1].step)
        return f"has no result yet; the best so far is {aim.metric} {number(best)}, at step {step}"
    return "has no result" if trial.state.ended else "has no result yet"


# -- why it ended, and what it would have needed -----------------------------------------------------------------------


def _ended(history: History, trial: Trial) -> str:
    if not trial.state.ended and trial.state is not TrialState.PAUSED:
        return ""
    cause = trial.stop.cause if trial.stop is not None else None
    if cause is None and trial.attempt is not None and trial.attempt.exit is not None:
        cause = trial.attempt.exit.stop_cause
    said = _ENDED.get(cause, "") if cause is not None else ""
    reason = trial.reason if trial.reason and trial.reason != said else ""
    if not said and not reason:
        return "by itself" if trial.state is TrialState.COMPLETED else "the log does not say why"
    tries = f" (attempt {len(trial.attempts)})" if len(trial.attempts) > 1 else ""
    return ": ".join(filter(None, (said, reason))) + tries


def _needed(history: History, trial: Trial) -> str:
    """To be a success, or the best; "" if it is that."""
    spec, aim = history.spec, history.spec.objectives[0]
    if trial.failure is not None and trial.state is not TrialState.COMPLETED:
        limit = "its time limit" if spec.trial.time_limit_s is None else f"{number(spec.trial.time_limit_s)} s"
        return _NEEDED.get(trial.failure, "").format(objective=aim.metric, limit=limit)
    if trial.state is TrialState.PRUNED:
        return "a better value at the time; the reason above has the bound" if trial.reason else ""
    best = history.best
    if spec.multi_objective or not trial.results or best is None or best.id == trial.id:
        return ""
    way = "below" if aim.goal == "minimize" else "above"
    if trial.trained < best.trained and spec.resource is not None:
        return f"to be promoted, and then {aim.metric} {way} {number(aim.value(best.losses[0]))} to lead"
    return f"{aim.metric} {way} {number(aim.value(best.losses[0]))} to lead"
