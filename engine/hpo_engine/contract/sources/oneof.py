"""A source that reads one of several files which the script has made: the one with the study's metrics.

Of several that have them the newest run's counts: a script that trains twice (a fold after the other, a second `fit`)
makes one file after the other. How a file is read is the format's affair.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from hpo_engine.contract.sources.found import Found, FoundFile, has_wildcards
from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.errors import ContractError
from hpo_engine.study.objective import Row
from hpo_engine.system.files import MAX_BYTES, Missing

_MOST_LIVE = 50  # files that are read while the script runs
_MOST_FINAL = 200  # files that are read in the end,
_MOST_BYTES = 4 * MAX_BYTES  # and bytes of them


@dataclass
class _Read:
    """A file and what reads it. `order`: later files are newer runs; `names`: those of the study that its rows have."""

    file: FoundFile
    source: MetricSource
    order: tuple[int, int, int]
    names: set[str] = field(default_factory=set)
    counted: Sequence[Row] = ()  # the rows of which `names` are,
    count: int = 0  # and how many of them were looked at
    unread: bool = True

    def look(self, named: Iterable[str]) -> bool:
        changed = self.unread = self.source.look()
        rows = self.source.rows
        if rows is not self.counted or len(rows) < self.count:
            self.counted, self.count, self.names = rows, 0, set()
        self._count(rows, named)
        return changed

    def _count(self, rows: Sequence[Row], named: Iterable[str]) -> None:
        for name in [name for name in named if name not in self.names]:
            if any(name in rows[i].values for i in range(self.count, len(rows))):
                self.names.add(name)
        self.count = max(0, len(rows) - 1)  # the last one may still get more


class OneOfFound(MetricSource):
    """A source that reads the one of several files that has most of the metrics that the study names.

    Of several that have the same number of them, the one whose pattern comes first counts; of those, the newest. What
    is likely a copy of a former run's counts only if no other file has any of them.

    Args:
        file: a path or a pattern, see `Found`; "": the usual ones, of which none is shown while the script runs that
        has no metric of the study.
        usual: patterns; but: names of files that are none, in whatever folder; called: what messages call them.

    Raises:
        ValueError: see `Found`.
    """

    def __init__(
        self, trial: TrialFiles, file: str, usual: Sequence[str], called: str, but: frozenset[str] = frozenset()
    ) -> None:
        self.title = f"{file} in RESULT_DIR" if file else f"{called} in RESULT_DIR or LOG_DIR"
        self.patterns = (file,) if file else tuple(usual)
        self.files = () if not file or has_wildcards(file) else (file,)
        self._trial, self._choosy = trial, not file and bool(trial.named)
        self._found = Found(trial, self.patterns, frozenset() if file else but)
        self._seen: Sequence[FoundFile] = ()
        self._looks = 0
        self._reads: dict[str, _Read] = {}
        self._chosen: _Read | None = None
        self._final: MetricSource | None = None

    def reader(self, file: FoundFile) -> MetricSource:
        """What reads the file."""
        raise NotImplementedError

    def look(self) -> bool:
        fresh = self._renewed()
        changed = False
        for read in list(self._reads.values()):
            if self._chosen is None or read is self._chosen or read.file.path in fresh or read.unread:
                changed |= read.look(self._trial.named)
        chosen = self._best(self._reads.values())
        changed |= chosen is not self._chosen
        self._chosen = chosen
        self.rows = chosen.source.rows if chosen is not None else ()
        return changed

    def _renewed(self) -> set[str]:
        """Takes over what was found; returns the paths of files that are new or have changed."""
        files = self._found.look()
        if files is self._seen:
            return set()
        before, self._seen = set(self._seen), files
        self._looks += 1
        fresh: set[str] = set()
        for number, file in enumerate(files):
            if file in before:
                continue
            fresh.add(file.path)
            read = self._reads.get(file.path)
            if read is not None and read.file.before == file.before:
                read.file = file
            elif read is not None or self._has_room():
                order = read.order if read is not None else (self._looks, file.mtime_ns, number)
                self._reads[file.path] = read = _Read(file, self.reader(file), order)
        return fresh

    def _has_room(self) -> bool:
        """Whether one more file is read; those that came before give way to a new one."""
        if len(self._reads) < _MOST_LIVE:
            return True
        older = [r for r in self._reads.values() if r is not self._chosen and r.order[0] < self._looks]
        if older:
            del self._reads[min(older, key=lambda read: read.order).file.path]
        return bool(older)

    def _best(self, reads: Iterable[_Read]) -> _Read | None:
        having = [read for read in reads if read.source.rows and (read.names or not self._choosy)]
        return max(having, key=lambda read: (*_rank(read.file, read.names), read.order), default=None)

    def final(self, *, cut: bool) -> Reading:
        best: tuple[tuple[int, ...], Reading, MetricSource] | None = None
        problems: list[Reading] = []
        size = 0
        files = self._found.look()
        newest = sorted(range(len(files)), key=lambda i: (files[i].pattern, -files[i].mtime_ns, -i))
        for place, index in enumerate(newest[:_MOST_FINAL]):
            file, reader = files[index], self.reader(files[index])
            size += min(file.size, MAX_BYTES)
            if place and size > _MOST_BYTES:
                break
            reading = _final(reader, file, cut)
            if not reading.rows:
                problems.append(reading)
                continue
            names = [name for name in self._trial.named if any(name in row.values for row in reading.rows)]
            key = (*_rank(file, names), file.mtime_ns, index)
            if best is None or key > best[0]:
                best = key, reading, reader
        if best is not None:
            self._final = best[2]
            return best[1]
        if problems:
            return next((reading for reading in problems if reading.broken), problems[0])
        raise Missing(f"{self.title} is missing")

    def steps(self) -> str:
        return self._final.steps() if self._final is not None else ""


def _rank(file: FoundFile, names: Collection[str]) -> tuple[int, int, int]:
    """`names`: the study's metrics that it has."""
    return (int(bool(names) and not file.old), len(names), -file.pattern)


def _final(reader: MetricSource, file: FoundFile, cut: bool) -> Reading:
    try:
        return replace(reader.final(cut=cut), source=file.name)
    except ContractError as error:
        return Reading(source=file.name, problem=str(error), broken=True)
