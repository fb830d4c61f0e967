"""The scalars of a trial's runs, from the events of all its files: what they are called, how they are counted.

What a scalar is called may depend on all that come after it: a second run, a folder of another writer, an epoch. So the
knowledge of them is kept apart from the rows, which are made anew if it turns out to have been wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hpo_engine.contract.sources import numbers
from hpo_engine.contract.sources.tensorboard.clocks import Clocks
from hpo_engine.contract.sources.tensorboard.messages import SCALARS, Event, Value
from hpo_engine.contract.sources.tensorboard.names import Source, metric_names
from hpo_engine.contract.sources.tensorboard.rows import Counter, Merged, Point

MAX_SCALARS = 100_000  # of all metrics; above that only those are read that the study names
MAX_NAMED = 600_000
_MOST_SOURCES = 5_000
_MOST_RESTARTS = 100  # that take back what was read in an earlier look


class Folder(NamedTuple):
    """A folder with event files: a run for TensorBoard. Its path below `top`, RESULT_DIR or LOG_DIR."""

    path: str
    top: str


class Scalar(NamedTuple):
    time: float
    folder: Folder
    tag: str
    step: int
    value: float


class Restart(NamedTuple):
    """The folder's scalars before it are taken back from this step on."""

    time: float
    folder: Folder
    step: int


class Curves:
    """Makes rows of events.

    Args:
        named: metrics that the study names; objectives: those of them that are searched for.
        count_by: the tag of the scalar that says where in the training another one is; "": the global step says it.
    """

    def __init__(self, named: Collection[str], objectives: Collection[str], count_by: str) -> None:
        self._named, self._objectives, self._count_by = named, objectives, count_by
        self._clocks = Clocks(objectives)
        self._began: dict[Folder, tuple[float, int]] = {}
        self._sources: dict[Source, None] = {}
        self._names: dict[Source, str] = {}
        self._chosen: dict[str, Source] = {}  # by metric: of several runs that have it, the latest
        self._metrics: dict[Folder, dict[str, str]] = {}  # by tag: the chosen ones
        self._by_epoch: set[Folder] = set()
        self._plugins: dict[Source, str] = {}
        self.begin()

    def begin(self) -> None:
        """All events will be given anew, from the first one on."""
        self._made = _Made(Merged(self._named))
        self._clocks.begin()
        self.too_many = False

    @property
    def merged(self) -> Merged:
        return self._made.merged

    def scalars(self, folder: Folder, event: Event) -> Sequence[Scalar | Restart]:
        """What an event of a file in this folder has."""
        if folder not in self._began:
            self._began[folder] = event.wall_time, len(self._began)
        out: list[Scalar | Restart] = []
        if event.restarts:
            out.append(Restart(event.wall_time, folder, event.step))
        tags = self._made.tags.setdefault(folder, set())
        for value in event.values:
            number = value.number if value.plain or self._is_scalar(folder, value) else None
            if number is None or (value.tag == "hp_metric" and (event.step, number) == (0, -1.0)):
                continue  # the latter is Lightning's placeholder, which is there before any training
            if self._wanted(folder, tags, value.tag):
                out.append(Scalar(event.wall_time, folder, value.tag, event.step, number))
        return out

    def _is_scalar(self, folder: Folder, value: Value) -> bool:
        """Only the first value of a tag has to say what it is."""
        source = Source(folder.path, value.tag, folder.top)
        if value.plugin and len(self._plugins) < _MOST_SOURCES:
            self._plugins.setdefault(source, value.plugin)
        return (value.plugin or self._plugins.get(source)) == SCALARS

    def _wanted(self, folder: Folder, tags: set[str], tag: str) -> bool:
        made = self._made
        made.count += 1
        if made.count <= MAX_SCALARS:
            if len(tags) < _MOST_SOURCES:
                tags.add(tag)
            return True
        if made.kept is None:
            there = [Source(folder.path, tag, folder.top) for folder, tags in made.tags.items() for tag in tags]
            names = metric_names(there[:_MOST_SOURCES], self._named)
            made.kept = {source for source, name in names.items() if name in self._named or self._counts(source.tag)}
        if Source(folder.path, tag, folder.top) not in made.kept:
            return False
        made.named += 1
        self.too_many |= made.named > MAX_NAMED
        return not self.too_many

    def _counts(self, tag: str) -> bool:
        return bool(self._count_by) and tag == self._count_by

    # -- rows ------------------------------------------------------------------------------------------------------

    def learn(self, items: Collection[Scalar | Restart]) -> bool:
        """Takes note of the names and the counts that there are. Returns whether rows that were made are wrong now."""
        wrong = self._learn_names(items)
        return self._learn_clocks(items) or wrong

    def _learn_clocks(self, items: Collection[Scalar | Restart]) -> bool:
        """Which metrics are counted otherwise than the objectives."""
        found = False
        if self._objectives:
            for item in items:
                if isinstance(item, Scalar) and item.folder not in self._by_epoch:
                    metric = self._metrics.get(item.folder, {}).get(item.tag)
                    found |= metric is not None and self._clocks.learn(metric, item.step, item.time)
        return found and bool(self._made.fed)

    def _learn_names(self, items: Collection[Scalar | Restart]) -> bool:
        wrong, fed = False, self._made.fed
        for folder in {i.folder for i in items if isinstance(i, Scalar) and self._counts(i.tag)} - self._by_epoch:
            self._by_epoch.add(folder)
            wrong |= folder in fed
        new = {
            Source(i.folder.path, i.tag, i.folder.top) for i in items if isinstance(i, Scalar)
        } - self._sources.keys()
        if not new:
            return wrong
        for source in sorted(new):
            if len(self._sources) < _MOST_SOURCES:
                self._sources[source] = None
        before, chosen = self._names, self._chosen
        self._names = metric_names(self._sources, self._named)
        self._chosen = {}
        for source, name in self._names.items():
            other = self._chosen.get(name)
            if other is None or self._began[_folder(source)] > self._began[_folder(other)]:
                self._chosen[name] = source
        self._metrics = {}
        for name, source in self._chosen.items():
            self._metrics.setdefault(_folder(source), {})[source.tag] = name
        renamed = any(self._names[source] != name for source, name in before.items())
        return wrong or (bool(fed) and (renamed or any(self._chosen[name] != chosen[name] for name in chosen)))

    @property
    def by_epoch(self) -> bool:
        """Whether any run says where in the training its scalars are."""
        return bool(self._by_epoch)

    @property
    def waiting(self) -> bool:
        """Whether there are scalars whose epoch was not written yet."""
        return any(counter.waiting for counter in self._made.counters.values())

    def feed(self, items: Sequence[Scalar | Restart], *, last: bool = False) -> None:
        """Adds these, in order of time, to the rows; without any, those that wait. `last`: see `Merged.add`."""
        made, points = self._made, list[Point]()
        for item in _without_retracted(items):
            if isinstance(item, Restart):
                self._take_back(item)
                continue
            _, folder, tag, step, value = item
            counter = made.counter(folder, self._by_epoch)
            if step > made.fed.get(folder, step - 1):
                made.fed[folder] = step
            at = numbers.step(value) if counter.by_epoch and self._counts(tag) else None
            ready = counter.add(tag, step, value) if at is None else counter.epoch(step, at)
            if ready:
                points += self._points(folder, counter, ready)
        if last or not items:
            for folder, counter in made.counters.items():
                points += self._points(folder, counter, counter.rest())
        made.merged.add(points, last=last)

    def _points(self, folder: Folder, counter: Counter, ready: Sequence[tuple[str, float, float]]) -> list[Point]:
        metrics, by_epoch = self._metrics.get(folder, {}), counter.by_epoch
        points = [Point(metrics[tag], at, value, by_epoch) for tag, at, value in ready if tag in metrics]
        return points if by_epoch or not self._clocks.foreign else self._with_foreign(points)

    def _with_foreign(self, points: Sequence[Point]) -> list[Point]:
        """The points by the objectives' clock: what has another one is reported, with its latest value, beside them."""
        out, latest = [], self._made.foreign
        for point in points:
            if point.metric in self._clocks.foreign:
                latest[point.metric] = point.value
                continue
            if point.metric in self._objectives:
                out += [Point(metric, point.at, value) for metric, value in latest.items()]
                latest.clear()
            out.append(point)
        return out

    def _take_back(self, restart: Restart) -> None:
        made, folder = self._made, restart.folder
        if folder in self._by_epoch or restart.step > made.fed.get(folder, restart.step - 1):
            return
        made.restarts += 1
        if made.restarts <= _MOST_RESTARTS:
            mine = {name for name, source in self._chosen.items() if _folder(source) == folder}
            made.merged.take_back(mine, restart.step)
            made.fed[folder] = restart.step - 1


