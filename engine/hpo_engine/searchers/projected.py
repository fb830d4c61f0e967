"""New configurations from a model of the losses of full trainings, measured or predicted from shorter ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo_engine.searchers.model_source import Model, ModelSource
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec

if TYPE_CHECKING:
    from hpo_engine.searchers.observations import Observations
    from hpo_engine.searchers.results import Known, RungResults


class ProjectedSource(ModelSource):
    """A `ConfigurationSource` whose model sees the loss of each configuration after all of the resource.

    If it was not measured, it is predicted from the farthest rung (`evidence.expected`): the mean rank of the final
    losses of configurations with about the same loss there. A rung whose order is not the final one thus says nothing.
    """

    def __init__(self, spec: StudySpec, model: Model, results: RungResults) -> None:
        super().__init__(spec, model, 0.0)
        self._results = results

    def observed(self, history: History) -> Observations:
        known = self._results.read(history)
        return self._observations(history, projected(known), known.failed, known.running)


def projected(known: Known) -> dict[int, float]:
    """The loss after all of the resource, by configuration.

    The longest runs come first: configurations that came farther are among those with which shorter ones are compared,
    so that the comparison is not with survivors only.
    """
    import numpy as np

    from hpo_engine.searchers.evidence import expected

    out = dict(known.full)
    for short, early in zip(reversed(known.short), reversed(known.early), strict=True):
        others, new = [i for i in early if i in out], [i for i in short if i not in out]
        if others and new:
            at, last = np.array([early[i] for i in others]), np.array([out[i] for i in others])
            found = expected(at, last, np.array([short[i] for i in new]))
            out.update(zip(new, found.tolist(), strict=True))
    return out
