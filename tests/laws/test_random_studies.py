"""Whatever the space and the history: a proposal inside the space, and no exception."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpo_engine import assembly
from hpo_engine.testing.searchers import is_plain
from tests.support.random_studies import ALGORITHMS, case, study_of


def check(k: int, algorithm: str) -> None:
    spec, history = case(k)
    spec = study_of(spec, algorithm)
    searcher = assembly.searcher(spec)
    proposals = searcher.ask(replace(history, spec=spec), 1 + k % 3)
    for proposal in proposals:
        problem = spec.space.problem_with(proposal.params)
        assert problem is None, f"case {k}, {algorithm}: {problem}"
        assert is_plain(dict(proposal.params)), f"case {k}, {algorithm}: {proposal.params}"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_slice(algorithm: str) -> None:
    for k in range(ALGORITHMS.index(algorithm), 15 * len(ALGORITHMS), len(ALGORITHMS)):
        check(k, algorithm)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_ten_thousand(algorithm: str) -> None:
    for k in range(ALGORITHMS.index(algorithm), 10_000, len(ALGORITHMS)):
        check(k, algorithm)
