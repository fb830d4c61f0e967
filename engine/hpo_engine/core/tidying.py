"""Checkpoints that no trial needs any more are deleted while those of the study take up more than they may.

What is deleted follows from the history and from `Searcher.promotable` alone, and is in the log before it is done:
after a crash the next engine does it again, which changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from hpo_engine.core.ports import Workspace
from hpo_engine.core.proposing import Proposer
from hpo_engine.core.recorder import Recorder
from hpo_engine.failpoints import failpoint
from hpo_engine.study.events import CheckpointsDeleted
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial
from hpo_engine.text.tables import size_text

_log = logging.getLogger(__name__)


class Tidying:
    """Keeps a study's checkpoints within `checkpoints: {disk: ...}`."""

    def __init__(self, recorder: Recorder, proposer: Proposer, workspace: Workspace) -> None:
        self._recorder, self._proposer, self._workspace = recorder, proposer, workspace
        self._looked_at: tuple[int, int] | None = None  # the trials that had ended then, and the limit
        self._warned = False

    def again(self) -> None:
        """Deletes what an earlier engine was about to delete."""
        for trial in self._recorder.history.trials:
            if trial.cleared:
                self._workspace.delete_checkpoints(trial)

    def tidy(self, now: float) -> None:
        """Deletes what has to be deleted now; call it when everything is committed."""
        history = self._recorder.history
        limit, ended = history.spec.checkpoints.disk_bytes, history.ended_count
        if limit is None or (ended, limit) == self._looked_at or taken_up(history) <= limit:
            return
        if not self._proposer.may_be_asked:
            return  # the next turn comes soon
        promotable = self._proposer.promotable()
        self._looked_at = ended, limit
        chosen = to_delete(history, promotable, limit)
        for trial in chosen:
            self._recorder.record(CheckpointsDeleted(now, trial.id, trial.checkpoint_bytes))
        self._recorder.commit()
        failpoint("checkpoints.deletion-recorded")
        for trial in chosen:
            self._workspace.delete_checkpoints(trial)
            failpoint("checkpoints.deleted")
        self._warn_if_all_are_needed(limit)

    def _warn_if_all_are_needed(self, limit: int) -> None:
        if self._warned or (left := taken_up(self._recorder.history)) <= limit:
            return
        self._warned = True
        _log.warning(
            "the study's checkpoints take up %s, more than `checkpoints` in the study file allows; all of them stay, "
            "as their trials run, may still be promoted, or are among the best",
            size_text(left),
        )


def taken_up(history: History) -> int:
    """What the checkpoints of trials that have ended take up, in bytes."""
    return sum([trial.checkpoint_bytes for trial in history.trials])


def to_delete(history: History, promotable: Collection[int] | None, limit: int) -> list[Trial]:
    """The trials whose checkpoints go, so that those that stay take up at most `limit` bytes as far as that can be.

    First those of trials that have no result, then the worst ones, of equal ones the latest. Never those of the best,
    of promoted trials that have had all of the resource, of trials that have not ended or may still be promoted, and of
    those that such a trial starts from.

    Args:
        promotable: see `Searcher.promotable`.
    """
    with_result = [trial.id for trial in history.trials if trial.results]
    starting = {trial.origin.trial for trial in history.open if trial.origin is not None}
    winners = _winners(history)
    needed = {*history.front_ids, *history.open_ids, *starting, *winners}
    needed |= {*(with_result if promotable is None else promotable)}
    over = taken_up(history) - limit
    out: list[Trial] = []
    for trial in sorted([t for t in history.trials if t.checkpoint_bytes and t.id not in needed], key=_worst_first):
        if over <= 0:
            break
        out.append(trial)
        over -= trial.checkpoint_bytes
    return out


def _winners(history: History) -> list[int]:
    """The trials that have had all of the resource, if others have had less."""
    full, with_result = history.spec.full_resource, [trial for trial in history.trials if trial.results]
    rationed = any(trial.trained != full for trial in with_result)
    return [trial.id for trial in with_result if rationed and trial.trained == full]


def _worst_first(trial: Trial) -> tuple[bool, int, float, int]:
    """Losses compare at equal resource only: those that have had less of it go first."""
    return bool(trial.results), trial.trained, -(trial.loss or 0.0), -trial.id
