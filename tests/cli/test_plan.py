"""What `plan` prints of a study whose runs cannot be foreseen."""

from __future__ import annotations

import pytest

from hpo_engine.cli.plan import _lines
from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.study.spec import Budget, Named
from hpo_engine.testing.histories import spec_of

SPACE = SearchSpace((Float("x", 0.0, 1.0),))


@pytest.mark.parametrize(
    ("algorithm", "budget", "words"),
    [
        (
            "mine:Mine",
            Budget(trials=20),
            "at most 20 trials; how they are trained is up to mine:Mine, which is a plugin",
        ),
        ("random", Budget(time_s=60.0), "at most 1m 00s (time_limit); the number of trials is not limited"),
        ("random", Budget(), "no end is set"),
    ],
)
def test_what_is_not_known_is_said_for_its_reason(algorithm: str, budget: Budget, words: str) -> None:
    spec = spec_of(SPACE, algorithm=Named(algorithm), budget=budget)
    assert words in "\n".join(_lines("algo.yaml", spec, None, None, None))
