"""New configurations from a model that learns from short and long runs alike."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Set
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from hpo_engine.searchers.fates import Fate, fate
from hpo_engine.searchers.sources import RandomSource
from hpo_engine.space.params import key
from hpo_engine.study.history import History
from hpo_engine.study.reached import EARLY
from hpo_engine.study.spec import Params, StudySpec
from hpo_engine.study.trial import Trial

if TYPE_CHECKING:
    import numpy as np

    from hpo_engine.searchers.evidence import Evidence, Partial
    from hpo_engine.searchers.observations import Observations


class Model(Protocol):
    """`Tpe` and `Bayesian` are such; None at all: a finite space has been searched."""

    def suggest(self, observed: Observations, first_id: int, count: int) -> list[dict[str, Any]]: ...

    def phase(self, observed: Observations, number: int) -> str: ...


class ModelSource:
    """A `ConfigurationSource` of configurations: a model's, and a share of random ones, which keep the model honest.

    The model sees each configuration once, with the estimated share of new configurations that are better (`shares`).
    Losses after one epoch and after fifty are not comparable, and a long run is no merit if the configuration began
    with it.
    """

    def __init__(self, spec: StudySpec, model: Model, random_share: float) -> None:
        self._spec, self._model, self._share = spec, model, random_share
        self._draws, self._finite = RandomSource(spec), spec.space.size is not None
        self._points: dict[int, tuple[Params, np.ndarray]] = {}  # by trial id; kept only for speed
        self._evidence: Evidence | None = None

    def suggest(self, history: History, first: int, count: int, known: Set[Any]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        seen: Observations | None = None
        for number in range(first, first + count):
            # A stream of its own: the model's first draw must not depend on this one.
            params = None
            if random.Random(f"{self._spec.seed or 0}/{number}/share").random() >= self._share:
                seen = self._with(self.observed(history), out) if seen is None else seen
                params = next(iter(self._model.suggest(seen, number, 1)), None)
            if params is None:
                taken = known | set(map(key, out)) if self._finite else known
                (params,) = self._draws.suggest(history, number, 1, taken)
            out.append(params)
            seen = None if seen is None else self._with(seen, [params])
        return out

    def observed(self, history: History) -> Observations:
        """Points are configurations, `losses` their shares."""
        results, failed, running = by_configuration(history.trials, self._partial(history))
        return self._observations(history, shares(results), failed, running)

    def _observations(
        self, history: History, losses: Mapping[int, float], failed: Iterable[int], running: Iterable[int]
    ) -> Observations:
        """What a model sees. All are ids of trials; those with a loss are left out of `failed` and `running`."""
        import numpy as np

        from hpo_engine.searchers.observations import Observations

        def points(ids: Iterable[int]) -> np.ndarray:
            found = [self._point(history.trials[i]) for i in ids]
            return np.array(found).reshape(len(found), len(self._spec.space.dimensions))

        return Observations(
            points(losses),
            np.array(list(losses.values()), dtype=float),
            points(i for i in failed if i not in losses),
            points(i for i in running if i not in losses),
        )

    def _partial(self, history: History) -> Mapping[int, Partial]:
        from hpo_engine.searchers.evidence import Evidence

        if not any(history.counts.get(state) for state in EARLY):
            return {}
        if self._evidence is None:
            self._evidence = Evidence(self._spec.objectives)
        return self._evidence.read([trial for trial in history.trials if trial.state.ended or trial.results])

    def _with(self, seen: Observations, running: Iterable[Params]) -> Observations:
        import numpy as np

        from hpo_engine.searchers.observations import Observations

        new = [self._spec.space.encode(params)[None] for params in running]
        return Observations(seen.points, seen.losses, seen.failed, np.concatenate([seen.pending, *new]))

    def _point(self, trial: Trial) -> np.ndarray:
        kept = self._points.get(trial.id)
        if kept is None or kept[0] is not trial.params:
            kept = self._points[trial.id] = trial.params, self._spec.space.encode(trial.params)
        return kept[1]


def by_configuration(
    trials: Iterable[Trial], partial: Mapping[int, Partial] = MappingProxyType({})
) -> tuple[dict[int, dict[int, float]], list[int], list[int]]:
    """By the id of a configuration's first trial: its losses, {resource: {id: loss}}; those with a run that failed;
    those with one that has not ended.

    Args:
        partial: what trials that were ended early count as. They count as if they had got all of their resource: left
            out, what an amount shows would be that of the survivors.
    """
    first: dict[int, int] = {}
    results: dict[int, dict[int, float]] = {}
    failed, running = [], []
    for trial in trials:
        parent = trial.proposal.repeats
        root = first[trial.id] = trial.id if parent is None else first.get(parent, trial.id)
        for result in trial.results:
            results.setdefault(result.resource or 0, {})[root] = result.losses[0]
        if trial.id in partial:
            results.setdefault(trial.proposal.resource or 0, {})[root] = partial[trial.id].losses[0]
        how = fate(trial)
        if how is Fate.RUNNING:
            running.append(root)
        elif how is Fate.FAILED:
            failed.append(root)
    return results, failed, running


def shares(results: Mapping[int, Mapping[int, float]]) -> dict[int, float]:
    """The share of all new configurations that is better, by configuration, from its run with the most of the resource.

    Configurations that begin with an amount represent all. Those promoted to it are a selected subset: they represent
    the best, a share twice as large as their mean share was before, in the order of their new losses. One that begins
    with an amount to which others were promoted is ranked among these by its loss, or behind them.
    """
    import numpy as np

    out: dict[int, float] = {}
    for resource in sorted(results):
        ids, losses = list(results[resource]), np.array(list(results[resource].values()), dtype=float)
        before = [out[i] for i in ids if i in out]
        top = min(1.0, 2 * sum(before) / len(before)) if before else 1.0
        scale = np.sort(losses[[i in out for i in ids]] if before else losses)
        places = np.searchsorted(scale, losses, "left") + np.searchsorted(scale, losses, "right")
        share = top * places / (2 * len(scale))
        behind = losses > scale[-1]
        if behind.any():
            others = np.sort(losses[behind])
            places = np.searchsorted(others, losses[behind], "left") + np.searchsorted(others, losses[behind], "right")
            share[behind] = top + (1 - top) * places / (2 * len(others))
        out.update(zip(ids, share.tolist(), strict=True))
    return out


def model_of(spec: StudySpec, model: str) -> Model:
    """The model of that name: tpe or bayesian."""
    if model == "tpe":
        from hpo_engine.searchers.tpe import Tpe

        return Tpe(spec)
    from hpo_engine.searchers.bayesian import Bayesian

    return Bayesian(spec)
