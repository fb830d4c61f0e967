"""Options of rules that are numbers for each objective."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_engine.study.spec import StudySpec


def per_objective(value: float | Sequence[float], spec: StudySpec, option: str) -> tuple[float, ...]:
    """One number for each objective, in their order. Raises ValueError if there are fewer or more."""
    values = (float(value),) if isinstance(value, (int, float)) else tuple(map(float, value))
    if len(values) != len(spec.objectives):
        names = ", ".join(aim.metric for aim in spec.objectives)
        raise ValueError(f"{option} must be a list of {len(spec.objectives)} numbers, one for each of {names}")
    return values
