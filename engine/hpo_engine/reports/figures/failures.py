"""Why attempts failed: how often for each kind of failure, and whether the trial ran again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import plotly.graph_objects as go

from hpo_engine.reports.figures import NothingToShow, theme
from hpo_engine.reports.figures.words import words
from hpo_engine.study.history import History
from hpo_engine.study.trial import BAD, Attempt, FailureKind, Trial
from hpo_engine.text.tables import counted

KINDS = {
    FailureKind.EXIT_CODE: "exit code other than 0",
    FailureKind.SIGNAL: "killed by a signal",
    FailureKind.OUT_OF_MEMORY: "out of memory",
    FailureKind.NO_RESULT: "no value of the objective",
    FailureKind.BAD_RESULT: "value not a finite number",
    FailureKind.TIME_LIMIT: "over its time limit",
    FailureKind.STALLED: "stalled",
    FailureKind.LAUNCH: "could not be launched",
    FailureKind.OUTSIDE: "stopped from outside",
    FailureKind.LOST: "lost: nobody saw it end",
    FailureKind.MACHINE: "fault of the machine",
}
_ROW = 54  # pixels for a kind
UNKNOWN = "for an unknown reason"  # logs of older versions do not say


def failed(history: History) -> Iterator[tuple[Trial, Attempt | None, str, str]]:
    """Every attempt that failed: its trial, itself (None: there was none), the kind in words, and the reason."""
    for trial in history.trials:
        for attempt in trial.attempts:
            last = attempt is trial.attempt
            if attempt.failure is not None:
                reason = trial.reason if last and trial.reason else str(attempt.exit or "")
                yield trial, attempt, KINDS[attempt.failure], reason
            elif last and trial.state in BAD:
                yield trial, attempt, UNKNOWN if trial.failure is None else KINDS[trial.failure], trial.reason
        if not trial.attempts and trial.state in BAD:
            yield trial, None, UNKNOWN if trial.failure is None else KINDS[trial.failure], trial.reason


def failures(history: History) -> go.Figure:
    """A bar for each kind of failure with its most frequent reason, the commonest kind first."""
    found = list(failed(history))
    if not found:
        raise NothingToShow("no attempt has failed" if history.trials else "no trial has been proposed yet")
    counts = Counter(kind for _, _, kind, _ in found)
    kinds = [kind for kind, _ in reversed(counts.most_common())]
    for_good = Counter(kind for trial, attempt, kind, _ in found if attempt is trial.attempt and trial.state in BAD)
    again = [counts[kind] - for_good[kind] for kind in kinds]
    figure = theme.new(height=88 + _ROW * len(kinds), barmode="stack", bargap=0.65)
    for name, numbers, colour in (
        ("the trial failed", [for_good[kind] for kind in kinds], theme.RED),
        ("the trial ran again", again, theme.ORANGE),
    ):
        if any(numbers):
            figure.add_trace(
                go.Bar(
                    orientation="h",
                    y=kinds,
                    x=numbers,
                    name=name,
                    marker={"color": colour},
                    hovertemplate="%{y}: %{x}<extra></extra>",
                )  # fmt: skip
            )
    for kind in kinds:
        common = Counter(_bare(trial, reason) for trial, _, one, reason in found if one == kind).most_common(1)[0][0]
        figure.add_annotation(
            x=0, xanchor="left", y=kind, yanchor="bottom", yshift=0.18 * _ROW, showarrow=False, align="left",
            text=f"{counted(counts[kind], 'time')}" + (f"; mostly: {words(common, 90)}" if common else ""),
        )  # fmt: skip
    most = max(counts.values())
    figure.update_layout(
        xaxis={"title": {"text": "Attempts"}, "dtick": 1 if most < 10 else None, "rangemode": "tozero"},
        yaxis={"showgrid": False, "ticks": "", "type": "category"},
    )
    return figure


def _bare(trial: Trial, reason: str) -> str:
    """The reason without the trial's number, so that equal ones are equal."""
    return reason.removeprefix(f"trial {trial.id}: ")
