"""Plotly's figures of a study as JSON, for the tab that loads Plotly."""

from __future__ import annotations

import json
from typing import Any

from hpo_engine.reports.figures import NothingToShow, draw
from hpo_engine.study.history import History


def of(history: History, name: str, *, dark: bool) -> dict[str, Any]:
    """`data` and `layout` of a figure; or `nothing`, why there is nothing in it. Raises SpecError: no such figure."""
    try:
        figure = draw(history, name, dark=dark, titled=False)
    except NothingToShow as nothing:
        return {"nothing": str(nothing)}
    found: dict[str, Any] = json.loads(figure.to_json(validate=False))
    return {"data": found["data"], "layout": found["layout"]}
