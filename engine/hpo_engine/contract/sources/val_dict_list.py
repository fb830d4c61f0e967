"""val_dict_list.json: a JSON list of objects with numbers, written as a whole. IBM's name, and our scripts' own format.

Tolerant of scripts' habits and of nothing that costs time or memory: any file is read or refused in under a second.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hpo_engine.contract.paths import RESULT
from hpo_engine.contract.sources.files import WholeFile, too_many
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.jsontext import MAX_ENTRIES, load
from hpo_engine.contract.sources.numbers import NUMBERS, STEPS, counted_by, metric, printable, step
from hpo_engine.errors import ContractError
from hpo_engine.plugins.card import Card
from hpo_engine.study.objective import Row
from hpo_engine.text.quoting import quoted


class ValDictList(WholeFile):
    """The file that hpo_trainees.report and WMLA's scripts write."""

    card = Card(f"a JSON list of objects with numbers, {RESULT} in RESULT_DIR, written once or again and again")

    def __init__(self, trial: TrialFiles) -> None:
        super().__init__(trial, RESULT)
        self._named, self._data = trial.named, b""

    def parse(self, data: bytes) -> tuple[Sequence[Row], Mapping[str, str]]:
        self._data = data
        return parse(data, self._named)

    def steps(self) -> str:
        found = load(self._data, RESULT)
        entries = found if isinstance(found, list) else [found]
        first = next(entry for entry in entries if type(entry) is dict)
        name, _ = _step_of(first, [key for key in STEPS if key not in self._named])
        return counted_by(name or "")


def parse(data: bytes, named: Collection[str] = ()) -> tuple[Sequence[Row], Mapping[str, str]]:
    """The rows, and what metrics that are not numbers are instead: {"loss": 'a string "0.3"'}.

    A list of objects, or one object. The step is the first usable of step, steps, epoch, iteration (a number, or a
    number in a string) that is not `named`: a metric that the study names is not a step. A row without one takes the
    step after the row before it, the first takes 1. Every other number is a metric, NaN and infinities too; true,
    strings, null and nested values are not. Entries that are not objects are passed over, unless all are. Of duplicate
    keys the last counts.

    Raises:
        ContractError: empty, torn, not JSON, too deep, too many entries, not a list of objects.
    """
    found = load(data, RESULT)
    entries = found if isinstance(found, list) else [found]
    objects = [e for e in entries if type(e) is dict]
    if entries and not objects:
        raise ContractError(f'{RESULT} holds no objects: write a list such as [{{"step": 1, "loss": 0.3}}]')
    if len(objects) > MAX_ENTRIES:
        raise too_many(RESULT, "entries", len(objects), MAX_ENTRIES)
    escapes = b"\\u" in data
    rows: list[Row] = []
    strange: dict[str, Any] = {}
    before: float = 0  # the step of the row before
    steps = tuple(key for key in STEPS if key not in named)
    for entry in objects:
        key, at = _step_of(entry, steps)
        before = before + 1 if at is None else at
        values = {k: v if type(v) is float else metric(v) for k, v in entry.items() if type(v) in NUMBERS and k != key}
        if len(values) + (key is not None) < len(entry):
            strange.update({k: v for k, v in entry.items() if type(v) not in NUMBERS and k != key})
        rows.append(Row(before, {printable(k): v for k, v in values.items()} if escapes else values))
    return tuple(rows), {printable(k): _describe(v) for k, v in strange.items()}


def _step_of(entry: Mapping[str, Any], steps: Sequence[str]) -> tuple[str | None, float | None]:
    for key in steps:
        if key in entry and (at := step(entry[key])) is not None:
            return key, at
    return None, None


def _describe(value: Any) -> str:
    if isinstance(value, str):
        return f"a string {quoted(value)}"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "an object" if isinstance(value, dict) else "a number"
