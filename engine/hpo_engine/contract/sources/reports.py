"""What one attempt reports, whatever its sources are: live, and once at the end.

The first source that has rows counts.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

from hpo_engine.contract.sources import numbers
from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.errors import ContractError
from hpo_engine.study.objective import Row
from hpo_engine.study.rows import added, same_rows
from hpo_engine.system.faults import faultpoint
from hpo_engine.system.files import Gone, Missing, gone, open_folder
from hpo_engine.text.tables import counted

_log = logging.getLogger(__name__)


class Reports:
    """Reads the sources of one attempt, in their order.

    Args:
        base: rows that the trial had when it was carried on; only what was reported since then counts.
    """

    def __init__(self, trial: TrialFiles, sources: Iterable[MetricSource], base: Sequence[Row] = ()) -> None:
        self._trial, self._sources, self._base = trial, list(sources), base
        self._live = list(self._sources)
        self._seen: dict[int, Sequence[Row]] = {}  # by the source's identity: its rows, as `sound` has them
        self._given: Sequence[Row] = ()
        self._not_before = 0.0

    def carry_on(self, attempt: int) -> None:
        """See `MetricSource.carry_on`. Never raises."""
        for source in self._sources:
            try:
                source.carry_on(attempt)
            except Exception as error:  # what it must not raise
                _log.warning("trial %d: %s: %s", self._trial.paths.trial_id, source.title, error)

    def fresh(self) -> tuple[tuple[Row, ...], bool] | None:
        """The rows since the last call and False, or all rows and True if earlier ones changed; None: nothing new.

        Never raises. The verdict never comes from here but from `final`.
        """
        if self._not_before and time.monotonic() < self._not_before:
            return None
        started, changed = time.monotonic(), False
        rows: Sequence[Row] = ()
        for source in self._live[:]:
            changed |= self._look(source)
            if rows := self._since_base(self._seen.get(id(source), ())):
                break
        if not changed:
            return None
        took = time.monotonic() - started
        self._not_before = started + 20 * took if took > 0.02 else 0.0  # a big file must not hold up the other trials
        return self._since_last(rows)

    def final(self, *, cut: bool = False) -> Reading:
        """Reads the trial's results. Call it when no process of the trial is left.

        What is wrong with a source that comes before the one that counts stays as the note. If RESULT_DIR itself is
        gone, nothing counts: the trial's folder is not what was laid out.

        Args:
            cut: see `MetricSource.final`.

        Raises:
            OSError: the machine cannot read at present, see `faults.at_fault`.
        """
        faultpoint("engine.read-results")
        paths = self._trial.paths
        try:
            os.close(open_folder(paths.study.root, paths.result_dir))
        except OSError as error:
            return Reading(problem=str(gone("RESULT_DIR", error)))
        problems: list[str] = []
        missing: list[str] = []
        broken = False
        for source in self._sources:
            try:
                reading = self._final(source, cut)
            except (Missing, Gone):
                missing.append(source.title)
                continue
            except ContractError as error:
                reading = Reading(problem=str(error), broken=True)
            if rows := self._since_base(reading.rows):
                note = f"{'; '.join(problems)}; {reading.source} was used instead" if problems else None
                return replace(reading, rows=tuple(rows), problem=note)
            if reading.rows:
                old = counted(len(reading.rows), "row")
                problem = f"{reading.source} has nothing new: the trial had its {old} before it was carried on"
                reading = Reading(problem=problem)
            broken |= reading.broken
            problems.append(reading.problem or f"{source.title} has no rows")
        if missing and missing[0] == self._sources[0].title:
            also = f" ({problems[0]})" if problems else "".join(f" (and no {title})" for title in missing[1:])
            return Reading(problem=f"wrote no {missing[0]}{also}", broken=broken)
        return Reading(problem=problems[0] if problems else "has no metric source", broken=broken)

    def _since_base(self, rows: Sequence[Row]) -> Sequence[Row]:
        return added(self._base, rows) if self._base else rows

    def _look(self, source: MetricSource) -> bool:
        try:
            if changed := bool(source.look()):
                self._seen[id(source)] = sound(source, source.rows)
            return changed
        except (Exception, SystemExit) as error:  # what it must not raise; `final` has a place to report it
            _log.info("trial %d: %s is not read while it runs: %s", self._trial.paths.trial_id, source.title, error)
            self._live.remove(source)
            self._seen.pop(id(source), None)
            return False

    def _final(self, source: MetricSource, cut: bool) -> Reading:
        try:
            reading = source.final(cut=cut)
            if not isinstance(reading, Reading):
                raise TypeError(f"final returned {reading!r:.80} and no Reading")
            return replace(reading, rows=sound(source, reading.rows))
        except (ContractError, OSError):
            raise
        except (Exception, SystemExit) as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ContractError(f"{source.title} cannot be read ({text})") from error

    def _since_last(self, rows: Sequence[Row]) -> tuple[tuple[Row, ...], bool] | None:
        if not rows:
            return None
        given, self._given = self._given, tuple(rows)
        if len(rows) < len(given) or not same_rows(given, rows[: len(given)]):
            return self._given, True
        return (self._given[len(given) :], False) if len(rows) > len(given) else None


def sound(source: MetricSource, rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows of a source, with numbers as the log takes them. Raises TypeError, ValueError for what are no rows."""
    if type(source).__module__.startswith("hpo_engine."):  # ours make nothing else, of files with many rows
        return tuple(rows)
    return tuple([_sound_row(row) for row in rows])


def _sound_row(row: Row) -> Row:
    if not isinstance(row, Row):
        raise TypeError(f"{row!r:.80} is no Row")
    step = numbers.step(_plain(row.step, "a step"))
    if step is None:
        raise ValueError(f"{row.step!r:.80} is no step")
    for name in row.values:
        if not isinstance(name, str):
            raise TypeError(f"{name!r:.80} is no name of a metric")
    return Row(step, {numbers.printable(name): _plain(value, name) for name, value in row.values.items()})


def _plain(value: Any, name: str) -> float:
    """A number as Python's own: those of NumPy are not."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r:.80} and no number")
    return int(value) if isinstance(value, int) and abs(value) < 2**63 else float(value)
