"""Losses of any scale, with outliers and ties, transformed for a Gaussian process: about normal, with good losses well
separated. Invariant to shifts and positive scalings of the losses.
"""

from __future__ import annotations

import math

import numpy as np

_JUMP = 1e9  # a loss is enormous if its distance is so many times the spread of those before it
_ABOVE, _TINY = 1e6, 1e-100  # and its size exceeds this, or the others' spread is below this: else it may be rounding
_FLOOR = 1e-3  # of their size: the least spread that is assumed
_FEW = 10  # at most 1 in 10 losses may be enormously low, and at least 1 in 10 must not be enormously high
_MOST = 1e30  # standard deviations; losses further away than this, without a jump, are bounded
_LARGE = 1e300


def standardized(losses: np.ndarray) -> np.ndarray:  # (n,) -> (n,)
    """Losses shifted and scaled to median 0 and deviation 1, without overflow for any finite floats.

    The scale is that of the better half, so outliers on the bad side do not affect it. Constant losses become zeros.
    """
    top = np.abs(losses).max(initial=0.0)
    if top == 0.0:
        return np.zeros(len(losses))
    scaled = np.ldexp(losses, -_exponent(top) - 1)  # exact: a power of 2
    scaled = scaled - np.median(scaled)
    good = -scaled[scaled < 0]
    deviation = _root_mean_square(good) if len(good) else scaled.std()
    if not deviation > 0.0:
        return np.zeros(len(losses))
    with np.errstate(over="ignore"):
        out: np.ndarray = np.clip(scaled / deviation, -_LARGE, _LARGE)
    return out


def tamed(losses: np.ndarray, knee: float = 1.0) -> np.ndarray:  # (n,) -> (n,)
    """Standardized losses, those above the median compressed as by a logarithm, mean 0 and variance 1 again.

    Enormous losses, beyond a jump of nine orders of magnitude, do not affect the scale: they are placed 1 to 2 beyond
    the worst of the others, or below the best, in their order.
    """
    if not len(losses):
        return np.zeros(0)
    low, high = _enormous(losses)
    ordinary = ~(low | high)
    z = standardized(losses[ordinary])
    bad = z > 0
    z = np.where(bad, knee * _compressed(np.where(bad, z, 0.0) / knee), z)
    deviation = z.std()
    z = np.zeros(len(z)) if deviation == 0.0 else (z - z.mean()) / deviation
    if len(z) == len(losses):
        return z
    out = np.empty(len(losses))
    out[ordinary] = z
    out[high] = z.max() + _beyond(losses[high], losses[ordinary])
    out[low] = z.min() - _beyond(-losses[low], -losses[ordinary])
    return out


def reined(losses: np.ndarray) -> np.ndarray:  # (n,) -> (n,)
    """The losses, with enormous ones moved to one range of the others beyond the last of these (one size, if the others
    are all equal)."""
    low, high = _enormous(losses)
    if not (low.any() or high.any()):
        return losses
    others = losses[~(low | high)]
    with np.errstate(over="ignore"):
        span = others.max() - others.min() or max(abs(float(others[0])), 1.0)
        out = np.where(low, others.min() - span, np.where(high, others.max() + span, losses))
    return np.clip(out, -np.finfo(float).max, np.finfo(float).max)


def _compressed(z: np.ndarray) -> np.ndarray:
    """log(1 + z), bounded from `_MOST` on."""
    out = np.log1p(z)
    end = math.log1p(_MOST)
    far = np.maximum(out - end, 0.0)
    return np.asarray(np.where(far > 0, end + far / (1.0 + far), out))


def _beyond(losses: np.ndarray, ordinary: np.ndarray) -> np.ndarray:
    """Distances of enormous losses from the last ordinary one: from 1 to 2, increasing."""
    last, span = ordinary.max(), ordinary.max() / 2 - ordinary.min() / 2
    far = np.log(losses / 2 - last / 2) - math.log(span or abs(last) or 1.0)
    out: np.ndarray = 1.0 + np.maximum(far, 0.0) / (np.maximum(far, 0.0) + 100.0)
    return out


def _enormous(losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (n,) -> (n,), (n,)
    """Masks of the enormously low and of the enormously high losses: those beyond a jump in the sorted order that
    dwarfs the distances between the ordinary ones. None if the losses grow gradually."""
    none = np.zeros(len(losses), dtype=bool)
    if len(losses) < 3:
        return none, none
    ranked = np.sort(losses) / 4  # no difference overflows
    most = min(max(2, len(ranked) // _FEW), len(ranked) - 2)
    # Most jumps are too small even for the least spread.
    first = ranked[1 : most + 1]
    large = np.flatnonzero((first - ranked[:most]) / _JUMP > _FLOOR * np.abs(first)) + 1
    begin = next((k for k in reversed(large.tolist()) if _dwarfed(ranked, k)), 0)
    rest = ranked[begin:]
    spread = np.maximum(rest - rest[0], _FLOOR * np.maximum(np.abs(rest), abs(rest[0])))
    jumps = (rest[1:] - rest[0]) / _JUMP > spread[:-1]
    jumps &= (np.abs(rest[1:]) > _ABOVE / 4) | (spread[:-1] < _TINY)
    low = losses / 4 < rest[0]
    if not jumps.any():
        return low, none
    different = np.concatenate([[1], 1 + np.cumsum(np.diff(rest) > 0)])
    enough = (np.arange(len(rest)) + 1 >= max(3, math.ceil(len(rest) / _FEW))) & (different >= 3)
    found = np.flatnonzero(jumps & enough[:-1])
    return low, losses / 4 > rest[found[0]] if len(found) else none


def _dwarfed(ranked: np.ndarray, k: int) -> bool:
    """Whether the jump to index k dwarfs the distances in the better half of the losses after it. If they are equal,
    there is no distance to compare with."""
    if ranked[k] == ranked[-1]:
        return False
    first, middle = float(ranked[k]), float(np.median(ranked[k:]))
    spread = max(middle - first, _FLOOR * max(abs(first), abs(middle)))
    far = abs(float(ranked[k - 1])) > _ABOVE / 4 or spread < _TINY
    return bool(far and spread > 0 and (first - ranked[k - 1]) / _JUMP > spread)


def _root_mean_square(values: np.ndarray) -> float:
    """Of positive numbers; their squares do not vanish."""
    exponent = _exponent(values.max())
    scaled = np.ldexp(values, -exponent)
    return math.ldexp(math.sqrt(np.mean(scaled * scaled)), exponent)


def _exponent(value: float) -> int:
    return int(np.frexp(value)[1])