@dataclass
class _Made:
    """What was made of the events so far. `fed`: the highest step of each folder that is in the rows."""

    merged: Merged
    counters: dict[Folder, Counter] = field(default_factory=dict)
    fed: dict[Folder, int] = field(default_factory=dict)
    foreign: dict[str, float] = field(default_factory=dict)  # the latest values that are in no row yet
    tags: dict[Folder, set[str]] = field(default_factory=dict)
    kept: set[Source] | None = None
    count: int = 0
    named: int = 0
    restarts: int = 0

    def counter(self, folder: Folder, by_epoch: Collection[Folder]) -> Counter:
        counter = self.counters.get(folder)
        if counter is None:
            counter = self.counters[folder] = Counter(by_epoch=folder in by_epoch)
        return counter


def _folder(source: Source) -> Folder:
    return Folder(source.folder, source.top)


def _without_retracted(items: Sequence[Scalar | Restart]) -> Sequence[Scalar | Restart]:
    """Without the scalars that a later restart of their folder takes back."""
    if not any(isinstance(item, Restart) for item in items):
        return items
    first: dict[Folder, int] = {}
    out: list[Scalar | Restart] = []
    for item in reversed(items):
        if isinstance(item, Restart):
            first[item.folder] = min(item.step, first.get(item.folder, item.step))
        elif item.step >= first.get(item.folder, item.step + 1):
            continue
        out.append(item)
    out.reverse()
    return out
