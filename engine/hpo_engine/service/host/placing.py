"""Makes the folder of a submitted study, once: runs in the process that then becomes the study's engine."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.errors import EngineError, JournalError, StudyExists

if TYPE_CHECKING:
    from hpo_engine.service.places import ServicePaths


def place(root: str, number: int) -> StudyPaths:
    """Makes the folder of the submission with this id, unless it is there already.

    Raises:
        EngineError: it cannot be made; nothing of it is there. LookupError: there is no such submission.
    """
    from hpo_engine.service.places import ServicePaths

    name, owner, created, file, script, kept, text, model = _submission(ServicePaths(root), number)
    paths = StudyPaths(os.path.join(root, name))
    if not is_placed(paths, created):
        _made(paths, owner, created, file, script, kept, text, model)
    return paths


def is_placed(paths: StudyPaths, created: float) -> bool:
    """Whether the study's folder is the one of the submission that was taken in at that moment: its log begins then."""
    from hpo_engine.store.journal import read_glance

    if not os.path.lexists(paths.db):
        return False
    try:
        return read_glance(paths.db).opened_at == created
    except JournalError:
        return False


def _made(
    paths: StudyPaths, owner: str, created: float, file: str, script: str, kept: str, text: str, model: bytes | None
) -> None:
    from hpo_engine.control import submitting
    from hpo_engine.service.intake.spool import Spool
    from hpo_engine.service.places import ServicePaths
    from hpo_engine.service.records.uploads import Uploads, read, spec_of

    root, name = os.path.split(paths.root)
    places = ServicePaths(root)
    with Uploads(places, Spool(places.spool)).held(kept, model, script) as folder:
        spec, source = spec_of(read(text, file), text, root, folder, user=owner or None, name=name, apart=True)
        spec = replace(spec, name=name)
        new = submitting.created(spec, source, paths, _noted, passing=folder is not None, now=created)
    if not new and not is_placed(paths, created):
        raise StudyExists(f"{paths.root} was made by somebody else before the study could begin; submit it anew")


def _noted(text: str) -> None:
    print(f"hpo-engine: note: {text}", file=sys.stderr, flush=True)


def _submission(places: ServicePaths, number: int) -> Any:
    import contextlib

    from hpo_engine.store.database import connect

    query = "SELECT name, owner, created, file, script, kept, text, model FROM submissions WHERE id = ?"
    with contextlib.closing(connect(places.db)) as db:
        found = db.execute(query, (number,)).fetchone()
    if found is None:
        raise EngineError(f"submission {number} is not there any more")
    return found
