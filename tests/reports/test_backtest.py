"""What rules would have saved and lost, in figures and in words."""

from __future__ import annotations

from pathlib import Path

from hpo_engine.reports import backtest
from hpo_engine.reports.backtest import Backtest, saving
from hpo_engine.reports.replay import replay
from hpo_engine.searchers.interface import AskingOnly
from hpo_engine.stoppers import FirstOf, RankStopper, Rule
from hpo_engine.study.events import Event, TrialProposed, fold
from hpo_engine.study.history import History
from hpo_engine.study.spec import Resource
from hpo_engine.study.trial import Proposal, Trial
from tests.support.training import Training

# Of the three, the winner begins worst.
CROSSING = [[1.0, 0.9, 0.8, 0.8], [1.1, 0.95, 0.9, 0.9], [3.0, 2.0, 1.0, 0.1], [1.2, 1.1, 1.0, 1.0]]


class EndsThird(Rule):
    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        return "too slow" if trial.id == 2 and trial.rows else None


def compared(events: list[Event], **rules: Rule) -> Backtest:
    spec = fold(events).spec
    replays = {name: replay(events, spec, FirstOf([rule])) for name, rule in rules.items()}
    return Backtest(replay(events, spec, Rule()), replays, {})


def test_a_lost_winner_is_named_with_the_step_at_which_it_was_ended(tmp_path: Path) -> None:
    events = Training(tmp_path, CROSSING).trained(1, Rule())
    found = compared(events, slow=EndsThird(), none=Rule())
    made = saving(found.before, found.replays["slow"])
    assert (made.steps, made.steps_share, made.wall_s, made.best, made.lost) == (3, 3 / 16, 3.0, (0, 0.8), (2,))
    assert saving(found.before, found.replays["none"]).lost == ()
    text = "\n".join(backtest.lines("study", found, None))
    assert "slow  1 of 4  3 (19%)      3.0 s (19%)  0.8 (trial 0)  lost: 2" in text
    assert "slow loses trial 2 (loss=0.1): ended at step 1: too slow" in text
    one = backtest.as_object("study", found)["rules"][0]
    assert one["ended"] == [{"trial": 2, "reason": "too slow", "step": 1}]
    assert one["lost"] == [2]


def test_steps_that_begin_at_zero_are_counted_as_a_budget_counts_them(tmp_path: Path) -> None:
    bench = Training(tmp_path, CROSSING)
    bench.first_step = 0
    found = compared(bench.trained(1, Rule()), none=Rule())
    assert next(backtest.lines("s", found, None)) == "s: 4 trials, 1 at a time, without rules 16 steps in 16.0 s"


def test_what_is_saved_of_a_resource_has_its_name(tmp_path: Path) -> None:
    found = compared(Training(tmp_path, CROSSING).trained(1, Rule(), Resource("epochs", 4)), none=Rule())
    head, table, *_ = backtest.lines("s", found, None)
    assert "without rules 16 epochs in" in head and "EPOCHS SAVED" in table


def test_an_equal_winner_that_is_left_means_that_none_was_lost(tmp_path: Path) -> None:
    curves = [[1.0, 0.1], [1.0, 0.5], [2.0, 0.1]]
    events = Training(tmp_path, curves).trained(1, Rule())
    found = compared(events, rank=RankStopper(fold(events).spec, min_rivals=1))
    assert set(found.replays["rank"].ended) == {2}
    assert saving(found.before, found.replays["rank"]).lost == ()


class Promotes:
    """Two configurations with one epoch, then the first of them again with three."""

    def ask(self, history: History, count: int) -> list[Proposal]:
        if history.next_id < 2:
            return [Proposal({"x": history.next_id / 2}, 1)]
        first = history.trials[0]
        if history.next_id == 2 and not history.open_ids:
            return [Proposal(first.params, 3, repeats=0)]
        return []


def test_what_was_made_of_a_trial_that_a_rule_ends_would_not_have_run(tmp_path: Path) -> None:
    bench = Training(tmp_path, [[1.0, 0.9], [2.0, 1.0], [0.9, 0.8, 0.7]])
    bench.searcher = AskingOnly(Promotes())
    events = bench.trained(1, Rule(), Resource("epochs", 3))
    assert [e.repeats for e in events if isinstance(e, TrialProposed)] == [None, None, 0]

    class EndsFirst(Rule):
        def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
            return "why not" if trial.id == 0 and trial.rows else None

    found = compared(events, first=EndsFirst())
    after = found.replays["first"]
    assert after.omitted == (2,) and set(after.ended) == {0}
    assert "first loses trial 2 (loss=0.7): it would not have run" in list(backtest.lines("s", found, None))
