"""Losses of any scale, with outliers and ties, as numbers that a Gaussian process can hold: about normal, the good end
kept apart. Unchanged by a shift or a positive scaling of the losses.
"""

from __future__ import annotations

import math

import numpy as np


def standardized(losses: np.ndarray) -> np.ndarray:  # (n,) -> (n,)
    """Losses moved and scaled to median 0 and the typical deviation 1, safely for values up to the largest floats.

    The scale comes from the better half, so that no outlier on the bad side moves it. Constant losses become zeros.
    """
    top = np.abs(losses).max(initial=0.0)
    if top == 0.0:
        return np.zeros(len(losses))
    exponent = int(np.frexp(top)[1])
    scaled = np.ldexp(losses, -exponent - 1)  # exact: a power of 2
    scaled = scaled - np.median(scaled)
    good = -scaled[scaled < 0]
    deviation = math.sqrt(np.mean(good * good)) if len(good) else scaled.std()
    out: np.ndarray = scaled / deviation if deviation > 0.0 else np.zeros(len(losses))
    return out


def tamed(losses: np.ndarray, knee: float = 1.0) -> np.ndarray:  # (n,) -> (n,)
    """Standardized losses, those above the median compressed as by a logarithm, mean 0 and variance 1 again."""
    z = standardized(losses)
    bad = z > 0
    z = np.where(bad, knee * np.log1p(np.where(bad, z, 0.0) / knee), z)
    deviation = z.std()
    return np.zeros(len(z)) if deviation == 0.0 else (z - z.mean()) / deviation
