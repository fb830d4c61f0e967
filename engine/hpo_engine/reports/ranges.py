"""The range and the scale of an axis of values: figures and charts show the good ones well."""

from __future__ import annotations

import math

import numpy as np

_OUTLIER = 4.0


def visible(values: np.ndarray, *, lower_is_better: bool, log: bool = False) -> tuple[float, float] | None:
    """The range of an axis that shows the good values well, if bad ones would squeeze them; None: all of them.

    A value is too bad if it is farther from the median, on the bad side, than four times as far as the best one is, or
    as the worst but a tenth is.

    Args:
        values: (k,); those that are not finite do not count.
        log: whether the axis is logarithmic; the range is of the logarithms then, as Plotly wants it.
    """
    finite = values[np.isfinite(values)]
    finite = np.log10(finite[finite > 0]) if log else finite
    if len(finite) < 5:
        return None
    losses = finite if lower_is_better else -finite
    best, middle, poor = (float(x) for x in np.quantile(losses, (0.0, 0.5, 0.9)))
    limit = middle + _OUTLIER * max(poor - middle, middle - best)
    if float(losses.max()) <= limit or limit <= best:
        return None
    worst = float(losses[losses <= limit].max())
    pad = 0.06 * (worst - best) or 1.0
    ends = (best - pad, worst + pad)
    return ends if lower_is_better else (-ends[1], -ends[0])


def wants_log(values: np.ndarray) -> bool:
    """Whether an axis is better logarithmic: all values positive, over three decades apart."""
    finite = values[np.isfinite(values)]
    return len(finite) > 4 and float(finite.min()) > 0 and math.log10(float(finite.max()) / float(finite.min())) > 3
