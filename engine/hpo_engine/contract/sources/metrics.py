"""A trial's metrics from its files: live while they grow, and once at the end, with the verdict.

val_dict_list.json wins over evaluation-metrics.txt where both have rows.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from hpo_engine.contract.paths import EMETRICS, RESULT, TrialPaths
from hpo_engine.contract.sources.results import (
    MAX_LINE,
    MAX_LINES,
    MergedRows,
    entries_of,
    parse,
    parse_emetrics,
    parse_rows,
)
from hpo_engine.errors import ContractError
from hpo_engine.study.objective import Objective, Row, pick_values
from hpo_engine.study.rows import same_rows
from hpo_engine.study.trial import FailureKind
from hpo_engine.system.faults import faultpoint
from hpo_engine.system.files import MAX_BYTES, Gone, Missing, gone, open_file, open_folder, safe_read
from hpo_engine.text.quoting import quoted

_CHUNK = 256 << 10  # read of a growing file at one look


class MetricsReader:
    """Reads one trial's growing files while it runs: three stats where nothing changed, and never an error.

    What is torn, empty or a trick counts as not there yet. `evaluation-metrics.txt` counts as long as
    `val_dict_list.json` has shown no row. The verdict never comes from here but from `final_rows`.

    Args:
        named: metrics that the study speaks of, see `results.parse_rows`.
    """

    def __init__(self, paths: TrialPaths, named: Collection[str] = ()) -> None:
        self._named = named
        self._root, self._result_dir = paths.study.root, paths.result_dir
        self._streams = (_Stream(self._root, f"{paths.log_dir}/{paths.name}"), _Stream(self._root, paths.log_dir))
        self._files = (paths.result_file, *(stream.path for stream in self._streams))
        self._seen: list[_Signature | None] = [None] * len(self._files)
        self._results: Sequence[Row] = ()
        self._given: Sequence[Row] = ()
        self._not_before = 0.0

    def fresh(self) -> tuple[tuple[Row, ...], bool] | None:
        """The rows since the last call and False, or all rows and True if earlier ones changed; None: nothing new."""
        now = [_signature(path) for path in self._files]
        if now == self._seen or (self._not_before and time.monotonic() < self._not_before):
            return None
        started = time.monotonic()
        # A file written a moment ago may change again without a new time stamp: look again next time.
        edge = time.time_ns() - _TICK_NS
        seen = [None if s is None or edge < s[2] <= edge + _TICK_NS else s for s in now]
        if now[0] is not None and now[0] != self._seen[0]:
            self._read_results()
        for i, stream in enumerate(self._streams, 1):
            if not self._results and now[i] is not None and now[i] != self._seen[i] and stream.read():
                seen[i] = None  # there is more of it
        self._seen = seen
        took = time.monotonic() - started
        self._not_before = started + 20 * took if took > 0.02 else 0.0  # a big file must not hold up the other trials
        return self._since_last()

    def _read_results(self) -> None:
        try:
            fd = open_folder(self._root, self._result_dir)
            try:
                rows = parse_rows(safe_read(fd, RESULT), self._named)
            finally:
                os.close(fd)
        except (ContractError, OSError, MemoryError):
            return
        if rows:
            self._results = rows

    def _since_last(self) -> tuple[tuple[Row, ...], bool] | None:
        rows = self._results or next((s.rows for s in self._streams if s.rows), ())
        if not rows:
            return None
        given, self._given = self._given, tuple(rows)
        if len(rows) < len(given) or not same_rows(given, rows[: len(given)]):
            return self._given, True
        return (self._given[len(given) :], False) if len(rows) > len(given) else None


_Signature = tuple[int, int, int]
_TICK_NS = 20_000_000  # of the clock that stamps files


def _signature(path: str) -> _Signature | None:
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class _Stream:
    """Follows one evaluation-metrics.txt from where the last read ended. A row that was read once stays as it is."""

    def __init__(self, root: str, folder: str) -> None:
        self.path = f"{folder}/{EMETRICS}"
        self._root, self._folder = root, folder
        self._restart(0)

    @property
    def rows(self) -> Sequence[Row]:
        return self._gathered.rows

    def _restart(self, inode: int) -> None:
        self._inode, self._offset, self._tail, self._lines = inode, 0, b"", 0
        self._gathered = MergedRows()

    def read(self) -> bool:
        """Takes in what was appended; True if there is more to read."""
        try:
            folder = open_folder(self._root, self._folder)
            try:
                fd, found = open_file(folder, EMETRICS, MAX_BYTES)
            finally:
                os.close(folder)
            try:
                if found.st_ino != self._inode or found.st_size < self._offset:
                    self._restart(found.st_ino)
                data = os.pread(fd, _CHUNK, self._offset)
            finally:
                os.close(fd)
        except (ContractError, OSError):
            return False
        self._offset += len(data)
        lines = (self._tail + data).split(b"\n")
        self._tail = lines.pop()[: MAX_LINE + 1]
        self._lines += len(lines)
        if self._lines > MAX_LINES:
            return False
        self._gathered.add(entries_of(lines))
        return bool(data) and self._offset < found.st_size


@dataclass(frozen=True)
class Reading:
    """What a trial's files said, read once after all its processes ended.

    `source`: the file that the rows come from (""; none). `problem`: what is wrong; with rows, only a note (the other
    file had them). `broken`: there are results, and they cannot be read. `strange`: metrics that are not numbers,
    and what they are. `digest`: sha256 of the file's bytes.
    """

    rows: tuple[Row, ...] = ()
    source: str = ""
    problem: str | None = None
    broken: bool = False
    strange: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the rows have, in order of appearance."""
        return tuple({name: None for row in self.rows for name in row.values})


