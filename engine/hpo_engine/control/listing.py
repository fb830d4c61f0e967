"""The studies in a folder, in short, also those whose logs cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from hpo_engine.errors import JournalError

if TYPE_CHECKING:
    from hpo_engine.store.summary import Summary


class Listed(NamedTuple):
    """`state`: as `state_word`, or unreadable; then `summary` is None, and `problem` says why."""

    name: str
    folder: str
    state: str
    summary: Summary | None
    problem: str = ""


def studies_in(root: str) -> Iterator[Listed]:
    """Those in the folder, by name."""
    from hpo_engine.contract.paths import studies
    from hpo_engine.reports.objects import state_word
    from hpo_engine.store.journal import read_summary
    from hpo_engine.store.lock import who_leads

    for paths in studies(root):
        name = os.path.basename(paths.root)
        try:
            found = read_summary(paths.db)
        except JournalError as error:
            yield Listed(name, paths.root, "unreadable", None, str(error))
            continue
        yield Listed(name, paths.root, state_word(found.state, who_leads(paths.lock) is not None), found)


def listed_object(one: Listed) -> dict[str, Any]:
    """What `list --json` says of it."""
    known = {"study": one.name, "state": one.state}
    found = one.summary
    if found is None:
        return {**known, "error": one.problem, "folder": one.folder}
    best = None if found.best is None else {"trial": found.best[0], "value": found.best[1]}
    several = {"front": found.front} if len(found.metrics) > 1 else {}
    return {
        **known, "best": best, **several, "counts": found.counts, "trials": found.total, "runs": found.runs,
        "algorithm": found.algorithm, "last_at": found.last_at, "folder": one.folder,
    }  # fmt: skip
