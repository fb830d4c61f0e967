"""New trials from the searcher's answers: when to ask, which answers still fit, what a failed one means.

Knows no executor, only how many trials can start.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback

from hpo_engine.core.ports import Searcher
from hpo_engine.core.recorder import Recorder
from hpo_engine.core.searcher_thread import Answer, Asker, InLine
from hpo_engine.errors import EngineError, SearcherError
from hpo_engine.failpoints import failpoint
from hpo_engine.study.events import TrialProposed
from hpo_engine.study.history import History

_log = logging.getLogger(__name__)

_PATIENCE_S = 0.005  # an answer that comes this soon saves a turn


class Proposer:
    """`exhausted`: the searcher has nothing more to propose.

    Args:
        asker: puts questions to the searcher (None: in line, the loop waits for the answer).
    """

    def __init__(self, recorder: Recorder, searcher: Searcher, asker: Asker | None) -> None:
        self._recorder, self._searcher = recorder, searcher
        self._asker: Asker = asker or InLine(lambda history, count: searcher.ask(history, count))
        self._nothing_at: History | None = None  # where the searcher had nothing to propose
        self.exhausted = False

    def propose(self, free: int, now: float) -> list[int]:
        """Takes the answer that has arrived meanwhile, or asks. Returns the new trials, at most `free`.

        Raises:
            SearcherError: the searcher failed, or proposed what the space does not hold.
        """
        if self.exhausted:
            return []
        answer, wanted = self._asker.take(), self._wanted(free)
        # The same history has the same answer: after "nothing" there is no use in asking before something happened.
        if answer is None and not self._asker.busy and wanted > 0 and self._nothing_at is not self._recorder.history:
            self._asker.ask(self._recorder.history, wanted)
            answer = self._asker.take(_PATIENCE_S)
        if answer is None or answer.history.next_id != self._recorder.history.next_id:
            return []
        stale = answer.history is not self._recorder.history
        ids = self._accept(answer, wanted, now)
        left = self._wanted(free - len(ids))
        if stale and left > 0 and not self.exhausted:
            self._asker.ask(self._recorder.history, left)  # something happened while it thought: slots got free, say
        return ids

    @property
    def wanted(self) -> int:
        """How many new trials may be proposed now, if there is room for them."""
        searching = not self.exhausted and self._nothing_at is not self._recorder.history
        return self._wanted(sys.maxsize) if searching else 0

    def why_over(self) -> str:
        """The searcher's own reason for having nothing more to propose, if it gives one."""
        try:
            return self._searcher.over(self._recorder.history)
        except Exception:
            _log.debug("the searcher's `over` raised", exc_info=True)
            return ""

    def close(self) -> None:
        self._asker.close()

    def _wanted(self, free: int) -> int:
        """How many new trials can start now."""
        history = self._recorder.history
        limit = history.spec.budget.trials
        return free if limit is None else min(free, limit - history.next_id)

    def _accept(self, answer: Answer, wanted: int, now: float) -> list[int]:
        """Makes trials of the answer, as many as there is room for now."""
        recorder, spec = self._recorder, self._recorder.history.spec
        if answer.error is not None:
            raise self._failed(answer.error) from answer.error
        if not answer.proposals:
            # "Nothing more" is final only if it was said when nothing was open: else it may mean "wait".
            self._nothing_at, self.exhausted = answer.history, not answer.history.open_ids
        ids = []
        for proposal in answer.proposals[: max(0, wanted)]:
            trial_id = recorder.history.next_id
            problem = spec.space.problem_with(proposal.params)
            if problem and proposal.params not in spec.experiments:  # these are what they are
                raise SearcherError(f"{self._title} proposed what the space does not hold: {problem}")
            resource = spec.full_resource if proposal.resource is None else proposal.resource
            recorder.record(TrialProposed(now, trial_id, spec.space.tidied(proposal.params), resource, proposal.note))
            failpoint("trial.proposed")
            ids.append(trial_id)
        return ids

    def _failed(self, error: BaseException) -> SearcherError:
        if isinstance(error, EngineError):
            return SearcherError(str(error))
        _log.debug("the searcher raised", exc_info=error)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return SearcherError(
            f"{self._title} failed at trial {self._recorder.history.next_id}: {type(error).__name__}: {error} "
            f"({os.path.basename(frame.filename)}:{frame.lineno})"
        )

    @property
    def _title(self) -> str:
        return self._searcher.traits.title or type(self._searcher).__name__
