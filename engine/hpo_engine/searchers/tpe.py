"""TPE: densities of the good and of the other trials; the next point has a high ratio of the two.

All of a space's dimensions are modelled together (multivariate), so that parameters that matter jointly are found
jointly; half of the candidates mix the dimensions of several good trials, as the classic TPE does, so that a search
does not get stuck at one lucky trial. Knows results only as Observations.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo_engine.maths.dedup import untaken
from hpo_engine.maths.transforms import reined
from hpo_engine.plugins.card import Card, Option
from hpo_engine.searchers import Searcher, Traits, trial_rng
from hpo_engine.searchers.observations import Observations, Observer
from hpo_engine.searchers.start import start_point
from hpo_engine.study.geometry import Layout
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Trial

if TYPE_CHECKING:
    from hpo_engine.maths.parzen import Parzen

_MOST_WINDOWS = 2_000  # for trials that are not good; if there are more, every k-th is used
_MOST_NUMBERS = 2_000_000  # windows times dimensions: bounds the time per proposal in very wide spaces


class Tpe(Searcher):
    """Tree-structured Parzen estimator, multivariate.

    After `n_startup` quasi-random trials, the best `good_ratio` of the trials make the density l, all others
    (and failed and running ones) the density g; of `ei_candidates` draws from l, the one with the largest l/g is
    proposed. The expected improvement increases with l/g (Bergstra et al. 2011, eq. 10-11).

    All windows have the same width, about 0.15 n^(-1/(d+4)) of the range, whatever the spread of the points: widths
    estimated from the good points shrink with them, and the search stagnates (mean regret 0.13 instead of 0.05 after
    100 trials). Half of the trials use windows a third as wide (0.061 without). Few candidates keep the search diverse
    (64 instead of 24: 0.057). A good trial is weighted by how far its loss is below the best of the others (Watanabe
    2023, section 4.2: weights by improvement).

    While other trials run there are fewer rounds of selection, so each takes larger steps: every second candidate is
    moved in the direction from the mean trial to the mean good one, as in an evolution strategy, and candidates are
    compared with wider windows, because narrow ones prefer the candidate nearest to a good trial. With 16 workers the
    mean regret is 0.127 instead of 0.141 after 50 trials and 0.070 instead of 0.080 after 100 (27 problems of
    benchmarks/search, 8 seeds; standard error of the difference 4%). With one trial at a time it makes no
    difference (+2%, standard error 6%), and is not used.
    """

    traits = Traits(
        card=Card(
            summary="models where good trials are denser than others",
            suits="20 trials to thousands, mixed and conditional spaces, noise and plateaus, many workers",
            cost="1 ms (2 ms after 1,000 trials)",
            source="Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; multivariate as in "
            "Falkner et al., BOHB, ICML 2018; weights of Watanabe, arXiv 2304.11127",
            options={
                "n_startup": Option("trials before the model is used", int, None, least=1, formerly="warm_up"),
                "ei_candidates": Option("candidates of which the best is proposed", int, 24, least=1, most=100_000),
                "good_ratio": Option(
                    "share of the completed trials that count as good", float, 0.1, least=0, above=True
                ),
                "good_max": Option("the most trials that count as good", int, 25, least=1),
            },
        ),
        uses_running=True,
        many_objectives=True,
    )

    spread = 0.15  # width of a window at n = 1 and d = 4
    scales = (1.0, 0.35)  # of the windows, drawn for each trial: half of the trials look closely
    stir, stirred = 0.4, 3.0  # categories: largest probability that a window changes one; largest mean number changed
    crossed = 0.5  # share of the candidates whose dimensions come from several windows
    # While other trials run:
    judged = 1.5  # scale of the windows that candidates are compared with, whatever they were drawn from
    drift = 2.0  # every second candidate is moved by up to this multiple of the step from the mean to the good mean
    crowding = 2.0  # the l/g of a candidate at a running trial is divided by 1 + this

    def __init__(
        self,
        spec: StudySpec,
        *,
        n_startup: int | None = None,
        ei_candidates: int = 24,
        good_ratio: float = 0.1,
        good_max: int = 25,
    ) -> None:
        self._spec, self._space = spec, spec.space
        self._d = len(spec.space.dimensions)
        self._n_startup = min(10, max(5, self._d + 2)) if n_startup is None else n_startup
        self._candidates, self._ratio, self._most = ei_candidates, good_ratio, good_max
        self._layout, self._reader = Layout.of(spec.space), Observer(spec.space)
        self._finite = bool((self._layout.cells > 0).all())

    def why(self, before: History, trial: Trial) -> str:
        return self.phase(self._reader.read(before), trial.id)

    def phase(self, observed: Observations, number: int) -> str:
        """How the trial, or the configuration, of that number is chosen, in words."""
        results = len(observed.seen[1])
        if number < self._n_startup:
            return f"quasi-random: the first {self._n_startup} trials cover the space before there is a model"
        if results < 2:
            return f"quasi-random: a model needs 2 results, there {'was' if results == 1 else 'were'} {results}"
        return f"likely to be good by a model (tpe) of {results} results"

    def ask(self, history: History, count: int) -> list[Proposal]:
        return [Proposal(p) for p in self.suggest(self._reader.read(history), history.next_id, count)]

    def suggest(self, observed: Observations, first_id: int, count: int) -> list[dict[str, Any]]:
        """Parameters for trials first_id, first_id + 1, ...; each counts as running when the next one is chosen."""
        pending, out = observed.pending, []
        for trial_id in range(first_id, first_id + count):
            point = self._point(observed, pending, trial_id)
            out.append(self._space.decode(point))
            pending = np.vstack([pending, point])
        return out

    def _point(self, observed: Observations, pending: np.ndarray, trial_id: int) -> np.ndarray:  # (d,)
        points, losses = observed.seen
        informed = trial_id >= self._n_startup and len(losses) >= 2 and bool(losses.min() < losses.max())
        if not self._d or not (informed or len(observed.failed)):
            start: np.ndarray = self._space.tidy(start_point(self._spec, trial_id)[None])[0]
            return start
        rng = trial_rng(self._spec, trial_id)
        # If all losses are equal no trial is good, and the point is one far from all trials.
        none = np.zeros(len(losses))
        share, weight = none, none
        if informed:
            # Trials that were ended early make no more trials good ones: these would be any of the finished ones.
            share, weight = split(losses, self._ratio, self._most, among=len(observed.losses))
            weight = weight * observed.say
        scale = self.scales[int(rng.integers(len(self.scales)))]
        source = self._parzen(points[share > 0], weight[share > 0], scale)
        drawn = self._drawn(source, rng)
        if len(pending):
            drawn[::2] = self._ahead(drawn[::2], scale * lean(points, weight), rng)
        candidates = self._usable(self._space.tidy(drawn), observed, pending, rng)
        good, judged = source, scale
        if len(pending):
            good, judged = self._parzen(points[share > 0], weight[share > 0], self.judged), self.judged
        bad = self._others(observed, pending, share, judged)
        scores = good.log_density(candidates) - bad.log_density(candidates)
        if len(pending):
            scores -= np.log1p(self.crowding * source.overlap(candidates, pending).sum(axis=1))
        best: np.ndarray = candidates[int(np.argmax(scores))]
        return best

    def _drawn(self, source: Parzen, rng: np.random.Generator) -> np.ndarray:  # (m, d)
        drawn = source.sample(rng, self._candidates)
        crossed = int(self.crossed * len(drawn))
        if crossed > 1:
            drawn[:crossed] = rng.permuted(drawn[:crossed], axis=0)
        return drawn

    def _ahead(self, drawn: np.ndarray, step: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # (k, d)
        """Each draw moved by a random fraction of `drift` steps, up to the border."""
        ahead = np.clip(drawn + self.drift * np.where(self._layout.categorical, 0.0, step), 0.0, 1.0)
        out: np.ndarray = drawn + rng.random((len(drawn), 1)) * (ahead - drawn)
        return out

    def _usable(
        self, candidates: np.ndarray, observed: Observations, pending: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """The candidates that are new and that the constraints allow; uniform draws if there are none."""
        if not (self._finite or self._space.rules):
            return candidates
        taken = np.concatenate([observed.points, observed.partial, observed.failed, pending])
        for tries in range(3):
            usable: np.ndarray = candidates[self._space.allowed(candidates)]
            if self._finite:  # a continuous draw is never repeated
                usable = untaken(usable, taken)
            if len(usable):
                return usable
            candidates = self._space.tidy(rng.random((64 << 2 * tries, self._d)))
        return candidates

    # -- the two densities -----------------------------------------------------------------------------------------

    def _others(self, observed: Observations, pending: np.ndarray, share: np.ndarray, scale: float) -> Parzen:
        """The density of the trials that are not good, and of failed and running ones."""
        points, _ = observed.seen
        windows = np.concatenate([points[share < 1], observed.failed, pending])
        others = ((1.0 - share) * observed.say)[share < 1]
        weights = np.concatenate([others, np.ones(len(observed.failed) + len(pending))])
        most = max(50, min(_MOST_WINDOWS, _MOST_NUMBERS // max(1, self._d)))
        if len(windows) > most:
            thinned = np.unique(np.linspace(0, len(windows) - 1, most).astype(int))
            windows, weights = windows[thinned], weights[thinned]
        return self._parzen(windows, weights, scale)

    def _parzen(self, centres: np.ndarray, weights: np.ndarray, scale: float) -> Parzen:
        from hpo_engine.maths.parzen import Parzen  # scipy.special: not before it is needed

        layout = self._layout
        n = max(1.0, float(weights.sum()) ** 2 / max(float((weights**2).sum()), 1e-300)) if len(weights) else 1.0
        # In d dimensions a step is sqrt(d) widths long, so many dimensions need narrower windows.
        width = scale * self.spread * n ** (-1.0 / (self._d + 4)) * min(1.5, (4 / max(1, self._d)) ** 0.3)
        with np.errstate(divide="ignore"):
            widths = np.maximum(width, np.where(layout.cells > 0, 0.5 / layout.cells, 0.0))
        stir = min(self.stir, self.stirred / max(1, self._d)) * n ** (-1.0 / (self._d + 4))
        widths = np.where(layout.categorical, stir, widths)
        return Parzen(layout.cells, layout.categorical, centres, widths, weights, 1.0)


def split(losses: np.ndarray, ratio: float, most: int, among: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The membership of each trial in the good ones, in [0, 1], and its weight among them, with mean 1: (n,), (n,).

    The best ceil(ratio n) are good (of `among` instead of n, if given), at most `most`, at least two, never all. Trials
    that tie across the border share their membership equally, so that their order does not matter.
    """
    n = len(losses)
    share = np.zeros(n)
    if not n:
        return share, share
    count = int(min(max(2, math.ceil(ratio * (n if among is None else among))), most, max(1, n - 1)))
    ranked = np.sort(losses)
    border = ranked[count - 1]
    inside, tied = losses < border, losses == border
    share[inside] = 1.0
    share[tied] = (count - inside.sum()) / tied.sum()
    # Improvement over the best trial that is not good, relative to that of the best; halves keep differences finite.
    near = reined(losses) / 2
    ranked = np.sort(near)
    beyond = ranked[min(count, n - 1)]
    reach = beyond - ranked[0]
    gain = np.clip(beyond - near, 0.0, reach) / reach if reach > 0 else np.ones(n)
    weight = share * np.clip(gain, 0.05, 1.0)
    return share, weight * (share > 0).sum() / weight.sum()


def lean(points: np.ndarray, weight: np.ndarray) -> np.ndarray:  # (n, d), (n,) -> (d,)
    """The vector from the mean of all points to the weighted mean; NaN are left out, 0 if there are no others."""
    known = ~np.isnan(points)
    at, weights = np.where(known, points, 0.0), np.where(known, weight[:, None], 0.0)
    count, total = known.sum(axis=0), weights.sum(axis=0)
    means = (weights * at).sum(axis=0) / np.where(total > 0, total, 1.0), at.sum(axis=0) / np.maximum(count, 1)
    return np.where(total > 0, means[0] - means[1], 0.0)
