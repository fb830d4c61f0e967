"""Stopping rules, compared on what a study's trials have reported: what each would have saved, and what it would have
lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hpo_engine.reports.replay import Replay
from hpo_engine.study.history import History
from hpo_engine.study.objective import last_step
from hpo_engine.study.trial import TrialState
from hpo_engine.text.tables import counted, duration, number, safe_text, table


@dataclass(frozen=True)
class Backtest:
    """`before`: the log played again without rules. `replays`: under each set of rules, by its text. `idle`: why a set
    had nothing to work on, by its text."""

    before: Replay
    replays: dict[str, Replay]
    idle: dict[str, str]


@dataclass(frozen=True)
class Saving:
    """What a set of rules comes to against the same study without rules.

    Attributes:
        steps, train_s, wall_s: what would have been saved: steps of training, seconds of all runs together, seconds
            from the first start to the last end; `*_share`: of what it took without rules, in [0, 1] (None: that is 0).
        best: the best trial that would have been left, and its value; None: none. lost: whether it is another one, with
            a worse value, than without rules. With several objectives: the trials of the front that would be gone.
    """

    steps: float
    steps_share: float | None
    train_s: float
    train_share: float | None
    wall_s: float
    wall_share: float | None
    best: tuple[int, float] | None
    lost: tuple[int, ...]


def saving(before: Replay, after: Replay) -> Saving:
    """What the rules of `after` would have saved and lost."""
    whole = (before.steps, before.train_s, before.wall_s)
    saved = [max(0.0, a - b) for a, b in zip(whole, (after.steps, after.train_s, after.wall_s), strict=True)]
    shares = [part / total if total > 0 else None for part, total in zip(saved, whole, strict=True)]
    old, new = before.history, after.history
    best = None if new.best is None or new.best_value is None else (new.best.id, new.best_value)
    return Saving(saved[0], shares[0], saved[1], shares[1], saved[2], shares[2], best, _lost(old, new))


def _lost(old: History, new: History) -> tuple[int, ...]:
    """The winners that would be gone, unless one with the same losses is left."""
    left = {new.trials[i].losses for i in new.front_ids}
    return tuple(i for i in old.front_ids if old.trials[i].losses not in left)


def lines(name: str, found: Backtest, width: int | None) -> Iterator[str]:
    """For people: one row per set of rules, then which winner would have been lost to which rule."""
    before = found.before
    head = f"{safe_text(name)}: {counted(before.history.next_id, 'trial')}, {before.parallel} at a time"
    resource = before.history.spec.resource
    unit = "steps" if resource is None else safe_text(resource.name)
    yield f"{head}, without rules {number(before.steps)} {unit} in {duration(before.wall_s)}"
    winner = "FRONT" if before.history.spec.multi_objective else "BEST"
    heads = ["STOP", "ENDED", f"{unit.upper()} SAVED", "TIME SAVED", "BEST LEFT", winner]
    yield table(heads, [_cells(text, before, after) for text, after in found.replays.items()], width=width)
    for text, after in found.replays.items():
        yield from _losses(text, before, after)
        if after.over:
            end = f"the study would have ended after {duration(after.wall_s)}"
            yield f"{safe_text(text)}: {end}: {safe_text(after.over)}"
    for text, why in found.idle.items():
        yield f"{safe_text(text)}: {safe_text(why)}"
    yield from _limits(before)


def _cells(text: str, before: Replay, after: Replay) -> list[str]:
    made = saving(before, after)
    return [
        text,
        f"{len(after.ended)} of {before.history.next_id}",
        _part(number(made.steps), made.steps_share),
        _part(duration(made.wall_s), made.wall_share),
        _best(after.history, made),
        ("lost: " if made.lost else "kept: ") + _ids(made.lost or before.history.front_ids),
    ]


def as_object(name: str, found: Backtest) -> dict[str, Any]:
    """For `--json`."""
    before = found.before
    return {
        "study": name,
        "trials": before.history.next_id,
        "parallel": before.parallel,
        "steps": before.steps,
        "train_s": before.train_s,
        "wall_s": before.wall_s,
        "rules": [_rule_object(text, before, after, found.idle.get(text)) for text, after in found.replays.items()],
    }


def _rule_object(text: str, before: Replay, after: Replay, idle: str | None) -> dict[str, Any]:
    made = saving(before, after)
    best = None if made.best is None else {"trial": made.best[0], "value": made.best[1]}
    return {
        "stop": text,
        "ended": [{"trial": i, "reason": why, "step": _reached(after, i)} for i, why in sorted(after.ended.items())],
        "omitted": list(after.omitted),
        "over": after.over or None,
        "saved": {
            "steps": made.steps, "steps_share": made.steps_share, "train_s": made.train_s,
            "train_share": made.train_share, "wall_s": made.wall_s, "wall_share": made.wall_share,
        },
        "best": best,
        "lost": list(made.lost),
        "idle": idle,
    }  # fmt: skip


def _reached(after: Replay, trial_id: int) -> float | None:
    return last_step(after.history.trials[trial_id].rows, after.history.spec.objectives)


def _losses(text: str, before: Replay, after: Replay) -> Iterator[str]:
    for i in saving(before, after).lost:
        trial = before.history.trials[i]
        values = ", ".join(
            f"{safe_text(aim.metric)}={number(value)}"
            for aim, value in zip(before.history.spec.objectives, before.history.values(trial), strict=True)
        )
        if i in after.ended:
            step = _reached(after, i)
            at = "" if step is None else f" at step {number(step)}"
            how = f"ended{at}: {safe_text(after.ended[i])}"
        else:
            how = "it would not have run"
        yield f"{safe_text(text)} loses trial {i} ({values}): {how}"


def _limits(before: Replay) -> Iterator[str]:
    """What the log cannot tell."""
    cut = before.history.counts.get(TrialState.PRUNED, 0)
    if cut:
        were = "trial had" if cut == 1 else "trials had"
        yield f"{cut} {were} been ended early in the study itself: what they would have reached is not known"


def _best(history: History, made: Saving) -> str:
    if history.spec.multi_objective:
        return f"front of {len(history.front_ids)}"
    if made.best is None:
        return "none"
    return f"{number(made.best[1])} (trial {made.best[0]})"


def _ids(ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, ids[:4]))
    return f"{shown}, ..." if len(ids) > 4 else shown or "none"


def _part(text: str, share: float | None) -> str:
    return text if share is None else f"{text} ({share:.0%})"