def final_rows(paths: TrialPaths, named: Collection[str] = ()) -> Reading:
    """Reads the trial's results. Call it when no process of the trial is left.

    `val_dict_list.json` counts wherever it has a row. Where it is missing, empty of rows or broken,
    `evaluation-metrics.txt` counts: its lines are each whole, however the script ended (what was broken stays as the
    note). Where RESULT_DIR itself is gone nothing counts: the trial's folder is not what was laid out. `named`: see
    `results.parse_rows`.

    Raises:
        OSError: the machine cannot read at present, see `faults.at_fault`.
    """
    faultpoint("engine.read-results")
    root, problem, broken = paths.study.root, "", False
    try:
        data = _read_below(root, paths.result_dir, RESULT, "RESULT_DIR")
        rows, strange = parse(data, named)
        if rows:
            return Reading(rows, RESULT, strange=strange, digest=_digest(data))
        problem = f"{RESULT} has no entries"
    except Gone as error:
        return Reading(problem=str(error))
    except Missing:
        pass
    except ContractError as error:
        problem, broken = str(error), True
    also = ""
    for folder in (f"{paths.log_dir}/{paths.name}", paths.log_dir):
        try:
            data = _read_below(root, folder, EMETRICS, "LOG_DIR")
            if rows := parse_emetrics(data):
                note = f"{problem}; {EMETRICS} was used instead" if problem else None
                return Reading(rows, EMETRICS, note, digest=_digest(data))
            also = also or f"{EMETRICS} has no metrics"
        except (Missing, Gone):
            pass
        except ContractError as error:
            also, broken = str(error), True
    problem = problem or f"wrote no {RESULT} in RESULT_DIR ({also or f'and no {EMETRICS} in LOG_DIR'})"
    return Reading(problem=problem, broken=broken)


def or_seen(reading: Reading, seen: Sequence[Row]) -> Reading:
    """The reading; where it has no rows those that were seen while the run went on. A run that was ended may have been
    in the middle of writing its file anew."""
    return reading if reading.rows or not seen else replace(reading, rows=tuple(seen), source=RESULT)


def verdict(reading: Reading, objectives: Sequence[Objective], trial_id: int) -> tuple[tuple[float, ...] | None, str]:
    """The trial's values (None: it has none) and what there is to say about it in one line ("" if nothing)."""
    values = pick_values(reading.rows, objectives)
    if values is not None:
        return values, f"trial {trial_id}: {reading.problem}" if reading.problem else ""
    return None, f"trial {trial_id}: {_why_none_of(reading, objectives)}"


def failure(reading: Reading, objectives: Sequence[Objective]) -> FailureKind:
    """What is wrong with a reading whose `verdict` has no values."""
    there = {*reading.metrics, *reading.strange}
    bad = all(o.metric in there for o in objectives) if reading.rows else reading.broken
    return FailureKind.BAD_RESULT if bad else FailureKind.NO_RESULT


def _why_none_of(reading: Reading, objectives: Sequence[Objective]) -> str:
    if len(objectives) == 1:
        return _why_none(reading, objectives[0])
    somewhere = [replace(objective, over="best") for objective in objectives]
    lacking = next((o for o in somewhere if o.pick(reading.rows) is None), None)
    if lacking is not None:
        return _why_none(reading, lacking)
    names = " and ".join(quoted(o.metric) for o in objectives)
    if pick_values(reading.rows, somewhere) is None:
        return f"{names} are never finite in the same row ({len(reading.rows)} rows) of {reading.source}"
    return f"{names} are not all finite in the last row of {reading.source}, which counts"


def _why_none(reading: Reading, objective: Objective) -> str:
    metric = objective.metric
    rows, name, source = reading.rows, quoted(metric), reading.source
    if not rows:
        return reading.problem or "has no results"
    note = f" ({reading.problem})" if reading.problem else ""
    if having := [row.values[metric] for row in rows if metric in row.values]:
        if objective.over == "last" and any(map(math.isfinite, having)):
            return f"{name} counts by its last value, which is {having[-1]} in {source} ({len(having)} rows){note}"
        where = f"any of {len(having)} rows" if len(having) > 1 else "the only row"
        return f"{name} is not finite in {where} of {source} (last: {having[-1]}){note}"
    if metric in reading.strange:
        return f"{name} is {reading.strange[metric]} in {source}, not a number{note}"
    if not reading.metrics:
        return f"no metric {name} in {source}; it has no numbers at all ({_span(rows)}){note}"
    names = [quoted(m) for m in reading.metrics[:8]]
    more = f" and {len(reading.metrics) - 8} more" if len(reading.metrics) > 8 else ""
    return f"no metric {name} in {source}; it has {', '.join(names)}{more} ({_span(rows)}){note}"


def thin(rows: Sequence[Row], limit: int = 10_000) -> tuple[Row, ...]:
    """At most `limit` (>= 2) of the rows, evenly spread, the first and the last among them."""
    if len(rows) <= limit:
        return tuple(rows)
    return tuple(rows[i * (len(rows) - 1) // (limit - 1)] for i in range(limit))


def _read_below(root: str, folder: str, name: str, called: str) -> bytes:
    try:
        fd = open_folder(root, folder)
    except OSError as error:
        raise gone(called, error) from None
    try:
        return safe_read(fd, name, called=called)
    finally:
        os.close(fd)


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _span(rows: Sequence[Row]) -> str:
    low, high = min(row.step for row in rows), max(row.step for row in rows)
    return f"step {low}" if low == high else f"steps {low}-{high}"
