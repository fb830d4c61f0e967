"""A search plugin written for WMLA, as a searcher: its calls are rebuilt from the history, so it is a function of that.

A plugin is a state machine: what it answers depends on all the calls before. After a restart its process gets back the
state that it left (`saved`), or, if it leaves none, its calls are repeated with what it was told then.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hpo_engine.errors import Problem, SearcherError, SpecError
from hpo_engine.isolation import saved
from hpo_engine.isolation.calls import Call, Recorded, Told, recorded, to_tell
from hpo_engine.isolation.handed import Handed
from hpo_engine.isolation.home import Home, environment
from hpo_engine.isolation.process import Process, ProcessGone
from hpo_engine.isolation.saved import Saved
from hpo_engine.plugins.card import Card
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.space.params import json_text
from hpo_engine.study.history import History
from hpo_engine.study.spec import SearchPlugin, StudySpec
from hpo_engine.study.trial import Proposal, Trial
from hpo_engine.studyfile.common import as_text
from hpo_engine.studyfile.wmla import plugin_result
from hpo_engine.text.quoting import shown

_log = logging.getLogger(__name__)

CARD = Card(
    summary="a search plugin: an optimizer.py with a class PluginOptimizer, as written for WMLA",
    suits="plugins that exist; they run unchanged, in a process of their own",
    cost="that of the plugin",
    open="those of the plugin, as text",
)


class PluginSearcher(Searcher):
    """The plugin of `spec.isolation`. Its process is started when it is first asked; its proposals are never replaced.

    Raises:
        SpecError: the plugin's folder is not there, or the space cannot be handed over.
    """

    traits = Traits(card=CARD, listed=True)

    def __init__(self, spec: StudySpec, home: Home | None = None) -> None:
        assert spec.isolation is not None and spec.isolation.plugin is not None
        self._spec, self._isolation, self._plugin = spec, spec.isolation, spec.isolation.plugin
        self._home = home or Home()
        self._file = f"{self._plugin.folder}/{self._plugin.file}"
        if not os.path.isfile(self._file):
            raise SpecError([Problem("algorithm", f"{spec.algorithm.name}: there is no file {self._file}")])
        self._handed = Handed(spec.space)
        self.traits = Traits(card=CARD, listed=True, title=f"plugin {spec.algorithm.name}")
        self._process: Process | None = None
        self._latest: Saved | None = None  # the last call that the process has had, with its answer
        self._told: set[Told] = set()
        self._closed = False

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        log = recorded(history)
        for again in (False, True):
            try:
                return self._asked(history, log, count)
            except ProcessGone as gone:
                self._drop()
                if again or self._closed or gone.signal != signal.SIGKILL:
                    raise self._failed(history, gone) from gone
                _log.warning("the process of plugin %s was killed; it is started again", self._spec.algorithm.name)
            except SearcherError as error:
                self._drop()
                raise self._failed(history, error) from error
        raise AssertionError("not reached")

    def promotable(self, history: History) -> Collection[int] | None:
        return ()

    def over(self, history: History) -> str:
        latest = self._latest
        if latest is not None and latest.call.given < latest.call.asked:
            return f"plugin {self._spec.algorithm.name} has nothing more to propose"
        return ""

    def why(self, before: History, trial: Trial) -> str:
        note = trial.proposal.note or {}
        if "call" not in note or "nth" not in note:
            return ""
        return f"entry {note['nth'] + 1} of the plugin's answer to call {note['call'] + 1}; why, only the plugin knows"

    def close(self) -> None:
        self._closed = True
        if (process := self._process) is not None:
            process.close()

    # -- calls ---------------------------------------------------------------------------------------------------------

    def _asked(self, history: History, log: Recorded, count: int) -> list[Proposal]:
        latest = self._brought_up(history, log)
        left = latest.answer[log.used :] if latest is not None and latest.call == log.last else ()
        if latest is not None and latest.call.number == len(log.calls):  # its answer is not in the log yet
            left = latest.answer
        if not left and (latest is None or latest.call.given >= latest.call.asked):
            latest = self._called(history, len(log.calls), count)
            left = latest.answer
        if latest is None:
            return []
        first = len(latest.answer) - len(left)
        return [Proposal(dict(p), note=latest.call.note(first + i)) for i, p in enumerate(left[:count])]

    def _called(self, history: History, number: int, count: int) -> Saved:
        """Makes a new call, and keeps what has come of it."""
        told = to_tell(history, self._told)
        answer, state = self._search(history, count, told)
        taken = []
        for found in answer:
            try:
                taken.append(self._handed.taken(found))
            except ValueError as error:
                text = f"its proposal {json_text(found)} is outside the space: {error}"
                raise SearcherError(text) from None
        latest = Saved(Call(number, count, told, len(taken)), tuple(taken), state)
        self._told.update(told)
        if self._home.state:
            try:
                saved.write(self._home.state, latest, history.opened_at)
            except OSError as error:
                raise SearcherError(f"its state cannot be kept: {self._home.state}: {error.strerror}") from error
        self._latest = latest
        return latest

    def _brought_up(self, history: History, log: Recorded) -> Saved | None:
        """The last call there was, with the process as it was after it; None: there was none."""
        if self._process is not None and not self._process.alive:
            _log.warning("the process of plugin %s has ended; it is started again", self._spec.algorithm.name)
            self._drop()
        latest = self._latest
        fits = self._process is not None and (latest is None or latest.fits(log, history))
        if fits and (0 if latest is None else latest.call.number + 1) >= len(log.calls):
            return latest
        self._drop()
        kept = saved.read(self._home.state, history.opened_at) if self._home.state else None
        kept = kept if kept is not None and kept.fits(log, history) else None
        self._start()
        self._latest = self._repeated(history, log, kept)
        known = [*log.calls, *([] if self._latest is None else [self._latest.call])]
        self._told = {told for call in known for told in call.told}
        return self._latest

    def _repeated(self, history: History, log: Recorded, kept: Saved | None) -> Saved | None:
        """Restores what was kept, then repeats the calls after it; all calls, if there is no state to restore."""
        first = 0
        if kept is not None and kept.state and self._restored(kept.state):
            first = kept.call.number + 1
        calls = list(log.calls)
        if kept is not None and kept.call.number == len(calls):
            calls.append(kept.call)
        latest = kept if kept is not None and first else None
        if len(calls) > first:
            _log.info("repeats %d calls of plugin %s", len(calls) - first, self._spec.algorithm.name)
        for call in calls[first:]:
            answer, state = self._search(history, call.asked, call.told)
            if kept is not None and kept.call == call:  # what it answered then counts
                latest = kept
            else:
                latest = Saved(call, self._same(call, answer, history), state)
        return latest

    def _same(self, call: Call, answer: Sequence[Mapping[str, Any]], history: History) -> tuple[dict[str, Any], ...]:
        """A repeated call's answer as it was then; what has not become a trial yet is as the plugin says now."""
        taken: list[dict[str, Any]] = []
        for found in answer[: call.given]:
            try:
                taken.append(self._handed.taken(found))
            except ValueError:
                break
        logged = {
            note["nth"]: dict(trial.params)
            for trial in history.trials
            if (note := trial.proposal.note) is not None and note.get("call") == call.number
        }
        if any(nth >= len(taken) or taken[nth] != params for nth, params in logged.items()):
            name = self._spec.algorithm.name
            _log.warning("plugin %s, asked again, answers otherwise than before: it draws without a seed", name)
        return tuple(logged.get(nth, params) for nth, params in enumerate(taken))

    # -- the process ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        python = self._plugin.python or sys.executable
        self._process = Process(python, environment(os.environ, python), self._home.log)
        request = {
            "do": "make",
            "kind": "wmla",
            "name": self._spec.algorithm.name,
            "folder": self._plugin.folder,
            "file": self._plugin.file,
            "log_level": self._plugin.log_level,
            "seed": self._spec.seed,
            "hyper_parameters": self._handed.entries,
            "options": {name: _as_text(value) for name, value in self._spec.algorithm.options.items()},
        }
        self._request(request)

    def _restored(self, state: bytes) -> bool:
        try:
            self._request({"do": "restore"}, state)
            return True
        except ProcessGone:
            raise
        except SearcherError as error:
            _log.warning("plugin %s could not take its state back (%s)", self._spec.algorithm.name, error)
            self._drop()
            self._start()
            return False

    def _search(self, history: History, count: int, told: Sequence[Told]) -> tuple[list[dict[str, Any]], bytes]:
        results = [_result(history, *each) for each in told]
        reply, state = self._request({"do": "search", "count": count, "results": results or None})
        answer = reply.get("answer")
        if not isinstance(answer, list) or not all(isinstance(each, dict) for each in answer):
            raise SearcherError("an answer that is no list of configurations")
        return answer, state

    def _request(self, request: Mapping[str, Any], blob: bytes = b"") -> tuple[dict[str, Any], bytes]:
        assert self._process is not None
        return self._process.call(request, blob, self._isolation.call_limit_s)

    def _drop(self) -> None:
        if self._process is not None:
            self._process.close()
        self._process, self._latest, self._told = None, None, set()

    def _failed(self, history: History, error: SearcherError) -> SearcherError:
        more = f"; more in {self._home.log}" if self._home.log else ""
        return SearcherError(f"{self.traits.title} failed at trial {history.next_id}: {error}{more}")


def _result(history: History, trial_id: int, attempts: int) -> dict[str, Any]:
    """A trial's end as it was after so many attempts; one that was run again since had failed then."""
    trial = history.trials[trial_id]
    out = plugin_result(history, trial)
    if len(trial.attempts) == attempts and trial.state.ended:
        return out
    return {**out, "state": "FAILED", "metricVal": None, "score": None, "metrics": []}


def _as_text(value: Any) -> str:
    found = as_text(value)
    return json_text(value) if found is None else found


def trial_load(name: str, plugin: SearchPlugin, limit_s: float = 60.0) -> None:
    """Loads the plugin's class in a process, without making one of it. Raises SpecError: it cannot be loaded."""
    python = plugin.python or sys.executable
    request = {"do": "make", "kind": "load", "folder": plugin.folder, "file": plugin.file, "log_level": "", "seed": 0}
    try:
        process = Process(python, environment(os.environ, python))
        try:
            process.call(request, b"", limit_s)
        finally:
            process.close()
    except SearcherError as error:
        raise SpecError([Problem("", f"{shown(name)} cannot be installed: {error}")]) from None
