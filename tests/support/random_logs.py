"""Random event logs that could be real: every event follows from what came before it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    AttemptStarted,
    EngineGone,
    EngineStarted,
    Event,
    MetricsSeen,
    ProvenanceFound,
    SpecChanged,
    StopAsked,
    StudyClosed,
    StudyOpened,
    TrialCarriedOn,
    TrialEnded,
    TrialPaused,
    TrialProposed,
    TrialQueued,
    TrialReopened,
    TrialResumed,
)
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.provenance import Machine, Runtime
from hpo_engine.study.spec import Budget, StudySpec
from hpo_engine.study.trial import TrialState

_BAD_ENDS = [TrialState.FAILED, TrialState.TIMED_OUT, TrialState.STOPPED, TrialState.LOST]
VALUES = st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, 2.0, -3.5, 1e300])  # few, so that some are equal


def spec(**changes: Any) -> StudySpec:
    fixed: dict[str, Any] = {
        "name": "s",
        "space": SearchSpace((Float("x", 0.0, 1.0),)),
        "objectives": (Objective("loss"),),
        "command": ("run",),
        "model_dir": "/m",
        "budget": Budget(1000),
        "seed": 1,
    }
    return StudySpec(**{**fixed, **changes})


@st.composite
def logs(draw: st.DrawFn, max_size: int = 40) -> list[Event]:
    """Keeps books of its own, so that it is a witness to `events.apply` and not an echo of it."""
    goals = draw(st.lists(st.sampled_from(["minimize", "maximize"]), min_size=1, max_size=3))
    aims = tuple(Objective(name, goal) for name, goal in zip(("loss", "size", "time"), goals, strict=False))
    opened = spec(objectives=aims)
    events: list[Event] = [StudyOpened(0.0, opened.to_json(), "text")]
    waiting, queued = dict[int, float](), 0
    states: list[str] = []  # pending | running | good | bad
    attempts: list[int] = []
    amounts: list[int | None] = []
    for at in range(1, draw(st.integers(1, max_size))):
        by_state: dict[str, list[int]] = {}
        for trial, state in enumerate(states):
            by_state.setdefault(state, []).append(trial)
        moves = ["gone", "lead", "queue", "propose", "change", "ask"]
        moves += [m for s, ms in _MOVES.items() if s in by_state for m in ms]
        move = draw(st.sampled_from(moves))
        if move in ("gone", "lead", "queue", "propose", "change", "ask"):
            trial = len(states)
        else:
            trial = draw(st.sampled_from([n for s, ms in _MOVES.items() if move in ms for n in by_state.get(s, [])]))
        now = float(at)
        if move == "gone":
            events.append(EngineGone(now))
        elif move == "lead":
            if draw(st.booleans()):
                events.append(StudyClosed(now, draw(st.sampled_from(["finished", "failed", "stopped"])), "why"))
            events.append(EngineStarted(now, 100 + at, "host"))
            events.append(ProvenanceFound(now, runtime=Runtime("1", Machine(f"host {at}")).to_json()))
        elif move == "queue":
            earlier, first = draw(st.sampled_from([(None, None), (0, None), (None, True)]))
            events.append(TrialQueued(now, queued, {"x": at / 100}, earlier, first))
            waiting[queued] = at / 100
            queued += 1
        elif move == "propose":
            source = draw(st.sampled_from([None, *by_state.get("good", [])]))
            amounts.append(draw(st.sampled_from([None, 3])))
            taken = draw(st.sampled_from([None, *waiting]))
            waiting = {number: x for number, x in waiting.items() if number != taken}
            events.append(TrialProposed(now, trial, {"x": at / 100}, amounts[-1], None, source, queued=taken))
            states.append("pending")
            attempts.append(0)
        elif move == "change":
            high = draw(st.sampled_from([None, 0.1, 0.3, 1.0]))
            if high is None:
                events.append(SpecChanged(now, {draw(st.sampled_from(["trials", "parallel"])): at}))
            else:  # configurations outside the new space leave the queue
                changed = spec(objectives=aims, space=SearchSpace((Float("x", 0.0, high),)))
                events.append(SpecChanged(now, {}, changed.to_json(), "text", ("space.x",), "me", f"request-{at}"))
                waiting = {number: x for number, x in waiting.items() if x <= high}
        elif move == "ask":
            cause = draw(st.sampled_from(["user", "early", "interrupt"]))
            events.append(StopAsked(now, draw(st.sampled_from([None, *range(len(states))])), "why", None, cause))
        elif move == "intend":
            attempts[trial] += 1
            states[trial] = "running"
            events.append(AttemptIntended(now, trial, attempts[trial], f"nonce-{at}"))
        elif move == "start":
            events.append(AttemptStarted(now, trial, attempts[trial], 1000 + at, ("0",)))
        elif move == "report":
            rows = draw(
                st.lists(st.builds(Row, st.integers(0, 9), st.dictionaries(st.just("loss"), VALUES)), max_size=3)
            )
            events.append(MetricsSeen(now, trial, tuple(rows), draw(st.booleans())))
        elif move == "pause":
            if states[trial] == "pending":
                events.append(TrialPaused(now, trial, "why"))
            else:
                kept = draw(st.booleans())
                events.append(AttemptEnded(now, trial, attempts[trial], {"signal": 15}, "why", None, True, kept))
            states[trial] = "paused"
        elif move == "resume":
            states[trial] = "pending"
            events.append(TrialResumed(now, trial))
        elif move == "again":
            states[trial] = "pending"
            events.append(AttemptEnded(now, trial, attempts[trial], {"signal": 9}, "why"))
        elif move == "good":
            states[trial] = "good"
            values = tuple(draw(VALUES) for _ in aims)
            more = values if len(aims) > 1 else None
            events.append(TrialEnded(now, trial, "completed", values[0], "", {"code": 0}, "digest", more))
        elif move == "carry":
            states[trial] = "pending"
            amount = (amounts[trial] or 0) + draw(st.integers(1, 9))
            amounts[trial] = amount
            events.append(TrialCarriedOn(now, trial, {"x": at / 100}, amount))
        elif move in ("bad", "drop"):
            states[trial] = "bad"
            exit_ = {"code": 1} if move == "bad" else None
            events.append(TrialEnded(now, trial, draw(st.sampled_from(_BAD_ENDS)).value, None, "why", exit_))
        else:
            states[trial] = "pending"
            events.append(TrialReopened(now, trial))
    return events


_MOVES = {
    "pending": ["intend", "intend", "drop", "pause"],
    "running": ["start", "report", "again", "good", "good", "bad", "pause"],
    "paused": ["resume", "drop"],
    "bad": ["reopen"],
    "good": ["carry"],
}
