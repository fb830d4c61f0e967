"""Points that fill [0, 1)^d more evenly than chance does: scrambled Sobol, by index.

The net comes from scipy, whose import costs most of a second: import this room only where a point is wanted.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

MAX_DIMENSIONS = 21_201  # as many as there are direction numbers (Joe and Kuo, 2008)
_BLOCK = 64  # a power of 2, which is how scipy wants points drawn
_BITS = 32  # the most with which scipy can skip ahead; enough for 2^32 points


class ScrambledSobol:
    """The scrambled Sobol sequence of a seed; `point(i)` depends on (d, seed, i) and on nothing asked before.

    Beyond MAX_DIMENSIONS the other coordinates are independent uniform numbers.

    Source: Sobol (1967); direction numbers of Joe and Kuo (2008); scrambling by Matousek (1998), both as in scipy.
    """

    def __init__(self, d: int, seed: int) -> None:
        self._d, self._seed = d, seed
        self._engine: Any = None
        self._next = 0  # the block that the engine would draw next
        self._held = -1  # the block in self._points
        self._points = np.empty((0, d))  # (_BLOCK, d)

    def point(self, i: int) -> np.ndarray:  # (d,)
        """The i-th point, i from 0 to 2^32 - 1."""
        block, row = divmod(i, _BLOCK)
        if block != self._held:
            self._points, self._held = self._draw(block), block
        return np.array(self._points[row])

    def _draw(self, block: int) -> np.ndarray:  # (_BLOCK, d)
        points = np.empty((_BLOCK, self._d))
        netted = min(self._d, MAX_DIMENSIONS)
        if self._engine is None or block < self._next:
            qmc: Any = import_module("scipy.stats.qmc")
            self._engine = qmc.Sobol(netted, scramble=True, bits=_BITS, seed=np.random.default_rng(self._seed))
            self._next = 0
        if block > self._next:
            self._engine.fast_forward((block - self._next) * _BLOCK)
        points[:, :netted] = self._engine.random(_BLOCK)
        self._next = block + 1
        rest = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(block,)))
        points[:, netted:] = rest.random((_BLOCK, self._d - netted))
        return points
