"""The other end of an isolated searcher: runs in its process, makes the searcher, and answers for it."""

from __future__ import annotations

import pickle
from dataclasses import fields
from typing import Any

from hpo_engine.assembly.parts import in_process
from hpo_engine.errors import SpecError
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Proposal
from hpo_engine.study.values import made

_TRAITS = tuple(field.name for field in fields(Traits) if field.name not in ("card", "quick"))
_PROPOSED = tuple(field.name for field in fields(Proposal) if field.name != "queued")


class Host:
    """The searcher of one study, and the history as far as it was sent.

    Args:
        blob: the pickled StudySpec.
    """

    def __init__(self, blob: bytes) -> None:
        self._spec: StudySpec = pickle.loads(blob)  # noqa: S301 (the engine's own)
        self._trials = TrialTable()
        self._searcher: Searcher | None = None
        self._problems: list[list[Any]] = []
        try:
            self._searcher = in_process(self._spec)
        except SpecError as error:
            self._problems = [[problem.path, problem.text] for problem in error.problems]

    def about(self) -> dict[str, Any]:
        """What the engine asks only once."""
        searcher = self._searcher
        if searcher is None:
            return {"problems": self._problems}
        traits = {name: getattr(searcher.traits, name) for name in _TRAITS}
        return {
            "traits": {**traits, "title": traits["title"] or type(searcher).__name__},
            "about": searcher.about(),
            "planned": searcher.planned(),
            "planned_runs": [list(pair) for pair in searcher.planned_runs().items()],
        }

    def do_call(self, request: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes]:
        searcher, history = self._searcher, self._read(blob)
        assert searcher is not None
        if request["method"] == "over":
            return {"answer": searcher.over(history)}, b""
        if request["method"] == "promotable":
            found = searcher.promotable(history)
            return {"answer": None if found is None else [int(number) for number in found]}, b""
        ask = searcher.ask if request["method"] == "ask" else searcher.promote_waiting
        proposals = list(ask(history, request["count"]))
        return {"answer": [[_plain(getattr(p, name)) for name in _PROPOSED] for p in proposals]}, b""

    def _read(self, blob: bytes) -> History:
        spec, anew, trials, rest = pickle.loads(blob)  # noqa: S301 (the engine's own)
        if spec is not None:
            self._spec = spec
        table = TrialTable() if anew else self._trials
        for trial in trials:
            table = table.put(trial)
        self._trials = table
        return made(History, {"spec": self._spec, "trials": table, **rest})


def _plain(value: Any) -> Any:
    """In Python's own types: numpy's scalars have `item`."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    return value.item() if hasattr(value, "item") else value
