"""evaluation-metrics.txt: what IBM's emetrics.py, copied into many projects, appends while a script trains.

One JSON object per line, with a group (train, test), a step and values.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hpo_engine.contract.paths import EMETRICS
from hpo_engine.contract.sources.files import MAX_LINE, MAX_LINES, GrowingFile, too_many
from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.contract.sources.numbers import BOM, NUMBERS, STEPS, load_json, metric, number, printable, step
from hpo_engine.errors import ContractError
from hpo_engine.failpoints import failpoint
from hpo_engine.plugins.card import Card
from hpo_engine.study.objective import Row
from hpo_engine.system.files import Gone, Missing

MAX_VALUES = 600_000  # in a file


class Emetrics(MetricSource):
    """The file in LOG_DIR/SUBID, or in LOG_DIR if that has no rows."""

    card = Card(f"one JSON object per line, {EMETRICS} in LOG_DIR or LOG_DIR/SUBID, as IBM's emetrics.py writes it")

    def __init__(self, trial: TrialFiles) -> None:
        self.title = f"{EMETRICS} in LOG_DIR"
        log_dir = trial.paths.log_dir
        self._each = (_File(trial, f"{log_dir}/{trial.paths.name}"), _File(trial, log_dir))

    def carry_on(self, attempt: int) -> None:
        for each in self._each:
            each.set_aside(attempt)

    def look(self) -> bool:
        changed = [each.look() for each in self._each]
        self.rows = next((each.rows for each in self._each if each.rows), ())
        return any(changed)

    def final(self, *, cut: bool) -> Reading:
        empty: Reading | None = None
        for each in self._each:
            try:
                reading = each.final(cut=cut)
            except (Missing, Gone):
                continue
            except ContractError as error:
                reading = Reading(problem=str(error), broken=True)
            if reading.rows:
                return reading
            empty = empty or reading
        if empty is None:
            raise Missing(f"{EMETRICS} is missing")
        return empty


class _File(GrowingFile):
    def __init__(self, trial: TrialFiles, folder: str) -> None:
        super().__init__(trial, EMETRICS, folder, "LOG_DIR")

    def set_aside(self, attempt: int) -> None:
        """Renames the file, so that the next attempt's has only its own rows."""
        name, end = os.path.splitext(EMETRICS)
        with suppress(ContractError, OSError), self._in_folder() as folder:  # there may be no such file, or folder
            os.rename(EMETRICS, f"{name}.{attempt}{end}", src_dir_fd=folder, dst_dir_fd=folder)
            failpoint("trial.emetrics-aside")

    def begin(self) -> None:
        self._merged = MergedRows()

    def rows_of(self, lines: Iterable[bytes]) -> Iterable[Row]:
        return self._merged.add(entries_of(lines))

    def parse(self, data: bytes) -> Sequence[Row]:
        return parse_emetrics(data)


def parse_emetrics(data: bytes) -> Sequence[Row]:
    """The rows of an evaluation-metrics.txt, one JSON object a line; lines that are none (a torn last one) are skipped.

    Metrics of the group `test` keep their names, those of another group take its name in front: `train_loss`. Where
    nothing of `test` is there, the validation group's or else the training group's also count under their plain
    names: they are all that the script tells. An entry joins the row before it of its group if it has the same step
    and other metrics.

    Raises:
        ContractError: too many lines or values.
    """
    if (count := data.count(b"\n")) > MAX_LINES:
        raise too_many(EMETRICS, "lines", count, MAX_LINES)
    if (count := data.count(b"[") + data.count(b"{")) > MAX_VALUES:
        raise too_many(EMETRICS, "values", count, MAX_VALUES)
    entries = list(entries_of(data.split(b"\n")))
    groups = {entry.group: None for entry in entries}
    main = next((g for g in ("test", "validation", "valid", "val", "train", *groups) if g in groups), "test")
    return MergedRows(main).add(entries)


@dataclass(frozen=True)
class Entry:
    group: str
    step: float | None
    values: Mapping[str, float]


def entries_of(lines: Iterable[bytes]) -> Iterator[Entry]:
    for line in lines:
        if b'"values"' not in line or len(line) > MAX_LINE:
            continue
        try:
            entry = load_json(line.removeprefix(BOM).decode(), line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(entry, dict) or not isinstance(entry.get("values"), dict):
            continue
        times, group = entry.get("etimes"), entry.get("grouplabel")
        at = None
        if isinstance(times, dict):
            at = next((s for key in ("iteration", *STEPS) if (s := step(_typed(times.get(key)))) is not None), None)
        values = {printable(k): v for k, raw in entry["values"].items() if (v := _typed(raw)) is not None}
        if values:
            yield Entry(printable(group)[:60] if isinstance(group, str) and group else "test", at, values)


def _typed(raw: Any) -> float | None:
    """The number in {"type": 3, "value": "0.31"}; a plain number will do, too."""
    if isinstance(raw, dict):
        if str(raw.get("type")) not in ("2", "3"):  # int, float; else it is a string
            return None
        raw = raw.get("value")
        if isinstance(raw, str):
            try:
                return metric(number(raw)) if len(raw) <= 400 else None
            except ValueError:
                return None
    return metric(raw) if type(raw) in NUMBERS else None


class MergedRows:
    """Makes rows of entries; `main` is the group whose metrics have their plain names."""

    def __init__(self, main: str = "test") -> None:
        self._main = main
        self._steps: dict[str, float] = {}  # of each group's latest row

    def add(self, entries: Iterable[Entry]) -> list[Row]:
        """The rows that these entries make; those that were made before stay as they are."""
        rows: list[Row] = []
        latest: dict[str, dict[str, float]] = {}  # the values of each group's latest row, if it is one of these entries
        for entry in entries:
            group, values = entry.group, dict(entry.values)
            if group != "test":
                values = {f"{group}_{k}": v for k, v in values.items()} | (values if group == self._main else {})
            before = self._steps.get(group, 0)
            if group in latest and entry.step == before and latest[group].keys().isdisjoint(values):
                latest[group].update(values)
                continue
            self._steps[group] = at = before + 1 if entry.step is None else entry.step
            latest[group] = values
            rows.append(Row(at, values))
        return rows
