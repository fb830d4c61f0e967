"""`plot`: a study's figures in the terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from hpo_engine.cli.common import (
    find,
    json_option,
    judged,
    judging_options,
    read_history,
    root_option,
    server_option,
    study_argument,
    terminal_size,
)
from hpo_engine.reports.objects import dump

if TYPE_CHECKING:
    from hpo_engine.study.history import History
    from hpo_engine.text.chart import Style

NAMES = ("history", "curves", "importance", "slices", "pareto")
_WIDTH = 80  # columns where the output is not a terminal
_UNICODE = "⣿█░│└━•◆▿"


@click.command()
@study_argument
@click.argument("figure", type=click.Choice(NAMES), default="history")
@root_option
@server_option
@click.option("--width", type=click.IntRange(30, 400), help="Columns [those of the terminal].")
@click.option("--height", type=click.IntRange(4, 200), default=16, show_default=True, help="Lines between the axes.")
@click.option("--ascii", "plain", is_flag=True, help="ASCII characters only [if the terminal needs it].")
@judging_options
@json_option
def plot(
    study: str,
    figure: str,
    root: str | None,
    width: int | None,
    height: int,
    plain: bool,
    metric: str | None,
    goal: str | None,
    over: str | None,
    as_json: bool,
) -> None:
    """Draw a FIGURE of STUDY in the terminal.

    history: the value of every trial and the best so far. curves: those of the best trials.
    importance: how much each parameter mattered. slices: the value over the parameters that
    matter most. pareto: the front of several objectives.
    """
    from hpo_engine.reports import charts
    from hpo_engine.text.chart import Style, drawn

    history = judged(read_history(find(study, root)), metric, goal, over)
    columns = width or (terminal_size()[0] if sys.stdout.isatty() else _WIDTH)
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    style = Style(columns, height, plain or not _shows(_UNICODE), coloured)
    if figure == "importance":
        if as_json:
            click.echo(dump({"study": history.spec.name, "figure": figure, **charts.importance_object(history)}))
        else:
            _show_importance(history, style)
        return
    found = charts.CHARTS[figure](history)
    if as_json:
        objects = [charts.chart_object(chart) for chart in found]
        click.echo(dump({"study": history.spec.name, "figure": figure, "charts": objects}))
        return
    click.echo("\n\n".join("\n".join(drawn(chart, style)) for chart in found), color=coloured or None)


VERBS = (plot,)


def _show_importance(history: History, style: Style) -> None:
    from hpo_engine.reports import charts
    from hpo_engine.text.chart import bars
    from hpo_engine.text.tables import safe_text

    notes, found = charts.importance_bars(history)
    lines = [f"{history.spec.name}: {'; '.join(notes)}"]
    for one, effects in found:
        lines += ["", f"{one.method} for {safe_text(one.target)}: {one.how}", *bars(effects, style)]
        if one.explained is not None:
            lines.append(f"the forest explains {max(0.0, one.explained):.0%} of the variance of trials not seen")
        if any(bar.faint for bar in effects):
            lines.append(f"{'.' if style.plain else '░'}: no more than chance may show")
        lines += [f"caution: {safe_text(doubt)}" for doubt in one.doubts]
    click.echo("\n".join(lines), color=style.coloured or None)


def _shows(text: str) -> bool:
    """Whether standard output can encode it."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
