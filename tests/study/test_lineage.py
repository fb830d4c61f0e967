"""What led to a trial: in the order of training, across the trials that it started from."""

from __future__ import annotations

import json

from hpo_engine.reports.objects import trial_object
from hpo_engine.study.history import History
from hpo_engine.study.lineage import LAST_VALUES, has_schedule, schedule
from hpo_engine.study.spec import Resource
from hpo_engine.study.trial import Proposal
from hpo_engine.testing.histories import SPACES, opened, proposed, spec_of, with_fate
from hpo_engine.trackers import lines
from hpo_engine.trackers.next_steps import next_steps


def bred() -> History:
    """Trial 0 has 2 and 4; trial 1 starts from what it had with 2, fails once, and goes on."""
    history = opened(spec_of(SPACES["one float"], resource=Resource("epochs", 6, resume="always")))
    history = with_fate(proposed(history, [Proposal({"x": 1.0}, 2)]), 0, "completed", 0.5)
    history = proposed(history, [Proposal({"x": 2.0}, 4, start_from=0)])
    history = with_fate(proposed(history, [Proposal({"x": 1.0}, 4, carry_on=0, keep=True)]), 0, "completed", 0.4)
    history = with_fate(with_fate(history, 1, "retried"), 1, "completed", 0.3)
    return proposed(history, [Proposal({"x": 3.0}, 6, carry_on=1)])


def test_the_runs_that_led_to_a_trial() -> None:
    history = bred()
    runs = [(r.trial, r.attempt, r.start, r.end, r.params["x"], r.losses) for r in schedule(history, history.trials[1])]
    assert runs == [(0, 1, 0, 2, 1.0, (0.5,)), (1, 2, 2, 4, 2.0, (0.3,)), (1, 3, 4, 6, 3.0, ())]
    own = [(r.start, r.end) for r in schedule(history, history.trials[0])]
    assert own == [(0, 2), (2, 4)] and not has_schedule(history, history.trials[0])
    assert has_schedule(history, history.trials[1])


def test_a_best_trial_whose_values_have_changed_is_replayed_and_not_only_its_last_values() -> None:
    history = bred()
    assert any(text == "hpo-engine replay x/s 1" for text, _ in next_steps(history, "x/s"))
    assert f"  {LAST_VALUES}" in lines.summary(history, 0.0, "x/s", ())


def test_json_has_it_where_values_have_changed() -> None:
    history = bred()
    assert "schedule" not in trial_object(history, history.trials[0])
    found = json.loads(json.dumps(trial_object(history, history.trials[1])))["schedule"]
    assert [(run["from"], run["to"], run["value"], run["params"]) for run in found] == [
        (0, 2, 0.5, {"x": 1.0}), (2, 4, 0.3, {"x": 2.0}), (4, 6, None, {"x": 3.0}),
    ]  # fmt: skip


def test_others_start_from_what_a_trial_had_as_long_as_it_is_there() -> None:
    history = bred()
    assert history.trials[0].startable == 2, "its latest result"
    going = proposed(history, [Proposal({"x": 1.0}, 6, carry_on=0)]).trials[0]
    assert going.startable is None
    kept = proposed(history, [Proposal({"x": 1.0}, 6, carry_on=0, keep=True)]).trials[0]
    assert kept.startable == 2 and kept.kept == (1, 2)
