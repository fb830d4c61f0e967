"""Sobol search: even coverage, and what it costs to import."""

from __future__ import annotations

import subprocess
import sys

from hpo_engine.searchers.sobol import Sobol
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.testing.histories import SPACES, as_text, opened, proposed, spec_of


def test_trials_cover_a_mixed_space_evenly() -> None:
    spec = spec_of(SearchSpace((Float("x", 0, 1), Choice("c", ("a", "b", "c", "d")), Int("n", 1, 8), Constant("k", 0))))
    got = [p.params for p in Sobol(spec).ask(opened(spec), 64)]
    assert all([p["c"] for p in got].count(c) == 16 for c in "abcd")
    assert all([p["n"] for p in got].count(n) == 8 for n in range(1, 9))
    assert sorted(int(p["x"] * 64) for p in got) == list(range(64))


def test_trial_i_is_point_i_however_it_is_asked_for() -> None:
    spec = spec_of(SPACES["conditional"])
    batch = Sobol(spec).ask(opened(spec), 70)
    history = proposed(opened(spec), batch[:66])
    assert as_text(Sobol(spec).ask(history, 4)) == as_text(batch[66:])


def test_space_of_constants_has_no_points_but_trials() -> None:
    spec = spec_of(SearchSpace((Constant("k", 0),)))
    assert [dict(p.params) for p in Sobol(spec).ask(opened(spec), 2)] == [{"k": 0}] * 2


def test_numpy_is_not_imported_before_a_point_is_wanted() -> None:
    code = (
        "import sys, hpo_engine.searchers.sobol, hpo_engine.searchers.random, hpo_engine.searchers.grid;"
        "sys.exit('scipy' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
