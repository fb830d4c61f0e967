"""How much each hyperparameter mattered, by PED-ANOVA and by functional ANOVA, computed from a history.

PED-ANOVA asks which parameters the best trials have in common; functional ANOVA, of which parameters the loss is a
function. Pure functions of a history; loads numpy and scipy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hpo_engine.errors import NothingYet
from hpo_engine.maths import anova, pareto, pedanova
from hpo_engine.maths.forest import Bins, Forest, grown
from hpo_engine.maths.transforms import reined
from hpo_engine.space.searchspace import Choice
from hpo_engine.study.geometry import binned
from hpo_engine.study.history import History
from hpo_engine.study.projection import Projection
from hpo_engine.study.trial import BAD, Trial, TrialState
from hpo_engine.text.quoting import listed
from hpo_engine.text.tables import counted

LEAST = 10
"""Fewer trials say nothing about importance."""
FRONT = "the Pareto front"
"""The target of PED-ANOVA for all objectives together."""
PED_ANOVA, FANOVA = "PED-ANOVA", "fANOVA"

_ENOUGH = 20  # trials with an amount of the resource, to prefer it to a smaller amount with more of them
_TOP, _LEAST_TOP = 0.1, 5  # the share of trials that are the best ones, and their least number
_FEW = 50  # trials; with fewer the order of parameters often changes with the next ones
_WEAK = 0.3  # explained variance below which a forest has hardly found a function of the parameters
_CELLS, _BINS = 50, 32  # of a coordinate: for densities, for trees
_RESAMPLED, _SHUFFLED = 40, 60
_TREES, _FEWEST_TREES, _WORK = 64, 16, 120_000  # `_WORK`: trees times points times parameters
_PAIRED = 10  # parameters whose pairs are examined: those with the largest effects


class TooFew(NothingYet):
    """A history whose trials cannot tell what mattered; the text says why."""


@dataclass(frozen=True)
class Effect:
    """What one parameter, or a pair of them, has of the whole: the `share` in [0, 1], its 5th and 95th percentile
    (`low`, `high`) over resampled trials or over trees, and the share that chance alone would reach in one of twenty
    studies (`chance`; None: not estimated)."""

    names: tuple[str, ...]
    share: float
    low: float
    high: float
    chance: float | None = None

    @property
    def distinct(self) -> bool:
        """Whether the share is above chance, as far as is known."""
        return self.chance is None or self.share > self.chance


@dataclass(frozen=True)
class Importance:
    """The parameters by one method for one target, the most important first.

    Attributes:
        method: PED_ANOVA or FANOVA. target: a metric, or FRONT.
        pairs: interactions, the strongest first; fANOVA only. rest: the share of the variance that neither one
            parameter nor one of the `pairs` has.
        explained: by the forest, of the variance of losses it was not grown on; fANOVA only.
        how: the method and its settings in one sentence. doubts: reasons not to rely on it.
    """

    method: str
    target: str
    effects: tuple[Effect, ...]
    how: str
    doubts: tuple[str, ...] = ()
    pairs: tuple[Effect, ...] = ()
    rest: float | None = None
    explained: float | None = None


class Sample:
    """The trials of a history that importance is computed from.

    With a resource, those that had one amount of it: the largest with at least 20 results, else the commonest one.

    Attributes:
        space: its parameters are those with more than one value. points: (n, d) in the unit cube, NaN where a parameter
        does not apply. losses: (n, m). notes: which trials these are, in words.

    Raises:
        TooFew: fewer than LEAST, or no parameter has more than one value.
    """

    def __init__(self, history: History) -> None:
        history = Projection().of(history)
        self.spec, self.space = history.spec, history.spec.space
        self.resource, results = _results(history.trials)
        self.columns = [j for j, size in enumerate(self.space.cells) if size is None or size > 1]
        self.names = tuple(self.space.dimensions[j].name for j in self.columns)
        if not self.names:
            raise TooFew("no parameter has more than one value")
        if len(results) < LEAST:
            raise TooFew(f"importance needs at least {LEAST} trials with a result; there are {len(results)}")
        self._all = np.array([self.space.vector(params) for params, _ in results], dtype=float)
        self.losses = np.array([losses for _, losses in results], dtype=float)
        self.notes = tuple(_notes(history, self.resource, len(results)))

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def points(self) -> np.ndarray:  # (n, d)
        return self._all[:, self.columns]

    @cached_property
    def ordered(self) -> np.ndarray:  # (d,) bool
        params = [self.space.dimensions[j] for j in self.columns]
        return np.array([not isinstance(param, Choice) or param.ordered for param in params])

    def binned(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """The points as bins, and the share of each: see `geometry.binned`."""
        codes, weights = binned(self.space, self._all, most)
        return codes[:, self.columns], weights[self.columns]

    @cached_property
    def forests(self) -> dict[int, tuple[Forest, Bins]]:
        """By objective; filled by `forest_of`."""
        return {}


def importances(history: History, methods: Sequence[str] = (PED_ANOVA, FANOVA)) -> tuple[Sample, list[Importance]]:
    """Both methods for each objective; with several ones PED-ANOVA for the front, too, which comes first.

    Raises:
        TooFew: see `Sample`, or the trials all have the same values.
    """
    sample, found = Sample(history), []
    aims = [aim.metric for aim in history.spec.objectives]
    varied = [k for k in range(len(aims)) if np.ptp(reined(sample.losses[:, k])) > 0]
    if not varied:
        raise TooFew(f"all {len(sample)} trials have the same {listed(aims, 3)}")
    if PED_ANOVA in methods and len(aims) > 1:
        found.append(ped_anova(sample, pareto.scores(sample.losses), FRONT))
    if PED_ANOVA in methods:
        found += [ped_anova(sample, sample.losses[:, k], aims[k]) for k in varied]
    if FANOVA in methods:
        found += [fanova(sample, k) for k in varied]
    return sample, found


# -- PED-ANOVA ---------------------------------------------------------------------------------------------------------


def ped_anova(sample: Sample, losses: np.ndarray, target: str, seed: int = 0) -> Importance:
    """The best tenth of the trials (at least five) against all of them: what the search itself had preferred counts for
    nothing. Shares are relative to the sum over parameters."""
    codes, weights = sample.binned(_CELLS)
    n, rng = len(losses), np.random.default_rng(seed)
    top = losses <= np.sort(losses)[min(n - 1, max(math.ceil(_TOP * n), _LEAST_TOP) - 1)]
    size = int(top.sum())
    drawn = np.stack([np.ones(n), *(_resampled(top, rng) for _ in range(_RESAMPLED))])  # (s, n)
    chosen = np.stack([top, *(rng.permutation(top) for _ in range(_SHUFFLED))]).astype(float)
    found, chance = [], []
    for j, ordered in enumerate(sample.ordered.tolist()):
        cells = np.eye(int((weights[j] > 0).sum()) + 1)[codes[:, j]][:, :-1]  # (n, g); those without it are in none
        found.append(_divergences(drawn @ cells, (drawn * top) @ cells, ordered, drawn.sum(axis=1), size))
        everywhere = np.broadcast_to(cells.sum(axis=0), (len(chosen), cells.shape[1]))
        chance.append(_divergences(everywhere, chosen @ cells, ordered, np.full(len(chosen), n), size)[1:])
    values = np.array(found).T  # (s, d)
    total = values.sum(axis=1, keepdims=True)
    shares = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    limits = np.percentile(np.array(chance), 95, axis=1) / max(float(total[0, 0]), 1e-300)
    low, high = np.percentile(shares[1:], (5, 95), axis=0)
    effects = [
        Effect((name,), float(shares[0, j]), float(low[j]), float(high[j]), float(limits[j]))
        for j, name in enumerate(sample.names)
    ]
    effects.sort(key=lambda effect: -effect.share)
    how = f"the best {size} of {n} trials against all of them; shares of the parameters' sum"
    return Importance(PED_ANOVA, target, tuple(effects), how, tuple(_ped_doubts(n, size, effects)))


def _divergences(
    counts: np.ndarray, top: np.ndarray, ordered: bool, all_points: np.ndarray, best: int
) -> np.ndarray:  # (s,)
    applies = counts.sum(axis=1) / all_points, top.sum(axis=1) / best
    return pedanova.importances(counts, top, ordered, applies)


def _resampled(top: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # (n,)
    """How often each trial is drawn with replacement, the best ones from the best ones."""
    out = np.zeros(len(top))
    for rows in (np.flatnonzero(top), np.flatnonzero(~top)):
        if len(rows):
            out[rows] = np.bincount(rng.integers(0, len(rows), len(rows)), minlength=len(rows))
    return out


def _ped_doubts(n: int, size: int, effects: Sequence[Effect]) -> list[str]:
    doubts = []
    if n < _FEW:
        doubts.append(f"only {n} trials: the order may change with the next ones")
    if size > n / 2:
        doubts.append(f"{size} of {n} trials are equally good")
    if not any(effect.distinct for effect in effects):
        doubts.append("no parameter differs from chance")
    return doubts


# -- fANOVA ------------------------------------------------------------------------------------------------------------


def forest_of(sample: Sample, objective: int) -> tuple[Forest, Bins]:
    """The forest of an objective's losses, and the bins of its coordinates; grown once for a sample."""
    if objective not in sample.forests:
        codes, weights = sample.binned(_BINS)
        bins, n = Bins(weights, sample.ordered), len(sample)
        trees = min(_TREES, max(_FEWEST_TREES, _WORK // (min(n, 1000) * len(sample.names))))
        losses = reined(sample.losses[:, objective])
        sample.forests[objective] = grown(codes, losses, bins, np.random.default_rng(0), trees=trees), bins
    return sample.forests[objective]


def fanova(sample: Sample, objective: int) -> Importance:
    """Shares of the variance of a random forest over the whole space, each parameter on the scale on which it is
    searched; a parameter has none where it does not apply."""
    forest, bins = forest_of(sample, objective)
    main = anova.main_shares(forest, bins)
    leading = np.argsort(-main.mean(axis=0))[:_PAIRED].tolist() if len(main) else []
    which = [(j, k) for i, j in enumerate(leading) for k in leading[i + 1 :]]
    found = anova.shares(forest, bins, which)
    effects = [_over_trees((name,), found.main[:, j]) for j, name in enumerate(sample.names)]
    pairs = [_over_trees((sample.names[j], sample.names[k]), found.pairs[:, i]) for i, (j, k) in enumerate(found.which)]
    effects.sort(key=lambda effect: -effect.share)
    pairs.sort(key=lambda effect: -effect.share)
    rest = max(0.0, 1.0 - sum(effect.share for effect in (*effects, *pairs)))
    how = f"shares of the variance of a random forest of {len(forest.trees)} trees on {len(sample)} trials"
    return Importance(
        FANOVA, sample.spec.objectives[objective].metric, tuple(effects), how, tuple(_forest_doubts(sample, forest)),
        tuple(pairs), rest, None if math.isnan(forest.explained) else forest.explained,
    )  # fmt: skip


def _over_trees(names: tuple[str, ...], shares: np.ndarray) -> Effect:
    if not len(shares):
        return Effect(names, 0.0, 0.0, 0.0)
    low, high = np.percentile(shares, (5, 95))
    return Effect(names, float(shares.mean()), float(low), float(high))


def _forest_doubts(sample: Sample, forest: Forest) -> list[str]:
    doubts = []
    if len(sample) < _FEW:
        doubts.append(f"only {len(sample)} trials: the order may change with the next ones")
    if forest.explained < _WEAK:
        share = max(0.0, forest.explained)
        doubts.append(f"the forest explains only {share:.0%} of the variance of trials it has not seen")
    return doubts


# -- trials ------------------------------------------------------------------------------------------------------------


_Results = list[tuple[dict[str, Any], tuple[float, ...]]]


def _results(trials: Sequence[Trial]) -> tuple[int | None, _Results]:
    """The amount of the resource (None: there is none), and what had it: parameters and losses."""
    by_amount: dict[int, _Results] = {}
    for trial in trials:
        for result in trial.results:
            attempt = trial.attempt_of(result)
            params = dict(trial.params if attempt is None else attempt.params)
            by_amount.setdefault(result.resource or 0, []).append((params, result.losses))
    if not by_amount:
        return None, []
    enough = [amount for amount, results in by_amount.items() if len(results) >= _ENOUGH]
    amount = max(enough) if enough else max(by_amount, key=lambda a: (len(by_amount[a]), a))
    return amount or None, by_amount[amount]


def _notes(history: History, resource: int | None, n: int) -> list[str]:
    name = "" if history.spec.resource is None else history.spec.resource.name
    notes = [counted(n, "trial") + (f" with {resource} {name}" if resource else "")]
    states = [trial.state for trial in history.trials]
    left_out = {
        "failed": sum(state in BAD for state in states),
        "ended early": sum(s in (TrialState.PRUNED, TrialState.STOPPED) for s in states),
    }
    words = [f"{count} {word}" for word, count in left_out.items() if count]
    return notes + ([f"{' and '.join(words)} do not count"] if words else [])
