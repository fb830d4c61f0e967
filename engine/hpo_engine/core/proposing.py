"""New trials from the searcher's answers: when to ask, which answers still apply, what an error means.

Knows no executor, only how many trials can start.
"""

from __future__ import annotations

import json
import logging
import operator
import reprlib
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from hpo_engine.core.ports import Searcher, no_more
from hpo_engine.core.queue import TrialQueue
from hpo_engine.core.recorder import Recorder
from hpo_engine.core.searcher_thread import Answer, Ask, Asker
from hpo_engine.errors import EngineError, SearcherError
from hpo_engine.failpoints import failpoint
from hpo_engine.plugins.raised import described
from hpo_engine.study.events import TrialCarriedOn, TrialProposed
from hpo_engine.study.history import History
from hpo_engine.study.spec import Params
from hpo_engine.study.trial import Proposal, Queued, TrialState

_log = logging.getLogger(__name__)

_PATIENCE_S = 0.005  # waiting this long for an answer may save a turn


class Proposer:
    """`exhausted`: the searcher has nothing more to propose, or no trial that it could propose is allowed.

    Args:
        asker: makes what asks the queue and the searcher.
    """

    def __init__(self, recorder: Recorder, searcher: Searcher, asker: Callable[[Ask], Asker]) -> None:
        self._recorder, self._searcher = recorder, searcher
        self._queue = TrialQueue(recorder.history.spec, searcher)
        self._asker = asker(self._queue.ask)
        self._nothing_at: History | None = None  # the history for which the searcher had nothing to propose
        self._silent = False

    @property
    def exhausted(self) -> bool:
        return self._silent or no_more(self._recorder.history, self._searcher.traits)

    def propose(self, free: int, now: float) -> list[int]:
        """Takes queued configurations first, then an answer that has arrived, or asks. Returns the new trials.

        Raises:
            SearcherError: the searcher failed, or its proposal is not valid for the study.
        """
        if self.exhausted:
            return []
        history = self._recorder.history
        queued = self._queue.ready(history, min(free, _room(history.trials_left, history.runs_left)))
        ids = [self._new_trial(proposal, now) for proposal in queued]
        return ids + self._answered(free - len(ids), now)

    def _answered(self, free: int, now: float) -> list[int]:
        answer, wanted = self._asker.take(), self._wanted(free)
        # The same history has the same answer: after an empty one, ask again only when something has happened.
        if answer is None and not self._asker.busy and wanted > 0 and self._nothing_at is not self._recorder.history:
            self._asker.ask(self._recorder.history, wanted)
            answer = self._asker.take(_PATIENCE_S)
        if answer is None or answer.history.next_id != self._recorder.history.next_id:
            return []
        stale = answer.history is not self._recorder.history
        ids = self._accept(answer, wanted, now)
        if stale and (left := self._wanted(free - len(ids))) > 0 and not self.exhausted:
            self._asker.ask(self._recorder.history, left)  # the history has changed meanwhile
        return ids

    @property
    def waits(self) -> bool:
        """Whether the searcher had nothing to propose for the present history: it waits for something to happen."""
        return self._nothing_at is self._recorder.history

    @property
    def wanted(self) -> int:
        """How many new trials may be proposed now, regardless of free slots."""
        searching = not self.exhausted and self._nothing_at is not self._recorder.history
        return self._wanted(sys.maxsize) if searching else 0

    @property
    def may_be_asked(self) -> bool:
        """Whether the searcher is idle: it gets one call at a time, and an answer on its way is to be taken first."""
        return not self._asker.busy

    def promotable(self) -> Collection[int] | None:
        """See `Searcher.promotable`; call it while the searcher `may_be_asked`."""
        try:
            return self._searcher.promotable(self._recorder.history)
        except Exception:  # then nothing is deleted; a searcher that is broken fails its next ask
            _log.debug("the searcher's `promotable` raised", exc_info=True)
            return None

    def why_over(self) -> str:
        """The searcher's own reason why it has nothing more to propose; "" if it gives none."""
        try:
            return self._queue.over(self._recorder.history)
        except Exception:
            _log.debug("the searcher's `over` raised", exc_info=True)
            return ""

    def close(self) -> None:
        self._asker.close()
        try:
            self._searcher.close()
        except Exception:  # a searcher that is broken must not keep the engine from ending
            _log.debug("the searcher's `close` raised", exc_info=True)

    def _wanted(self, free: int) -> int:
        """How many proposals can be used now."""
        history, traits = self._recorder.history, self._searcher.traits
        promotes = traits.rations or traits.carries_on
        return min(free, _room(None if promotes else history.trials_left, history.runs_left))

    def _accept(self, answer: Answer, wanted: int, now: float) -> list[int]:
        """Turns the answer into at most `wanted` trials."""
        if answer.error is not None:
            raise self._failed(answer.error) from answer.error
        new, proposals = _room(self._recorder.history.trials_left), [self._sound(p) for p in answer.proposals]
        usable = [p for p in proposals if not p.begins or (new := new - 1) >= 0]
        if not usable:
            # An empty answer is final only if no trial was open; otherwise it means "wait".
            self._nothing_at, self._silent = answer.history, not answer.history.open_ids
        return [
            self._new_trial(p, now) if p.carry_on is None else self._carry_on(p, p.carry_on, now)
            for p in usable[: max(0, wanted)]
        ]

    def _new_trial(self, proposal: Proposal, now: float) -> int:
        history = self._recorder.history
        self._check_source(proposal, proposal.start_from, "start from")
        resource = history.spec.full_resource if proposal.resource is None else proposal.resource
        params = self._params(proposal)
        queued = None if proposal.queued is None else proposal.queued.number
        if queued is not None and all(entry.number != queued for entry in history.queue):
            raise self._wrong("queued", proposal.queued, "is not in the queue")
        self._recorder.record(
            TrialProposed(
                now,
                history.next_id,
                params,
                resource,
                proposal.note,
                proposal.start_from,
                proposal.repeats,
                queued,
                proposal.replaces,
            )  # fmt: skip
        )
        failpoint("trial.proposed")
        return history.next_id

    def _carry_on(self, proposal: Proposal, trial_id: int, now: float) -> int:
        history = self._recorder.history
        self._check_source(proposal, trial_id, "carry on")
        resource = history.spec.full_resource if proposal.resource is None else proposal.resource
        trained = history.trials[trial_id].trained
        if resource is None or resource <= trained:
            raise SearcherError(
                f"{self._title} cannot carry on trial {trial_id} to resource {resource}: it has had {trained}"
            )
        keep = True if proposal.keep else None
        self._recorder.record(TrialCarriedOn(now, trial_id, self._params(proposal), resource, proposal.note, keep))
        failpoint("trial.carried-on")
        return trial_id

    def _sound(self, proposal: Any) -> Proposal:
        """The proposal, with its numbers as plain ints. Raises SearcherError if a field is invalid."""
        if not isinstance(proposal, Proposal):
            raise SearcherError(f"{self._title} proposed {_shown(proposal)}, which is not a Proposal")
        history, numbers = self._recorder.history, dict[str, int]()
        for name in ("resource", "carry_on", "start_from", "repeats", "replaces"):
            if (value := getattr(proposal, name)) is not None:
                numbers[name] = self._whole(name, value)
        if (amount := numbers.get("resource")) is not None:
            if (limits := history.spec.resource) is None:
                raise self._wrong("resource", amount, "the study has no resource")
            if not 1 <= amount <= limits.max:
                raise self._wrong("resource", amount, f"must be from 1 to {limits.max}")
        for name in ("repeats", "replaces"):
            if name in numbers and numbers[name] not in range(history.next_id):
                raise self._wrong(name, numbers[name], "there is no such trial")
        if "replaces" in numbers and not history.trials[numbers["replaces"]].state.ended:
            raise self._wrong("replaces", numbers["replaces"], "it has not ended")
        if not isinstance(proposal.keep, bool):
            raise self._wrong("keep", proposal.keep, "must be true or false")
        if proposal.queued is not None and not isinstance(proposal.queued, Queued):
            raise self._wrong("queued", proposal.queued, "is set by the engine only")
        if proposal.note is not None:
            self._check_note(proposal.note)
        same = all(type(getattr(proposal, name)) is int for name in numbers)
        return proposal if same else replace(proposal, **numbers)  # type: ignore[arg-type]

    def _whole(self, name: str, value: Any) -> int:
        try:
            if not isinstance(value, bool):
                return operator.index(value)
        except Exception:
            _log.debug("not a whole number", exc_info=True)
        raise self._wrong(name, value, "must be a whole number")

    def _check_note(self, note: Any) -> None:
        try:
            if isinstance(note, Mapping):
                json.dumps(note, allow_nan=False)
                return
        except Exception as error:  # whatever its values raise
            raise self._wrong("note", note, f"has no JSON form ({' '.join(str(error).split())})") from None
        raise self._wrong("note", note, "must be a mapping of JSON values")

    def _wrong(self, name: str, value: Any, why: str) -> SearcherError:
        return SearcherError(
            f"{self._title} proposed {name} {_shown(value)} for trial {self._recorder.history.next_id}: {why}"
        )

    def _params(self, proposal: Proposal) -> Params:
        spec = self._recorder.history.spec
        problem = spec.space.problem_with(proposal.params)
        if problem and proposal.params not in spec.experiments:  # fixed experiments may leave the space
            raise SearcherError(f"{self._title} proposed a configuration outside the space: {problem}")
        return spec.space.tidied(proposal.params)

    def _check_source(self, proposal: Proposal, trial_id: int | None, what: str) -> None:
        """Raises SearcherError unless the trial that the proposal continues from is COMPLETED."""
        if trial_id is None:
            return
        history = self._recorder.history
        if proposal.carry_on is not None and proposal.start_from is not None:
            raise SearcherError(f"{self._title} proposed to carry on one trial and to start from another at once")
        if trial_id not in range(history.next_id):
            raise SearcherError(f"{self._title} proposed to {what} trial {trial_id}, which does not exist")
        trial = history.trials[trial_id]
        ready = trial.startable is not None if proposal.carry_on is None else trial.state is TrialState.COMPLETED
        if not ready:
            raise SearcherError(f"{self._title} proposed to {what} trial {trial_id}, which is {trial.state.value}")

    def _failed(self, error: BaseException) -> SearcherError:
        if isinstance(error, EngineError):
            return SearcherError(str(error))
        _log.debug("the searcher raised", exc_info=error)
        return SearcherError(f"{self._title} failed at trial {self._recorder.history.next_id}: {described(error)}")

    @property
    def _title(self) -> str:
        return self._searcher.traits.title or type(self._searcher).__name__


def _room(*limits: int | None) -> int:
    """The least of the limits; None: none."""
    return min([sys.maxsize if limit is None else limit for limit in limits])


def _shown(value: Any) -> str:
    """In one short line."""
    return " ".join(reprlib.repr(value).split())
