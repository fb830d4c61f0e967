"""New configurations from a model that learns from short and long runs alike."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any, Protocol

from engine.params import key
from engine.searchers.draws import Draws
from engine.study import History, Params, StudySpec, Trial, TrialState

if TYPE_CHECKING:
    import numpy as np

    from engine.searchers.evidence import Evidence


class Model(Protocol):
    """`Tpe` and `Bayesian` are such; None at all: a finite space has been searched."""

    def suggest(self, evidence: Evidence, first_id: int, count: int) -> list[dict[str, Any]]: ...


class Modelled:
    """A `Source` of configurations: a model's, and a share of random ones, which keep the model honest.

    The model sees each configuration once, by its longest run so far. What was run longer ranks before what was not,
    as it was chosen to; among runs of one length the lower loss does. It learns from these ranks, since losses after
    one epoch and after fifty do not compare.
    """

    def __init__(self, spec: StudySpec, model: Model, random_share: float) -> None:
        self._spec, self._model, self._share = spec, model, random_share
        self._draws, self._finite = Draws(spec), spec.space.size is not None
        self._points: dict[int, tuple[Params, np.ndarray]] = {}  # by trial id; kept only for speed

    def suggest(self, history: History, first: int, count: int, known: Set[Any]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        seen: Evidence | None = None
        for number in range(first, first + count):
            # A stream of its own: the model's first draw must not depend on this one.
            params = None
            if random.Random(f"{self._spec.seed or 0}/{number}/share").random() >= self._share:
                seen = self._with(self.evidence(history), out) if seen is None else seen
                params = next(iter(self._model.suggest(seen, number, 1)), None)
            if params is None:
                params = self._draws.suggest(history, number, 1, known | set(map(key, out)) if self._finite else known)[
                    0
                ]
            out.append(params)
            seen = None if seen is None else self._with(seen, [params])
        return out

    def evidence(self, history: History) -> Evidence:
        """Points are configurations, `losses` their ranks from 0 for the best; equals have equal ranks."""
        import numpy as np

        from engine.searchers.evidence import Evidence

        results, failed, running = by_configuration(history.trials)
        ranks = ranked(results)

        def points(ids: Iterable[int]) -> np.ndarray:
            found = [self._point(history.trials[i]) for i in ids]
            return np.array(found).reshape(len(found), len(self._spec.space.dimensions))

        return Evidence(
            points(ranks),
            np.array(list(ranks.values()), dtype=float),
            points(i for i in failed if i not in results),
            points(i for i in running if i not in results),
        )

    def _with(self, seen: Evidence, running: Iterable[Params]) -> Evidence:
        import numpy as np

        from engine.searchers.evidence import Evidence

        new = [self._spec.space.encode(params)[None] for params in running]
        return Evidence(seen.points, seen.losses, seen.failed, np.concatenate([seen.pending, *new]))

    def _point(self, trial: Trial) -> np.ndarray:
        kept = self._points.get(trial.id)
        if kept is None or kept[0] is not trial.params:
            kept = self._points[trial.id] = trial.params, self._spec.space.encode(trial.params)
        return kept[1]


def by_configuration(trials: Iterable[Trial]) -> tuple[dict[int, tuple[int, float]], list[int], list[int]]:
    """By the id of a configuration's first trial: (resource, loss) of its longest run; those with a run that failed;
    those with one that has not ended."""
    first: dict[int, int] = {}
    results: dict[int, tuple[int, float]] = {}
    failed, running = [], []
    for trial in trials:
        note: Mapping[str, Any] = trial.proposal.slot or {}
        root = first[trial.id] = first.get(note.get("from", -1), trial.id)
        resource = trial.proposal.resource or 0
        if not trial.state.ended:
            running.append(root)
        elif trial.state is TrialState.COMPLETED and trial.loss is not None:
            if root not in results or results[root][0] < resource:
                results[root] = resource, trial.loss
        elif trial.state in (TrialState.FAILED, TrialState.TIMED_OUT):
            failed.append(root)
    return results, failed, running


def ranked(results: Mapping[int, tuple[int, float]]) -> dict[int, int]:
    """Ranks by (resource, loss): the more of the resource the better, then the lower loss."""
    order = sorted({(-resource, loss) for resource, loss in results.values()})
    places = {pair: place for place, pair in enumerate(order)}
    return {i: places[-resource, loss] for i, (resource, loss) in results.items()}


def made(spec: StudySpec, model: str) -> Model:
    """The model of that name: tpe or bayesian."""
    if model == "tpe":
        from engine.searchers.tpe import Tpe

        return Tpe(spec)
    from engine.searchers.bayesian import Bayesian

    return Bayesian(spec)
