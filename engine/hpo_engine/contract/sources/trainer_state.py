"""trainer_state.json: what Hugging Face's Trainer saves with each checkpoint, with all that it has logged so far.

The newest one counts, in whatever folder it is; older checkpoints may be removed meanwhile (`save_total_limit`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo_engine.contract.sources.files import WholeFile
from hpo_engine.contract.sources.found import FoundFile
from hpo_engine.contract.sources.interface import MetricSource, TrialFiles
from hpo_engine.contract.sources.jsontext import load
from hpo_engine.contract.sources.named import flat
from hpo_engine.contract.sources.numbers import counted_by, metric, printable, step
from hpo_engine.contract.sources.oneof import OneOfFound
from hpo_engine.errors import ContractError
from hpo_engine.plugins.card import Card, Option
from hpo_engine.study.objective import Row

STATE = "trainer_state.json"
_COUNTS = ("epoch", "step")


class TrainerState(OneOfFound):
    """A row for each step at which the Trainer has logged; what it has logged for training and for evaluation at the
    same step is one. Epochs count, which may have fractions: steps depend on the size of a batch."""

    card = Card(
        f"{STATE} of Hugging Face's Trainer, with each checkpoint, wherever these are",
        options={"step": Option("what steps are: epoch, or step for the Trainer's own", str, "epoch", words=_COUNTS)},
    )

    def __init__(self, trial: TrialFiles, *, step: str = "epoch") -> None:
        super().__init__(trial, "", (f"**/{STATE}",), STATE)
        self._step = step

    def reader(self, file: FoundFile) -> MetricSource:
        return _StateFile(self._trial, file, self._step)


class _StateFile(WholeFile):
    def __init__(self, trial: TrialFiles, file: FoundFile, count: str) -> None:
        super().__init__(trial, file.name, file.top, file.called)
        self._named, self._count = trial.named, count

    def parse(self, data: bytes) -> tuple[Sequence[Row], Mapping[str, str]]:
        state = load(data, self._name)
        logged = state.get("log_history") if type(state) is dict else None
        if type(logged) is not list:
            raise ContractError(f"{self._name} has no list called log_history")
        return list(self._rows(logged)), {}

    def steps(self) -> str:
        return counted_by(self._count)

    def _rows(self, logged: Sequence[Any]) -> Iterator[Row]:
        """A row for the entries that follow one another and have the same step."""
        values: dict[str, float] = {}
        at: float = 0
        before: float | None = None
        for entry in logged:
            if type(entry) is not dict:
                continue
            number = step(entry.get("step"))
            if values and (number is None or number != before):
                yield Row(at, values)
                values = {}
            before = number
            if not values:
                at = self._at(entry, at)
            values.update({printable(n): metric(v) for n, v in flat(entry).items() if not self._is_count(n)})
        if values:
            yield Row(at, values)

    def _at(self, entry: Mapping[str, Any], before: float) -> float:
        """The step of an entry, in the unit that counts if it has that."""
        for name in (self._count, *_COUNTS):
            if name not in self._named and (found := step(entry.get(name))) is not None:
                return found
        return before + 1

    def _is_count(self, name: str) -> bool:
        return name in _COUNTS and name not in self._named
