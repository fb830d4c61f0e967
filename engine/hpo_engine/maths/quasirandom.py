"""Points that fill [0, 1)^d more evenly than random ones: the scrambled Sobol sequence, by index, and a lattice.

Needs numpy only: scipy.stats has the same sequence, but takes most of a second to import.
"""

from __future__ import annotations

import numpy as np

TABLED = 64  # dimensions with direction numbers of their own
_BITS = 32


class ScrambledSobol:
    """The scrambled Sobol sequence of a seed; `point(i)` depends on (d, seed, i) and on nothing asked before.

    The first 2^k points hit each of the 2^k equal parts of every axis once, and most boxes of two axes. Beyond TABLED
    dimensions each axis is still divided evenly, but pairs of axes are random.

    Args:
        scramble: a random lower triangular matrix on each axis's bits, and a random shift; without it the
            sequence is the plain one, which starts at 0.

    Source: Sobol (1967); Bratley and Fox (1988); direction numbers of Joe and Kuo (2008); scrambling of Matousek
    (1998).
    """

    def __init__(self, d: int, seed: int, *, scramble: bool = True) -> None:
        rng = np.random.default_rng(seed)
        columns = _directions(min(d, TABLED))  # (d, _BITS): what bit k of an index adds to each coordinate
        self._shift = np.zeros(d, dtype=np.uint64)
        if scramble:
            columns = _mixed(columns, rng)
        if d > TABLED:
            columns = np.concatenate([columns, _chance_directions(d - TABLED, rng)])
        if scramble:
            self._shift = rng.integers(0, 1 << _BITS, d, dtype=np.uint64)
        self._columns = columns

    def point(self, i: int) -> np.ndarray:  # (d,)
        """The i-th point, i from 0 to 2^32 - 1."""
        gray = i ^ (i >> 1)
        bits = [k for k in range(gray.bit_length()) if gray >> k & 1]
        whole: np.ndarray = np.bitwise_xor.reduce(self._columns[:, bits], axis=1) ^ self._shift
        return whole * 2.0**-_BITS


def lattice(n: int, k: int) -> np.ndarray:  # (n, k), in [0, 1)
    """Evenly spread points: the additive recurrence of the root of x^(k+1) = x + 1 (Roberts 2018)."""
    root = 2.0
    for _ in range(30):
        root = (1.0 + root) ** (1.0 / (k + 1))
    points: np.ndarray = (0.5 + np.outer(np.arange(1, n + 1), root ** -np.arange(1.0, k + 1.0))) % 1.0
    return points


def _directions(d: int) -> np.ndarray:  # (d, _BITS)
    """Joe and Kuo's direction numbers as fractions of 2^32. The first axis is van der Corput's sequence."""
    rows = [[1] * _BITS]
    for entry in _JOE_KUO.replace("\n", " ").split(",")[: max(d - 1, 0)]:
        left, _, right = entry.partition(":")
        rows.append(_numbers(int(left), [int(word) for word in right.split()]))
    places = np.arange(_BITS - 1, -1, -1, dtype=np.uint64)
    return np.array(rows[:d], dtype=np.uint64).reshape(d, _BITS) << places


def _numbers(polynomial: int, m: list[int]) -> list[int]:
    """The first _BITS numbers m_k of the recurrence of a primitive polynomial (its coefficients as bits)."""
    s = polynomial.bit_length() - 1
    for k in range(s, _BITS):
        new = m[k - s] ^ (m[k - s] << s)
        for i in range(1, s):
            if polynomial >> (s - i) & 1:
                new ^= m[k - i] << i
        m.append(new)
    return m


