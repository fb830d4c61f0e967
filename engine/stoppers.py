"""Rules that end a study or a trial early, as functions of (history, now). No clock, no process, no file."""

from __future__ import annotations

from engine.study import History, Trial


class BudgetStopper:
    """The study's time limit. (A trial's own is kept by whoever runs it, so that it holds without an engine; the
    number of trials is kept by the loop, which proposes no more.)"""

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        return None

    def end_study(self, history: History, now: float) -> str | None:
        limit = history.spec.budget.time_s
        if limit is not None and history.elapsed_s(now) >= limit:
            return f"time limit of {limit:g} s reached"
        return None
