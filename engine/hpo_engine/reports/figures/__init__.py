"""Figures of a study, by name. Each room draws one: a function from a History to a Plotly figure.

The table below names them without loading Plotly, so that a command line can list and check names at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import EngineError, NothingYet, SpecError, nearest

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hpo_engine.study.history import History

MISSING = "figures need the package plotly; run: pip install 'hpo-engine[report]'"


class NothingToShow(NothingYet):
    """A study has nothing that the figure could show; the text says why. A report shows the text in its place."""


@dataclass(frozen=True)
class Entry:
    """A figure: the function that draws it, as `module:function` below this package; its title; how to read it."""

    where: str
    title: str
    reading: str


FIGURES: Mapping[str, Entry] = {
    "history": Entry(
        "history:history",
        "Optimisation history",
        "Each dot is a trial; the line is the best value so far. While the line still improves in its last third, more "
        "trials are likely to find something better.",
    ),
    "curves": Entry(
        "curves:curves",
        "Learning curves",
        "What each trial reported while it trained; the best one is highlighted, and a triangle marks where one was "
        "ended early. If the best curves still improve at their end, longer training may pay.",
    ),
    "rungs": Entry(
        "rungs:rungs",
        "Rungs and promotions",
        "Each column holds the results with one amount of the resource; a line leads from a result to that of the same "
        "configuration with more. Lines that cross show that cheap results predict expensive ones badly.",
    ),
    "lineage": Entry(
        "lineage:lineage",
        "Population and schedule of the winner",
        "At the top each line is a trial of the population, dotted where one started from another one's files. The "
        "panels below show the schedule of parameters that led to the best trial.",
    ),
    "timeline": Entry(
        "timeline:timeline",
        "Workers over time",
        "Each bar is one run of a trial on the worker or device that it had; gaps are idle time. The green area "
        "is the share of workers that were busy.",
    ),
    "failures": Entry(
        "failures:failures",
        "Failures by kind",
        "How many runs failed for each kind of reason, and whether the trial ran again; the text names the commonest "
        "reason.",
    ),
    "importance": Entry(
        "importance:importance",
        "Importance of hyperparameters",
        "Left: what the best trials have in common (PED-ANOVA). Right: on what the value depends over the whole space "
        "(fANOVA). A parameter that is low in both need not be searched again.",
    ),
    "parallel": Entry(
        "parallel:parallel",
        "Parallel coordinates",
        "Each line is a trial, drawn in the colour of its value. Drag along an axis to select trials; where the best "
        "lines meet, the value of that parameter matters.",
    ),
    "slices": Entry(
        "slices:slices",
        "Slices",
        "The value over each parameter. Where the lower edge of the dots (for what is maximised: the upper) rises, the "
        "parameter is getting worse whatever the others are; dots crowded at an end suggest a wider range.",
    ),
    "contour": Entry(
        "contour:contour",
        "Contours",
        "What a model expects over the two parameters that matter most. It is a guess where there are no dots.",
    ),
    "rank": Entry(
        "rank:rank",
        "Ranks",
        "Trials over pairs of parameters, coloured by rank. Areas of one colour show which combinations are good.",
    ),
    "pareto": Entry(
        "pareto:pareto",
        "Pareto front",
        "Stars are trials that no other trial beats in every objective: one of them is the choice to make. Where the "
        "front bends, a little of one objective buys much of another.",
    ),
}
"""In the order in which a report shows them."""


def draw(history: History, name: str, *, dark: bool = False, titled: bool = True, **options: Any) -> go.Figure:
    """The figure of that name, in light or dark colours.

    Args:
        titled: whether the figure has its title in it.
        options: keyword options of the figure's function.

    Raises:
        SpecError: there is no figure of that name, or it has no such option. NothingToShow: the study has nothing for
        it. EngineError: Plotly is missing.
    """
    if name not in FIGURES:
        raise SpecError(f'there is no figure "{name}"{nearest(name, FIGURES)}')
    try:
        from hpo_engine.reports.figures import theme
    except ModuleNotFoundError as error:
        raise EngineError(MISSING) from error
    module, _, function = FIGURES[name].where.partition(":")
    room = getattr(import_module(f"{__name__}.{module}"), function)
    known = list(inspect.signature(room).parameters)[1:]
    if unknown := next((option for option in options if option not in known), None):
        raise SpecError(f'the figure "{name}" has no option "{unknown}"{nearest(unknown, known)}')
    figure = room(history, **options)
    if titled:
        theme.entitle(figure, FIGURES[name].title)
    return theme.dark(figure) if dark else figure
