"""What a report's script draws, as JSON: the figures with their arrays shared, and the table of trials as columns."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hpo_engine.reports.figures import FIGURES, NothingToShow, draw
from hpo_engine.reports.ranking import beside_names, wanted
from hpo_engine.study.history import History
from hpo_engine.text.tables import cut, safe_text, value

_LONG = 24  # entries of a list from which on it is worth sharing
_CELL, _REASON = 200, 400  # characters of a table's cell


def drawings(history: History, only: str | None = None) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
    """The figures by name, as Plotly's JSON objects, and those without content, each with why."""
    figures, missing = dict[str, dict[str, Any]](), []
    for name in FIGURES if only is None else (only,):
        try:
            figures[name] = draw(history, name, titled=False).to_dict()
        except NothingToShow as nothing:
            if only is not None:
                raise
            missing.append((name, str(nothing)))
    return figures, missing


def of(history: History, figures: Mapping[str, dict[str, Any]]) -> str:
    """The JSON text."""
    from hpo_engine.reports.figures.theme import DARK_OF, template  # loads Plotly

    pool = Pool()
    drawn = []
    for name, figure in figures.items():
        layout = {key: part for key, part in figure["layout"].items() if key != "template"}
        drawn.append({"name": name, "data": pool.shared(figure["data"]), "layout": pool.shared(layout)})
    return json.dumps(
        {
            "figures": drawn, "template": template().to_plotly_json(), "darkOf": DARK_OF, "pool": pool.arrays,
            "columns": _columns(history), "best": list(history.front_ids),
        },
        allow_nan=False, separators=(",", ":"), default=_plain,
    )  # fmt: skip


class Pool:
    """Arrays that figures have in common, each kept once; a figure then has their number, as {"@": 3}."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []
        self._numbers: dict[str, int] = {}

    def shared(self, thing: Any) -> Any:
        """The thing with its long arrays replaced by numbers."""
        if isinstance(thing, dict):
            if "bdata" in thing:
                return self._put(f"{thing['dtype']}{thing.get('shape')}{thing['bdata']}", thing)
            return {key: self.shared(one) for key, one in thing.items()}
        if isinstance(thing, np.ndarray):
            thing = thing.tolist()
        if isinstance(thing, list | tuple):
            if len(thing) >= _LONG and all(one is None or isinstance(one, str | int | float) for one in thing):
                plain = [None if isinstance(one, float) and not math.isfinite(one) else one for one in thing]
                return self._put(repr(plain), plain)
            return [self.shared(one) for one in thing]
        if isinstance(thing, float) and not math.isfinite(thing):
            return None
        return thing

    def _put(self, key: str, array: Any) -> Mapping[str, int]:
        number = self._numbers.setdefault(key, len(self.arrays))
        if number == len(self.arrays):
            self.arrays.append(array)
        return {"@": number}


def _columns(history: History) -> list[dict[str, Any]]:
    """The table: trial, state, objectives, metrics beside them, seconds, parameters, and why it ended."""
    spec, trials = history.spec, list(history.trials)
    values = [history.values(trial) for trial in trials]
    out = [
        _column("trial", [t.id for t in trials]),
        _column("state", [t.state.value.replace("_", " ") for t in trials]),
    ]
    out += [
        _column(aim.metric, [found[k] if k < len(found) else None for found in values])
        for k, aim in enumerate(spec.objectives)
    ]
    out += [_column(name, [wanted(spec, name).pick(t.rows) for t in trials]) for name in beside_names(spec)]
    out.append(_column("seconds", [None if t.took_s is None else round(t.took_s, 2) for t in trials]))
    configs = [history.result_config(trial) for trial in trials]
    names = dict.fromkeys([*spec.config_names, *(name for config in configs for name in config)])
    out += [_column(name, [config.get(name) for config in configs]) for name in names]
    if any(trial.reason for trial in trials):
        reasons = [cut(safe_text(trial.reason), _REASON) if trial.reason else None for trial in trials]
        out.append({"name": "why it ended", "kind": "long", "cells": reasons})
    return out


def _column(name: str, cells: list[Any]) -> dict[str, Any]:
    plain = [_cell(cell) for cell in cells]
    numbers = all(cell is None or isinstance(cell, int | float) for cell in plain)
    return {"name": safe_text(name), "kind": "number" if numbers else "", "cells": plain}


def _cell(thing: Any) -> Any:
    if thing is None or isinstance(thing, bool):
        return None if thing is None else str(thing).lower()
    if isinstance(thing, int | float):
        if isinstance(thing, int) and abs(thing) < 2**53:
            return thing
        return float(f"{thing:.7g}") if math.isfinite(thing) else str(thing)
    return cut(value(thing), _CELL)


def _plain(thing: Any) -> Any:
    """numpy's numbers as Python's."""
    return thing.item() if hasattr(thing, "item") else str(thing)
