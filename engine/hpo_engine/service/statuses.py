"""The HTTP status that tells of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo_engine.errors import EngineError, JournalError, MachineError, NothingYet, SpecError, StudyGone, StudyNotFound
from hpo_engine.service.intake import TooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATUS: Mapping[type[EngineError], int] = {
    TooLarge: 413, SpecError: 400, StudyNotFound: 404, NothingYet: 404, StudyGone: 404, JournalError: 503,
    MachineError: 503,
}  # fmt: skip


def status_of(error: EngineError) -> int:
    """The HTTP status that tells of an error; 409: it cannot be done as things stand."""
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 409)
