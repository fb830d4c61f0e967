"""What one attempt reports, whatever its sources are: live, and once at the end.

The first source that has the objectives counts. Those that have counted in the study before come first, so that all
trials are judged by the same reports as far as they have them.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

from hpo_engine.contract.sources import numbers
from hpo_engine.contract.sources.candidates import Candidate, choosing
from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.contract.sources.tally import Tally
from hpo_engine.errors import ContractError
from hpo_engine.study.merging import Added, Past
from hpo_engine.study.objective import Row
from hpo_engine.study.rows import same_rows
from hpo_engine.system.faults import faultpoint
from hpo_engine.system.files import Gone, Missing, gone, open_folder
from hpo_engine.text.tables import counted

_log = logging.getLogger(__name__)
_NO_PAST = Past()


@dataclass
class _Live:
    """A candidate while the attempt runs. `rows`: as `sound` has them; `lacking`: the objectives that they lack."""

    candidate: Candidate
    lacking: set[str]
    source: MetricSource | None = None
    broken: bool = False
    rows: Sequence[Row] = ()
    _searched: int = field(default=0)

    def take(self, rows: Sequence[Row], objectives: Collection[str]) -> None:
        if len(rows) < self._searched:  # the file was written anew
            self._searched, self.lacking = 0, set(objectives)
        for row in rows[self._searched :] if self.lacking else ():
            self.lacking -= row.values.keys()
        self.rows, self._searched = rows, len(rows)


class Reports:
    """Reads the sources of one attempt.

    Args:
        past: of a trial that was carried on; only what was reported since then counts.
        objectives: the metrics that a source must have to count; without any, the first source that has rows counts.
    """

    def __init__(
        self,
        trial: TrialFiles,
        candidates: Iterable[Candidate],
        past: Past = _NO_PAST,
        objectives: Collection[str] = (),
    ) -> None:
        self._trial, self._past, self._objectives = trial, past, frozenset(objectives)
        self._candidates = list(candidates)
        self._choosing = choosing(self._candidates)
        self._live = {c.key: _Live(c, set(self._objectives)) for c in self._candidates}
        self._given: Sequence[Row] = ()
        self._not_before = 0.0
        self.provisional = False
        """Whether the rows of the last `fresh` are those of a source that need not be the one that counts in the end:
        a script may print its loss for each batch, and write it for each epoch when it ends. Also whether it is not
        certain yet which steps they are of, see `merging`."""

    def carry_on(self, attempt: int) -> None:
        """See `MetricSource.carry_on`. Never raises."""
        for candidate in self._candidates:
            try:
                candidate.make(self._trial).carry_on(attempt)
            except Exception as error:  # what it must not raise
                _log.warning("trial %d: %s: %s", self._trial.paths.trial_id, candidate.key, error)

    # -- while it runs ---------------------------------------------------------------------------------------------

    def fresh(self, used: Sequence[str] = ()) -> tuple[tuple[Row, ...], bool] | None:
        """The rows since the last call and False, or all rows and True if earlier ones changed; None: nothing new.

        All rows are those of one source, and come anew if it becomes another one. Never raises. The verdict never comes
        from here but from `final`.

        Args:
            used: keys of the sources that have counted in the study so far. If there are any, only these are looked
                at: a loss per batch that is printed must not be compared with one per epoch.
        """
        if self._not_before and time.monotonic() < self._not_before:
            return None
        started, changed = time.monotonic(), False
        known = [key for key in used if key in self._live] if self._choosing else []
        best: _Live | None = None
        for live in [self._live[key] for key in known or self._live]:
            changed |= self._look(live)
            if not live.rows or not self._added(live.rows).rows:
                continue
            if not live.lacking:
                best = live
                break
            if best is None and (known or live.candidate.own or not self._choosing):
                best = live  # that the objective is missing shows only in what was written for the engine
        added = Added(()) if best is None else self._added(best.rows)
        rows = added.rows
        unsure = self._choosing and best is not None and not (known or best.candidate.own)
        provisional = unsure or not added.certain
        if provisional != self.provisional or (known and self._given and not rows):
            self.provisional, self._given = provisional, tuple(rows)
            return self._given, True
        if not changed:
            return None
        took = time.monotonic() - started
        self._not_before = started + 20 * took if took > 0.02 else 0.0  # a big file must not hold up the other trials
        return self._since_last(rows)

    def _look(self, live: _Live) -> bool:
        if live.broken:
            return False
        try:
            if live.source is None:
                live.source = live.candidate.make(self._trial)
            if changed := bool(live.source.look()):
                live.take(sound(live.source, live.source.rows), self._objectives)
            return changed
        except (Exception, SystemExit) as error:  # what it must not raise; `final` has a place to report it
            title = live.candidate.key if live.source is None else live.source.title
            _log.info("trial %d: %s is not read while it runs: %s", self._trial.paths.trial_id, title, error)
            live.broken, live.rows = True, ()
            return False

    def _since_last(self, rows: Sequence[Row]) -> tuple[tuple[Row, ...], bool] | None:
        if not rows:
            return None
        given, self._given = self._given, tuple(rows)
        if len(rows) < len(given) or not same_rows(given, rows[: len(given)]):
            return self._given, True
        return (self._given[len(given) :], False) if len(rows) > len(given) else None

    # -- at the end ------------------------------------------------------------------------------------------------

    def final(self, *, cut: bool = False, used: Sequence[str] = ()) -> Reading:
        """Reads the trial's results. Call it when no process of the trial is left.

        What is wrong with a source that comes before the one that counts stays as the note. If RESULT_DIR itself is
        gone, nothing counts: the trial's folder is not what was laid out.

        Args:
            cut: see `MetricSource.final`. used: see `fresh`; these come first.

        Raises:
            OSError: the machine cannot read at present, see `faults.at_fault`.
        """
        faultpoint("engine.read-results")
        paths = self._trial.paths
        try:
            os.close(open_folder(paths.study.root, paths.result_dir))
        except OSError as error:
            return Reading(problem=str(gone("RESULT_DIR", error)))
        tally = Tally(self._objectives)
        order = sorted(self._candidates, key=lambda c: used.index(c.key) if c.key in used else len(used))
        for i, candidate in enumerate(order):
            try:
                source = candidate.make(self._trial)
            except Exception as error:  # one that only `auto` has chosen; what is named was made before the study began
                _log.warning("trial %d: %s is not read: %s", paths.trial_id, candidate.key, error)
                continue
            try:
                reading = self._final(source, cut)
            except (Missing, Gone):
                tally.lacks(source.title)
                continue
            except ContractError as error:
                reading = Reading(problem=str(error), broken=True)
            reading = replace(self._since(reading), key=candidate.key if self._choosing else "")
            if not tally.counts(reading, source.title, loose=candidate.loose):
                continue
            found = tally.found()
            if not self._choosing or candidate.key in used:
                return found
            others = () if used else self._that_have_it(order[i + 1 :], cut, found.source)
            with suppress(Exception):  # a plugin's
                found = replace(found, steps=source.steps())
            return replace(found, others=others)
        return tally.nothing([candidate.key for candidate in self._candidates])

    def _that_have_it(self, candidates: Iterable[Candidate], cut: bool, read: str) -> tuple[str, ...]:
        """Those that have the objectives as well, but in another file than `read`: `output.log (stdout)`."""
        out = []
        for candidate in candidates:
            with suppress(Exception, SystemExit):  # what counts has been read: nothing here may harm it
                reading = self._since(self._final(candidate.make(self._trial), cut))
                if reading.rows and reading.source != read and self._objectives <= {*reading.metrics}:
                    out.append(f"{reading.source} ({candidate.key})")
        return tuple(out)

    def _since(self, reading: Reading) -> Reading:
        """Without the rows that the trial had when it was carried on."""
        if not reading.rows or not self._past.base:
            return reading
        if rows := self._past.added(reading.rows, ended=True).rows:
            return replace(reading, rows=rows)
        old = counted(len(reading.rows), "row")
        return Reading(problem=f"{reading.source} has nothing new: the trial had its {old} before it was carried on")

    def _added(self, rows: Sequence[Row]) -> Added:
        return self._past.added(rows, ended=False)

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
