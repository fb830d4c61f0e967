"""Study specs as tests compare them."""

from __future__ import annotations

from typing import Any

from hpo_engine.study.spec import StudySpec


def fact(spec: StudySpec, name: str) -> Any:
    """A field of the spec; `algorithm` is the algorithm's name, and `options` are its options."""
    return {**vars(spec), "algorithm": spec.algorithm.name, "options": spec.algorithm.options}[name]
