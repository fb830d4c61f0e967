"""A searcher of our own protocol in a process of its own: the same questions, and the same answers, over a pipe.

The process keeps the history and is sent what has changed of it. What goes there is pickled, as that is ours; what
comes back is JSON, and is checked as any searcher's proposals are.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from hpo_engine.errors import Problem, SearcherError, SpecError
from hpo_engine.isolation.home import Home, environment
from hpo_engine.isolation.process import Process, ProcessGone
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Proposal

_log = logging.getLogger(__name__)

_HOST = "hpo_engine.assembly.hosting:Host"
_BRIEF_S = 10.0  # for questions that the loop waits for
_FIELDS = tuple(field.name for field in fields(History) if field.name not in ("spec", "trials"))
_PROPOSED = tuple(field.name for field in fields(Proposal) if field.name != "queued")


class IsolatedSearcher(Searcher):
    """The searcher that the study names, which is made in a new process at once.

    Raises:
        SpecError: as the searcher does, or as it would be raised in this process.
    """

    def __init__(self, spec: StudySpec, home: Home | None = None) -> None:
        assert spec.isolation is not None
        self._spec, self._limit_s, self._home = spec, spec.isolation.call_limit_s, home or Home()
        self._closed = False
        try:
            about = self._start()
        except SearcherError as error:
            raise SpecError([Problem("algorithm", f"{spec.algorithm.name} cannot be made: {error}")]) from error
        self.traits = Traits(**about["traits"])
        self._about, self._planned = str(about["about"]), str(about["planned"])
        self._runs = {int(resource): int(runs) for resource, runs in about["planned_runs"]}

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        return self._proposals("ask", history, count)

    def promote_waiting(self, history: History, count: int) -> Sequence[Proposal]:
        return self._proposals("promote_waiting", history, count)

    def over(self, history: History) -> str:
        return str(self._answer("over", history, 0, min(self._limit_s, _BRIEF_S)))

    def about(self) -> str:
        return self._about

    def promotable(self, history: History) -> Collection[int] | None:
        found = self._answer("promotable", history, 0, min(self._limit_s, _BRIEF_S))
        return None if found is None else [int(number) for number in found]

    def planned(self) -> str:
        return self._planned

    def planned_runs(self) -> Mapping[int, int]:
        return self._runs

    def close(self) -> None:
        self._closed = True
        self._process.close()

    # -- the process ---------------------------------------------------------------------------------------------------

    def _proposals(self, what: str, history: History, count: int) -> list[Proposal]:
        answer = self._answer(what, history, count, self._limit_s)
        try:
            return [Proposal(**dict(zip(_PROPOSED, values, strict=True))) for values in answer]
        except (TypeError, ValueError):
            raise self._failed(history, "an answer that is no list of proposals") from None

    def _answer(self, what: str, history: History, count: int, limit_s: float) -> Any:
        for again in (False, True):
            try:
                if not self._process.alive and not self._closed:
                    self._start()
                request = {"do": "call", "method": what, "count": count}
                reply, _ = self._process.call(request, self._news(history), limit_s)
                return reply["answer"]
            except ProcessGone as gone:
                if again or self._closed or gone.signal != signal.SIGKILL:
                    raise self._failed(history, str(gone)) from gone
                _log.warning("the process of %s was killed; it is started again", self._spec.algorithm.name)
            except SearcherError as error:
                self._process.close()
                raise self._failed(history, str(error)) from error
            except KeyError:
                raise self._failed(history, "an answer that is no message of ours") from None
        raise AssertionError("not reached")

    def _start(self) -> Any:
        """Makes the searcher in a new process. Returns what it says of itself."""
        self._process = Process(sys.executable, environment(os.environ, sys.executable), self._home.log)
        self._sent: tuple[StudySpec | None, TrialTable] = None, TrialTable()
        request = {"do": "make", "kind": _HOST, "folder": self._spec.model_dir}
        about, _ = self._process.call(request, pickle.dumps(self._spec), self._limit_s)
        if problems := about.get("problems"):
            self._process.close()
            raise SpecError([Problem(*problem) for problem in problems])
        return about

    def _news(self, history: History) -> bytes:
        """What the process does not know of the history yet: `spec` (None: as before), whether to forget the trials
        that it knows, those that are new or different, and all other fields."""
        spec, trials = self._sent
        anew = len(history.trials) < len(trials)
        changed = list(history.trials.changed(TrialTable() if anew else trials))
        self._sent = history.spec, history.trials
        rest = {name: getattr(history, name) for name in _FIELDS}
        return pickle.dumps((None if history.spec is spec else history.spec, anew, changed, rest))

    def _failed(self, history: History, why: str) -> SearcherError:
        more = f"; more in {self._home.log}" if self._home.log else ""
        title = self.traits.title or self._spec.algorithm.name
        return SearcherError(f"{title} failed at trial {history.next_id}: {why}{more}")
