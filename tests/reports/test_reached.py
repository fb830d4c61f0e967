"""What trials that were ended early had reached, as it is shown: at its step, and never as a result."""

from __future__ import annotations

from hpo_engine.reports.objects import trial_object
from hpo_engine.reports.ranking import farthest
from hpo_engine.study.events import AttemptIntended, AttemptStarted, MetricsSeen, TrialEnded
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.trial import Proposal
from hpo_engine.testing.histories import SPACES, applied, opened, proposed, spec_of


def _history(*curves: tuple[str, list[float]]) -> History:
    spec = spec_of(SPACES["one float"], objectives=(Objective("acc", "maximize"),))
    history = proposed(opened(spec), [Proposal({"x": 0.0}) for _ in curves])
    for i, (end, values) in enumerate(curves):
        rows = tuple(Row(step, {"acc": value}) for step, value in enumerate(values, 1))
        value = max(values) if end == "completed" else None
        history = applied(
            history,
            AttemptIntended(1, i, 1, f"n{i}"),
            AttemptStarted(1, i, 1, pid=1),
            MetricsSeen(1, i, rows),
            TrialEnded(1, i, end, value, "", {"code": 0}),
        )
    return history


def test_of_those_that_came_farthest_the_best_is_named() -> None:
    history = _history(("pruned", [0.9]), ("pruned", [0.1, 0.4]), ("stopped", [0.1, 0.5]), ("failed", [0.1, 0.2, 0.9]))
    found = farthest(history)
    assert found is not None and (found[0].id, found[1].step, found[1].losses) == (2, 2, (-0.5,))
    assert history.best is None
    assert trial_object(history, history.trials[0])["reached"] == {"step": 1, "values": {"acc": 0.9}}
    assert trial_object(history, history.trials[0])["value"] is None
    assert "reached" not in trial_object(history, history.trials[3])


def test_none_was_ended_early() -> None:
    history = _history(("completed", [0.9]), ("failed", [0.8]))
    assert farthest(history) is None and history.best_id == 0
