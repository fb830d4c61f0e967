"""Functional ANOVA of a forest: which share of its variance comes from each coordinate, and from each pair of them.

Notation: a tree is f on the unit cube with the measure of its bins (`Bins.weights`), f0 its mean, V its variance.
The marginal a_U(x_U) is the mean of f over all coordinates but those in U.

Source: Hutter, Hoos and Leyton-Brown, An efficient approach for assessing hyperparameter importance, ICML 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpo_engine.maths.forest import Bins, Forest, Tree


@dataclass(frozen=True)
class Shares:
    """For each tree with a variance above 0 the shares of it, each in [0, 1]: `main` of the coordinates one by one,
    `pairs` of what each pair has beyond its two coordinates; `names_of` `pairs`: (p, 2) coordinates."""

    main: np.ndarray  # (t, d)
    pairs: np.ndarray  # (t, p)
    which: tuple[tuple[int, int], ...]  # (p,)


def main_shares(forest: Forest, bins: Bins) -> np.ndarray:  # (t, d)
    """V_j / V of each tree: the variance of a_j, Hutter et al. 2014, eq. 3 and 5."""
    found = [shares for tree in forest.trees if (shares := _main(_measured(tree, bins), bins)) is not None]
    return np.array(found).reshape(len(found), len(bins.weights))


def shares(forest: Forest, bins: Bins, which: Sequence[tuple[int, int]]) -> Shares:
    """The shares of all coordinates, and of these pairs."""
    main, pairs = [], []
    for tree in forest.trees:
        measured = _measured(tree, bins)
        own = _main(measured, bins)
        if own is None:
            continue
        main.append(own)
        pairs.append([max(0.0, _pair(measured, bins, j, k) - own[j] - own[k]) for j, k in which])
    d = len(bins.weights)
    return Shares(np.array(main).reshape(-1, d), np.array(pairs).reshape(len(main), len(which)), tuple(which))


def marginals(forest: Forest, bins: Bins, j: int, k: int) -> np.ndarray:  # (b, b)
    """The mean over trees of a_jk at each pair of bins: what the forest predicts there, whatever the others are."""
    found: np.ndarray = np.mean([_joint(_measured(tree, bins), j, k) for tree in forest.trees], axis=0)
    return forest.middle + forest.scale * found


@dataclass(frozen=True)
class _Measured:
    """A tree with the measure of its leaves.

    Attributes:
        extents: the share of each leaf's box in each coordinate. mass: value times volume of each leaf.
    """

    tree: Tree
    extents: np.ndarray  # (L, d)
    mass: np.ndarray  # (L,)
    mean: float
    variance: float


def _measured(tree: Tree, bins: Bins) -> _Measured:
    extents = np.einsum("ldb,db->ld", tree.boxes, bins.weights)
    volumes = extents.prod(axis=1)
    mass = tree.values * volumes
    mean = float(mass.sum())
    return _Measured(tree, extents, mass, mean, float(volumes @ (tree.values - mean) ** 2))


def _main(measured: _Measured, bins: Bins) -> np.ndarray | None:
    """(d,); None: the tree is constant."""
    scale = max(float(np.abs(measured.tree.values).max()) ** 2, 1e-300)
    if not measured.variance > 1e-14 * scale:
        return None
    density = measured.mass[:, None] / measured.extents  # (L, d)
    marginal = np.einsum("ld,ldb->db", density, measured.tree.boxes)  # a_j at each bin
    variances = (bins.weights * (marginal - measured.mean) ** 2).sum(axis=1)
    found: np.ndarray = np.minimum(variances / measured.variance, 1.0)
    return found


def _pair(measured: _Measured, bins: Bins, j: int, k: int) -> float:
    """The share of a_jk's variance, its two coordinates' own included."""
    marginal = _joint(measured, j, k)
    variance = bins.weights[j] @ (marginal - measured.mean) ** 2 @ bins.weights[k]
    return float(variance / measured.variance)


def _joint(measured: _Measured, j: int, k: int) -> np.ndarray:  # (b, b)
    density = measured.mass / (measured.extents[:, j] * measured.extents[:, k])
    boxes = measured.tree.boxes
    found: np.ndarray = (boxes[:, j] * density[:, None]).T @ boxes[:, k].astype(float)
    return found
