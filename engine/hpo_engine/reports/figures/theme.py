"""How figures look: one palette for light and dark, fonts, how names and numbers are written.

Figures are drawn in the light colours; `dark` replaces each of them by its counterpart, and so does the script of a
report's page when its reader switches. So a figure must take all its colours from here. The palette is that of Okabe
and Ito (Color Universal Design, 2008), which people with any colour vision can tell apart, adjusted to have a contrast
of 3:1 to the background.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import plotly.graph_objects as go

from hpo_engine.reports.figures.words import escaped
from hpo_engine.reports.ranges import visible as visible
from hpo_engine.reports.ranges import wants_log as wants_log
from hpo_engine.study.trial import TrialState

PAPER, INK, MUTED, GRID, FAINT = "#ffffff", "#1f2933", "#5f6b7a", "#e3e7ec", "#c3cad3"
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BROWN = (
    "#0069a8", "#c77800", "#00805e", "#c0392b", "#9c5583", "#2f8fc4", "#7a5a2b",
)  # fmt: skip
DARK_OF = {
    PAPER: "#14181d", INK: "#e4e9ef", MUTED: "#9aa7b5", GRID: "#2a323b", FAINT: "#4a5561", BLUE: "#58a9e6",
    ORANGE: "#f2ab3c", GREEN: "#35c39c", RED: "#f47c6c", PURPLE: "#d896c4", SKY: "#8fd0f5", BROWN: "#c9a46a",
}  # fmt: skip
"""Each colour of light figures and its counterpart in dark ones."""

BEST = ORANGE
"""The colour of the best trial, and of the best value so far."""
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, BROWN, MUTED)
"""Colours of things that differ in kind, in the order in which to use them."""
SEQUENTIAL = "Cividis"
"""The colour scale of amounts, from low to high, on either background."""
STATES = {
    TrialState.COMPLETED: (BLUE, "circle"),
    TrialState.PRUNED: (PURPLE, "triangle-down-open"),
    TrialState.RUNNING: (GREEN, "circle-open"),
    TrialState.STOPPED: (MUTED, "square-open"),
    TrialState.FAILED: (RED, "x"),
    TrialState.TIMED_OUT: (BROWN, "hourglass"),
    TrialState.LOST: (RED, "diamond-open"),
    TrialState.PAUSED: (SKY, "square"),
    TrialState.PENDING: (FAINT, "circle-open"),
}
"""The colour and the marker of each state, in the order of legends."""

FONT = 'system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif'
HEIGHT = 420
"""Pixels of a figure with one panel."""
_TITLE = 40  # pixels of its title


def new(**layout: Any) -> go.Figure:
    """An empty figure in the light theme."""
    return go.Figure(layout={"template": template(), "height": HEIGHT, **layout})


def entitle(figure: go.Figure, title: str) -> None:
    """Puts the title above the figure."""
    figure.update_layout(
        title={"text": escaped(title), "x": 0, "xanchor": "left", "y": 1, "yanchor": "top", "pad": {"l": 16, "t": 16}},
        margin={"t": (figure.layout.margin.t or 52) + _TITLE},
        height=(figure.layout.height or HEIGHT) + _TITLE,
    )


def menu(figure: go.Figure, choices: Sequence[tuple[str, Sequence[bool], Mapping[str, Any]]]) -> None:
    """A menu below the figure that switches between groups of its traces, the first choice being the present one.

    Args:
        choices: the word for it, which traces it shows, and what it changes in the layout.
    """
    now = [trace.visible is not False for trace in figure.data]
    active = next((k for k, (_, visible, _) in enumerate(choices) if list(visible) == now), 0)
    buttons = [
        {"label": word, "method": "update", "args": [{"visible": list(visible)}, dict(layout)]}
        for word, visible, layout in choices
    ]
    figure.update_layout(
        updatemenus=[{
            "buttons": buttons, "active": active, "direction": "up", "x": 1, "xanchor": "right", "y": 0,
            "yanchor": "top", "pad": {"t": 34}, "showactive": True,
        }]
    )  # fmt: skip


def dark(figure: go.Figure) -> go.Figure:
    """The same figure in dark colours."""
    return go.Figure(_swapped(figure.to_dict()), skip_invalid=False)


def rgba(colour: str, opacity: float) -> str:
    """One of the colours above, translucent."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r}, {g}, {b}, {opacity:g})"


# -- the template ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def template() -> go.layout.Template:
    """The layout that all figures have in common, in light colours."""
    axis = {
        "gridcolor": GRID, "linecolor": FAINT, "zeroline": False, "showline": True, "ticks": "outside", "ticklen": 4,
        "tickcolor": FAINT, "tickfont": {"size": 12, "color": MUTED}, "title": {"standoff": 8, "font": {"size": 13}},
        "automargin": True, "exponentformat": "power", "minexponent": 4,
    }  # fmt: skip
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": INK},
            "title": {"font": {"size": 18}},
            "paper_bgcolor": PAPER,
            "plot_bgcolor": PAPER,
            "colorway": list(SERIES),
            "hovermode": "closest",
            "hoverlabel": {
                "bgcolor": PAPER, "bordercolor": FAINT, "font": {"family": FONT, "color": INK}, "align": "left",
            },
            "margin": {"l": 64, "r": 20, "t": 52, "b": 52},
            "legend": {
                "orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom", "font": {"size": 12},
                "itemsizing": "constant", "tracegroupgap": 4,
            },
            "xaxis": axis,
            "yaxis": axis,
            "annotationdefaults": {"font": {"size": 12, "color": MUTED}, "arrowcolor": MUTED},
            "updatemenudefaults": {
                "bgcolor": "rgba(0, 0, 0, 0)", "bordercolor": FAINT, "font": {"color": MUTED, "size": 12},
            },
            "colorscale": {"sequential": SEQUENTIAL, "sequentialminus": SEQUENTIAL},
            "coloraxis": {"colorbar": {"outlinewidth": 0, "ticks": "outside", "thickness": 14}},
            "modebar": {"bgcolor": "rgba(0, 0, 0, 0)", "color": FAINT, "activecolor": MUTED},
        }
    )  # fmt: skip


_RGBA = re.compile(r"rgba\((\d+), (\d+), (\d+), ([\d.e-]+)\)")


def _swapped(thing: Any) -> Any:
    """The thing with each colour of the palette replaced by its dark counterpart."""
    if isinstance(thing, str):
        return _dark_colour(thing)
    if isinstance(thing, dict):
        return {key: _swapped(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_swapped(value) for value in thing]
    if isinstance(thing, np.ndarray) and thing.dtype == object:
        return np.array([_swapped(value) for value in thing.tolist()], dtype=object)
    return thing


def _dark_colour(word: str) -> str:
    if word in DARK_OF:
        return DARK_OF[word]
    found = _RGBA.fullmatch(word) if word.startswith("rgba(") else None
    if found is None:
        return word
    plain = "#" + "".join(f"{int(part):02x}" for part in found.groups()[:3])
    return rgba(DARK_OF[plain], float(found[4])) if plain in DARK_OF else word
