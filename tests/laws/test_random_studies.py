"""Whatever the space and the history: a proposal inside the space, and no exception."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpo_engine import assembly
from hpo_engine.study.spec import StudySpec
from tests.laws.random_studies import case
from tests.laws.searcher_laws import is_plain

ALGORITHMS = [name for name in assembly.SEARCHERS if name not in ("optuna", "grid")]
NEED_A_RESOURCE = ("hyperband", "asha", "bohb")


def check(k: int, algorithm: str) -> None:
    spec, history = case(k)
    spec = study_of(spec, algorithm)
    searcher = assembly.searcher(spec)
    proposals = searcher.ask(replace(history, spec=spec), 1 + k % 3)
    for proposal in proposals:
        problem = spec.space.problem_with(proposal.params)
        assert problem is None, f"case {k}, {algorithm}: {problem}"
        assert is_plain(dict(proposal.params)), f"case {k}, {algorithm}: {proposal.params}"


def study_of(spec: StudySpec, algorithm: str) -> StudySpec:
    needs = {"resource_name": "epochs", "resource_max": 9} if algorithm in NEED_A_RESOURCE else {}
    return replace(spec, algorithm=algorithm, **needs)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_slice(algorithm: str) -> None:
    for k in range(ALGORITHMS.index(algorithm), 40 * len(ALGORITHMS), len(ALGORITHMS)):
        check(k, algorithm)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_ten_thousand(algorithm: str) -> None:
    for k in range(ALGORITHMS.index(algorithm), 10_000, len(ALGORITHMS)):
        check(k, algorithm)
