"""metrics.csv of Lightning's CSVLogger, its default logger where TensorBoard is not installed.

A row for each call of a logger: of a batch, of a validation, of the means of an epoch, of the learning rates. `step`
counts batches, and every row but those of the learning rates has an `epoch`, from 0. The file is written anew when a
new column comes up. Each run has a folder of its own: lightning_logs/version_0, version_1, ...
"""

from __future__ import annotations

from collections.abc import Sequence

from hpo_engine.contract.sources.found import FoundFile
from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.contract.sources.numbers import counted_by, metric, printable, step
from hpo_engine.contract.sources.oneof import OneOfFound
from hpo_engine.contract.sources.tables import CsvFile
from hpo_engine.plugins.card import Card, Option
from hpo_engine.study.objective import Row

_FILES = ("**/metrics.csv",)


class LightningCsv(OneOfFound):
    """The newest run of those that have the study's metrics."""

    card = Card(
        "metrics.csv, as Lightning's CSVLogger writes it: a row for each epoch, or for each validation if an epoch has "
        "several",
        options={"file": Option("the file, or a pattern; default: any metrics.csv", str, "")},
    )

    def __init__(self, trial: TrialFiles, *, file: str = "") -> None:
        super().__init__(trial, file, _FILES, "metrics.csv of Lightning")

    def reader(self, file: FoundFile) -> MetricSource:
        return LightningFile(self._trial, file)


class LightningFile(CsvFile):
    """Rows are merged by their epoch, which is counted from 1 then, as what has been trained.

    If an objective comes several times in an epoch, rows are merged by their `step` instead. A row is shown as soon as
    it has an objective, or the next one begins. Of a study whose objectives are not known its metrics count as such:
    what it only shows beside them may be logged for each batch.
    """

    rows_grow = True

    def __init__(self, trial: TrialFiles, file: FoundFile) -> None:
        self._objectives = trial.objectives or trial.named
        self._by_step, self._whole = False, True
        super().__init__(trial, file)

    def begin(self) -> None:
        super().begin()
        self._again = False  # rows have to be merged by their step from the beginning on
        self.begin_reports()

    def begin_reports(self) -> None:
        super().begin_reports()
        self._at: float | None = None  # the epoch or the step of the last row
        self._shift: float = 0  # a further `fit` begins with epoch 0: it is counted on
        self._values: dict[str, float] = {}  # of the last row
        self._shown = False  # it is in `_rows`
        self._waiting: dict[str, float] = {}  # values without an epoch: they belong to the next row
        self._epoch: float | None = None  # of the last line that has one
        self._first_seen: dict[str, float] = {}  # objectives in this epoch, and the step at which they came

    def look(self) -> bool:
        changed = super().look()
        if self._again:
            self._seen = None
            self._restart(0)
            changed = super().look() or changed
        return changed

    def final(self, *, cut: bool) -> Reading:
        self._whole = not cut
        reading = super().final(cut=cut)
        if self.header and not _is_lightning(self.header):
            return Reading(problem=f"{self._name} is not Lightning's: it has no columns epoch and step")
        return reading

    def parse(self, data: bytes) -> Sequence[Row]:
        super().parse(data)
        if self._again:
            super().parse(data)
        if self._whole:
            self._show()
        return self._rows

    def steps(self) -> str:
        return counted_by("batch" if self._by_step else "epoch")

    def take(self, lines: Sequence[bytes]) -> None:
        for found in self.records(lines):
            if not _is_lightning(self.header):
                self._foreign = True
            elif not self._again:
                self._add(found)

    def _add(self, found: dict[str, float]) -> None:
        epoch, at = step(found.pop("epoch", None)), step(found.pop("step", None))
        named = [name for name in self._objectives if name in found]
        if epoch is None and "epoch" in self.header:
            if not named or self._epoch is None:
                self._waiting |= found
                return
            epoch = self._epoch
        if not self._by_step and self._recurs(epoch, at, named):
            self._by_step = self._again = True
            return
        self._epoch = epoch
        self._merge(at if self._by_step or epoch is None else epoch + 1, found)

    def _recurs(self, epoch: float | None, at: float | None, named: Sequence[str]) -> bool:
        """Whether an objective has come in this epoch before, at another step (not before the first one)."""
        if epoch is None or at is None:
            return False
        if epoch != self._epoch:
            self._first_seen = {}
        return any(self._first_seen.setdefault(name, at) != at for name in named if at)

    def _merge(self, at: float | None, found: dict[str, float]) -> None:
        if at is None or (not found and not self._waiting):
            return
        if at != self._at:
            self._show()
            if self._at is not None and at < self._at and not self._by_step:
                self._shift += self._at
            self._at, self._values, self._shown = at, {}, False
        self._values |= self._waiting | found
        self._waiting = {}
        if self._shown:
            self._rows[-1] = self._row()
        elif not self._objectives or not self._objectives.isdisjoint(self._values):
            self._show()

    def _show(self) -> None:
        if self._values and not self._shown:
            self._rows.append(self._row())
            self._shown = True

    def _row(self) -> Row:
        assert self._at is not None
        return Row(self._at + self._shift, {printable(name): metric(value) for name, value in self._values.items()})


def _is_lightning(header: Sequence[str]) -> bool:
    """Lightning 2 sorts its columns; Fabric has no epochs; earlier versions have both, anywhere."""
    return "step" in header and ("epoch" in header or list(header) == sorted(header))
