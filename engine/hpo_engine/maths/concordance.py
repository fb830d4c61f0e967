"""How far an early order of things is the order that they have in the end."""

from __future__ import annotations

import numpy as np


def concordance(early: np.ndarray, last: np.ndarray) -> float:  # (n,), (n,) -> [0, 1]
    """The share of the differences between the last losses that the early losses have the right way round: 1, the same
    order; 0, the opposite one; about 1/2, if the early losses say nothing, or nothing can be said.

    Each pair counts by how much its last losses differ, so that an order that noise decides does not matter. Losses
    above the median count as the median: to distinguish bad ones from each other is useless, and to distinguish them
    from the good is easy.

    Source: Kendall's tau, with pairs weighted; noise counts as in Bohdal et al., PASHA, ICLR 2023, section 4.2.
    """
    capped = np.minimum(last, np.median(last)) if len(last) else last
    ahead, before = capped[:, None] - capped, np.sign(early[:, None] - early)
    weight = np.abs(ahead)
    total = float(weight.sum())
    right = np.where(before == 0, 0.5, np.sign(ahead) == before)
    return float((weight * right).sum()) / total if total > 0 else 0.5
