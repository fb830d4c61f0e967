"""Figures as PNG, SVG or PDF, drawn by kaleido in a Chromium or Chrome that is on the machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import EngineError
from hpo_engine.reports.figures import NothingToShow, draw

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hpo_engine.study.history import History

WIDTH, SCALE = 960, 2.0
"""Pixels of CSS, and how many of the picture there are for each."""
_LIMIT_S = 120.0
_MISSING = "pictures need the package kaleido; run: pip install 'hpo-engine[images]'"
_NO_BROWSER = (
    "pictures need Chromium or Chrome, which was not found: install it, or name it in the environment variable "
    "BROWSER_PATH; the HTML report needs none"
)


def picture(history: History, names: Sequence[str], form: str, *, dark: bool = False) -> dict[str, bytes]:
    """The figures as pictures, by name. Of several figures, those without content are left out.

    Args:
        form: png, svg or pdf.

    Raises:
        NothingToShow: it is one figure, and it has no content. EngineError: no kaleido, no browser, or no answer.
    """
    found = dict[str, Any]()
    for name in names:
        try:
            figure = draw(history, name, dark=dark)
        except NothingToShow:
            if len(names) == 1:
                raise
            continue
        found[name] = _still(figure)
    try:
        return asyncio.run(_drawn(found, form)) if found else {}
    except ModuleNotFoundError as error:
        raise EngineError(_MISSING) from error


def _still(figure: go.Figure) -> go.Figure:
    """The figure without what only a reader with a mouse can use."""
    return figure.update_layout(updatemenus=[], width=WIDTH)


async def _drawn(figures: Mapping[str, go.Figure], form: str) -> dict[str, bytes]:
    from choreographer.errors import ChromeNotFoundError
    from kaleido import Kaleido, PageGenerator

    page = PageGenerator(mathjax=False)  # it would come from a server; no label is a formula
    options = {"format": form, "width": WIDTH, "scale": SCALE if form == "png" else 1}
    out = dict[str, bytes]()
    try:
        async with Kaleido(page_generator=page, timeout=_LIMIT_S) as kaleido:
            for name, figure in figures.items():
                opts = {**options, "height": figure.layout.height}
                out[name] = await kaleido.calc_fig(figure.to_dict(), opts=opts)
    except ChromeNotFoundError as error:
        raise EngineError(_NO_BROWSER) from error
    return out
