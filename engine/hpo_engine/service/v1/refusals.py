"""What is refused before a route is reached, in the form that all errors of the API have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hpo_engine.errors import Problem

_MOST = 20


def problems_of(errors: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Pydantic's errors as problems: the path is that of the field, without the place it was in (body, query)."""
    found = []
    for error in errors:
        where = [str(part) for part in error.get("loc", ()) if part not in ("body", "query", "path", "header")]
        found.append(Problem(".".join(where), str(error.get("msg", "is wrong"))))
    return found[:_MOST]