def _mixed(columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # (d, _BITS) -> (d, _BITS)
    """Each axis's bits, from the highest on, multiplied by a random lower triangular matrix over {0, 1}."""
    places = np.arange(_BITS - 1, -1, -1, dtype=np.uint64)
    bits = ((columns[:, :, None] >> places) & np.uint64(1)).astype(np.float64)  # (d, column, bit)
    matrices = np.tril(rng.integers(0, 2, (len(columns), _BITS, _BITS)), -1) + np.eye(_BITS)
    mixed = (bits @ matrices.transpose(0, 2, 1)).astype(np.uint64) & np.uint64(1)
    out: np.ndarray = (mixed << places).sum(axis=2, dtype=np.uint64)
    return out


def _chance_directions(d: int, rng: np.random.Generator) -> np.ndarray:  # (d, _BITS)
    """Direction numbers drawn at random: the unit upper triangular matrices, which divide their axis evenly."""
    places = np.arange(_BITS, dtype=np.uint64)
    own = np.uint64(1) << (np.uint64(_BITS - 1) - places)
    above = np.uint64(1 << _BITS) - (own << np.uint64(1))  # the bits above a column's own
    out: np.ndarray = (rng.integers(0, 1 << _BITS, (d, _BITS), dtype=np.uint64) & above) | own
    return out


# From the second axis on: a primitive polynomial over {0, 1} (its coefficients as bits) and the numbers m_1, m_2, ...
# that start its recurrence: the first 64 axes of new-joe-kuo-6 (Joe and Kuo, SIAM J. Sci. Comput. 30, 2008).
_JOE_KUO = """
    3: 1, 7: 1 3, 11: 1 3 1, 13: 1 1 1, 19: 1 1 3 3, 25: 1 3 5 13, 37: 1 1 5 5 17, 41: 1 1 5 5 5, 47: 1 1 7 11 19,
    55: 1 1 5 1 1, 59: 1 1 1 3 11, 61: 1 3 5 5 31, 67: 1 3 3 9 7 49, 91: 1 1 1 15 21 21, 97: 1 3 1 13 27 49,
    103: 1 1 1 15 7 5, 109: 1 3 1 15 13 25, 115: 1 1 5 5 19 61, 131: 1 3 7 11 23 15 103, 137: 1 3 7 13 13 15 69,
    143: 1 1 3 13 7 35 63, 145: 1 3 5 9 1 25 53, 157: 1 3 1 13 9 35 107, 167: 1 3 1 5 27 61 31,
    171: 1 1 5 11 19 41 61, 185: 1 3 5 3 3 13 69, 191: 1 1 7 13 1 19 1, 193: 1 3 7 5 13 19 59, 203: 1 1 3 9 25 29 41,
    211: 1 3 5 13 23 1 55, 213: 1 3 7 3 13 59 17, 229: 1 3 1 3 5 53 69, 239: 1 1 5 5 23 33 13, 241: 1 1 7 7 1 61 123,
    247: 1 1 7 9 13 61 49, 253: 1 3 3 5 3 55 33, 285: 1 3 1 15 31 13 49 245, 299: 1 3 5 15 31 59 63 97,
    301: 1 3 1 11 11 11 77 249, 333: 1 3 1 11 27 43 71 9, 351: 1 1 7 15 21 11 81 45, 355: 1 3 7 3 25 31 65 79,
    357: 1 3 1 1 19 11 3 205, 361: 1 1 5 9 19 21 29 157, 369: 1 3 7 11 1 33 89 185, 391: 1 3 3 3 15 9 79 71,
    397: 1 3 7 11 15 39 119 27, 425: 1 1 3 1 11 31 97 225, 451: 1 1 1 3 23 43 57 177, 463: 1 3 7 7 17 17 37 71,
    487: 1 3 1 5 27 63 123 213, 501: 1 1 3 5 11 43 53 133, 529: 1 3 5 5 29 17 47 173 479, 539: 1 3 3 11 3 1 109 9 69,
    545: 1 1 1 5 17 39 23 5 343, 557: 1 3 1 5 25 15 31 103 499, 563: 1 1 1 11 11 17 63 105 183,
    601: 1 1 5 11 9 29 97 231 363, 607: 1 1 5 15 19 45 41 7 383, 617: 1 3 7 7 31 19 83 137 221,
    623: 1 1 1 3 23 15 111 223 83, 631: 1 1 5 13 31 15 55 25 161, 637: 1 1 3 13 25 47 39 87 257
"""
