"""Least-squares fit of a nondecreasing function to points (isotonic regression)."""

from __future__ import annotations

import numpy as np


def isotonic(y: np.ndarray, weights: np.ndarray) -> np.ndarray:  # (n,), (n,) > 0 -> (n,)
    """The nondecreasing sequence nearest to y, by weighted squares.

    Source: Barlow et al., Statistical Inference under Order Restrictions, 1972: pool adjacent violators.
    """
    means: list[float] = []
    masses: list[float] = []
    counts: list[int] = []
    for value, weight in zip(y.tolist(), weights.tolist(), strict=True):
        count = 1
        while means and means[-1] >= value:
            mass = masses.pop()
            value = (means.pop() * mass + value * weight) / (mass + weight)
            weight, count = weight + mass, count + counts.pop()
        means.append(value)
        masses.append(weight)
        counts.append(count)
    return np.repeat(np.array(means, dtype=float), counts)
