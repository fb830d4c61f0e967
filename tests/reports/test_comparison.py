"""Trials and studies side by side: what is in the tables."""

from __future__ import annotations

from typing import Any

from hpo_engine.reports import comparison
from hpo_engine.reports.comparison import Table
from hpo_engine.space.searchspace import Float, SearchSpace
from tests.support.drawn_studies import history_of
from tests.support.results import evaluated


def rows(tables: list[Table], title: str) -> dict[str, tuple[Any, ...]]:
    found = next(table for table in tables if table.title.startswith(title))
    return {name.strip(): cells for name, cells in found.rows}


def test_trials_differ_in_parameters_values_curves_and_files() -> None:
    history = history_of("plain", 12)
    chosen = [trial for trial in history.trials if trial.results][:2]
    files = [frozenset({"model/best.pt", "both"}), frozenset({"both"})]
    tables = comparison.trials(history, chosen, files)
    assert rows(tables, "")["val_loss"] == tuple(f"{history.values(t)[0]:.6g}" for t in chosen)
    assert set(rows(tables, "parameters")) <= set(history.spec.space.names)
    assert rows(tables, "files") == {"model/best.pt": ("yes", "-")}
    steps = rows(tables, "at equal steps")
    last = min(chosen[0].rows[-1].step, chosen[1].rows[-1].step)
    best = [min(row.values["val_loss"] for row in t.rows if row.step <= last) for t in chosen]
    assert steps[f"val_loss up to step {last}"] == tuple(f"{value:.6g}" for value in best)
    assert rows(tables, "runs")["exit"] == ("exit code 0", "exit code 0")
    assert "went on from" not in rows(tables, "runs")


def test_parameters_that_are_the_same_are_counted_not_listed() -> None:
    history = evaluated(SearchSpace((Float("a", 0, 1), Float("b", 2, 2))), lambda p: p["a"], 3)
    tables = comparison.trials(history, history.trials[:2], [frozenset(), frozenset()])
    assert next(t for t in tables if t.title == "parameters that differ (1 the same)").rows[0][0] == "a"
    same = comparison.trials(history, [history.trials[0], history.trials[0]], [frozenset(), frozenset()])
    assert any(table.title == "parameters: all the same" for table in same)


def test_regret_is_the_distance_to_the_best_of_all_studies() -> None:
    space = SearchSpace((Float("x", 0, 1),))
    good, bad = (evaluated(space, lambda p, add=add: p["x"] + add, 20, seed=2) for add in (0.0, 0.5))  # type: ignore[misc]
    tables = comparison.studies(["good", "bad"], [good, bad])
    regrets = rows(tables, "distance of the best loss so far from the best of all, over trials")
    assert regrets["after 20 trials"] == ("0", "0.5")
    assert rows(tables, "distance of the best loss so far from the best of all, over time")
    assert rows(tables, "best")["loss"] == tuple(f"{h.values(h.best)[0]:.6g}" for h in (good, bad) if h.best)


def test_different_objectives_are_not_compared() -> None:
    space = SearchSpace((Float("x", 0, 1),))
    one, two = evaluated(space, lambda p: p["x"], 9), evaluated(space, lambda p: (p["x"], -p["x"]), 9)
    assert not comparison.comparable([one, two])
    assert not any("distance" in table.title for table in comparison.studies(["one", "two"], [one, two]))
