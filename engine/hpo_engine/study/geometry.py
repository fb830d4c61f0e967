"""A search space as the arrays that a model of a study needs. Loads numpy: import this room only when there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpo_engine.maths.embedding import Kinds
from hpo_engine.space.axes import Cells, axis_of
from hpo_engine.space.searchspace import Choice, SearchSpace

if TYPE_CHECKING:
    from hpo_engine.maths.acquisition import Box


@dataclass(frozen=True)
class Layout:
    """The dimensions as numbers. `cells`: the number of values, 0 if continuous or too many for floats to distinguish.
    `categorical`: values without order."""

    cells: np.ndarray  # (d,) whole numbers
    categorical: np.ndarray  # (d,) bool

    @classmethod
    def of(cls, space: SearchSpace) -> Layout:
        axes = [space.axis(p.name) for p in space.dimensions]
        cells = np.array([a.size if isinstance(a, Cells) and not a.fine else 0 for a in axes], dtype=np.int64)
        unordered = [isinstance(p, Choice) and not p.ordered and len(p.choices) > 2 for p in space.dimensions]
        return cls(cells, np.array(unordered, dtype=bool))


def kinds_of(space: SearchSpace) -> Kinds:
    """The kinds of the dimensions, for the embedding of points."""
    layout = Layout.of(space)
    optional = np.array([p.when is not None for p in space.dimensions], dtype=bool)
    return Kinds(np.where(layout.categorical, layout.cells, 0), optional)


def box_of(space: SearchSpace) -> Box:
    """The points of the space, for the search of the most valuable one. Loads scipy."""
    from hpo_engine.maths.acquisition import Box

    layout = Layout.of(space)
    centres = []
    for param, cells in zip(space.dimensions, layout.cells, strict=True):
        axis = axis_of(param)
        centres.append(np.array([axis.encode(axis.at(k, 1)) for k in range(cells)] if 1 < cells <= 512 else []))
    return Box(space.tidy, layout.cells, layout.categorical, centres, space.allowed if space.rules else None)
