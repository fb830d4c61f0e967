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

_LATTICE = 1 << 14  # places at which the widths of bins are measured


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


def binned(space: SearchSpace, points: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d) of the space as codes (n, d), the number of the bin that each coordinate is in, and the share of
    each bin in its coordinate (d, b).

    A parameter with up to `most` values has a bin for each, others have `most` bins of equal width. The code is -1 if
    the parameter does not apply.
    """
    lattice = (np.arange(_LATTICE) + 0.5) / _LATTICE
    codes = np.full(points.shape, -1, dtype=np.int64)
    weights = np.zeros((len(space.dimensions), most))
    for j, param in enumerate(space.dimensions):
        axis, there = space.axis(param.name), ~np.isnan(points[:, j])
        if isinstance(axis, Cells) and axis.size <= most:
            codes[there, j] = axis.cell(points[there, j])
            weights[j, : axis.size] = np.bincount(axis.cell(lattice), minlength=axis.size) / _LATTICE
        else:
            codes[there, j] = np.minimum((points[there, j] * most).astype(np.int64), most - 1)
            weights[j] = 1.0 / most
    return codes, weights[:, : max(int((weights > 0).sum(axis=1).max(initial=1)), 2)]
