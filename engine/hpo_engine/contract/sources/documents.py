"""One JSON document, which the script writes anew with each report or once in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo_engine.contract.paths import RESULT
from hpo_engine.contract.sources.files import WholeFile
from hpo_engine.contract.sources.found import FoundFile
from hpo_engine.contract.sources.interface import MetricSource, TrialFiles
from hpo_engine.contract.sources.jsontext import load
from hpo_engine.contract.sources.named import DEEPEST, STEP, StepNames, flat, number_of
from hpo_engine.contract.sources.numbers import counted_by
from hpo_engine.contract.sources.oneof import OneOfFound
from hpo_engine.errors import ContractError
from hpo_engine.plugins.card import Card, Option
from hpo_engine.study.objective import Row
from hpo_engine.study.rows import same_rows
from hpo_engine.system.files import safe_read

_FILES = ("**/*history*.json", "**/*metrics*.json", "**/*results*.json", "**/*.json")
_NOT = frozenset((RESULT, "trainer_state.json"))  # other sources read these


class Json(OneOfFound):
    """The file of the trial that is a JSON document with the study's metrics."""

    card = Card(
        "a JSON file that the script writes anew: a list of objects, an object of lists, or an object of numbers",
        options={
            "file": Option(
                "the file, or a pattern such as **/history.json, in RESULT_DIR or LOG_DIR; default: any .json that has "
                "a metric of the study", str, "",
            ),
            "step": STEP,
        },
    )  # fmt: skip

    def __init__(self, trial: TrialFiles, *, file: str = "", step: str = "") -> None:
        super().__init__(trial, file, _FILES, "JSON file", _NOT)
        self._step = step

    def reader(self, file: FoundFile) -> MetricSource:
        return JsonFile(self._trial, file, self._step)


class JsonFile(WholeFile):
    """Rows that the script's own folder had in the file, and that the script has put its own behind, do not count."""

    def __init__(self, trial: TrialFiles, file: FoundFile, step: str = "") -> None:
        super().__init__(trial, file.name, file.top, file.called)
        self._trial, self._file, self._steps = trial, file, StepNames(step, trial.named)
        self._earlier: Sequence[Row] | None = None

    def parse(self, data: bytes) -> tuple[Sequence[Row], Mapping[str, str]]:
        if self._earlier is None:
            self._earlier = self._rows_of_frozen()
        rows = self._rows(data)
        count = len(self._earlier)
        return rows[count if 0 < count < len(rows) and same_rows(self._earlier, rows[:count]) else 0 :], {}

    def steps(self) -> str:
        return counted_by(self._steps.name)

    def _rows(self, data: bytes) -> Sequence[Row]:
        self._steps.begin()
        objects = objects_of(load(data, self._name))
        return [row for found in objects if (row := self._steps.row(found)) is not None]

    def _rows_of_frozen(self) -> Sequence[Row]:
        if self._file.top != self._trial.paths.result_dir:
            return ()
        folder, _, name = f"{self._trial.paths.study.model}/{self._file.name}".rpartition("/")
        try:
            return self._rows(safe_read(folder, name))
        except (ContractError, OSError):
            return ()


def objects_of(found: Any) -> Iterator[Mapping[str, float]]:
    """The rows of a document, as names and numbers.

    A list of objects is a row each. In an object, lists of numbers are columns, as of Keras' `history`, and so are
    objects whose keys are all numbers, as pandas writes them; numbers beside them belong to the last row. An object of
    nothing but rows under numbers (`{"1": {"loss": 0.5}}`) has the steps there, one with a single list of objects is
    that list, and any other is one row. What is nested has dotted names.
    """
    if type(found) is list:
        yield from [flat(entry) for entry in found if type(entry) is dict]
    elif type(found) is not dict or not found:
        return
    elif _is_numbered(found) and all(type(value) is dict for value in found.values()):
        yield from [{"step": float(key), **flat(entry)} for key, entry in found.items()]
    elif len(lists := [value for value in found.values() if _is_rows(value)]) == 1:
        yield from objects_of(lists[0])
    else:
        leaves = list(_leaves(found, "", DEEPEST))
        yield from _rows(
            {name: value for name, value in leaves if type(value) is list},
            flat({name: value for name, value in leaves if type(value) is not list}),
        )


def _rows(columns: Mapping[str, Sequence[Any]], single: Mapping[str, float]) -> Iterator[Mapping[str, float]]:
    length = max(map(len, columns.values()), default=0)
    for index in range(length):
        row = flat({name: values[index] for name, values in columns.items() if index < len(values)})
        yield {**single, **row} if index == length - 1 else row
    if not length:
        yield single


def _leaves(found: Mapping[str, Any], prefix: str, levels: int) -> Iterator[tuple[str, Any]]:
    """Everything in an object, and in objects in it, that is no object; one with numbers for keys counts as a list."""
    for name, value in found.items():
        if type(value) is not dict:
            yield prefix + name, value
        elif _is_numbered(value):
            yield prefix + name, list(value.values())
        elif levels:
            yield from _leaves(value, f"{prefix}{name}.", levels - 1)


def _is_numbered(found: Mapping[str, Any]) -> bool:
    return bool(found) and all(number_of(key) is not None for key in found)


def _is_rows(value: Any) -> bool:
    return type(value) is list and bool(value) and all(type(item) is dict for item in value)
