"""What the sources of an attempt have in the end, one after the other; if none has the objectives, why."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from hpo_engine.contract.sources.interface import Reading
from hpo_engine.contract.sources.nearby import nearest_metric
from hpo_engine.contract.sources.verdict import what_they_have
from hpo_engine.text.quoting import quoted

_NAMED = 3  # sources that the line about a trial without results names one by one


class Tally:
    """Takes the readings in the order in which the sources count. Without objectives any rows have them."""

    def __init__(self, objectives: Collection[str]) -> None:
        self._objectives = frozenset(objectives)
        self._missing: list[str] = []  # titles of sources of which there is nothing
        self._first_missing = False
        self._problems: list[str] = []
        self._broken: list[str] = []
        self._having: list[Reading] = []  # rows; only the last one may have the objectives
        self._loose: list[Reading] = []  # what may be no reports at all

    def lacks(self, title: str) -> None:
        """Takes note of a source of which there is nothing."""
        self._first_missing |= not (self._problems or self._having)
        self._missing.append(title)

    def counts(self, reading: Reading, title: str, *, loose: bool) -> bool:
        """Takes a reading; returns whether it has the objectives. `loose`: see `Candidate.loose`."""
        if reading.rows:
            notes = [*self._problems, f"{reading.source} was used instead"] if self._problems else []
            notes += [reading.problem] if reading.problem else []
            reading = replace(reading, problem="; ".join(notes) or None)
            counts = self._objectives <= {*reading.metrics}
            (self._having if counts or not loose or self._nearness(reading) else self._loose).append(reading)
            return counts
        problem = reading.problem or f"{title} has no rows"
        self._problems.append(problem)
        if reading.broken:
            self._broken.append(problem)
        return False

    def found(self) -> Reading:
        """The reading that counts."""
        return self._having[-1]

    def nothing(self, keys: Sequence[str]) -> Reading:
        """What there is to say if none has the objectives. `keys`: of all sources."""
        if not self._having:
            return Reading(problem=self._why_none(keys), broken=bool(self._broken))
        first = max(self._having, key=self._nearness)  # the first of equals
        return replace(first, also=tuple(reading for reading in self._having if reading is not first))

    def _nearness(self, reading: Reading) -> int:
        """2: it has an objective, or something in its place that is not a number; 1: a name that is nearly one's."""
        if not self._objectives.isdisjoint({*reading.metrics, *reading.strange}):
            return 2
        return int(any(nearest_metric(metric, reading.metrics) for metric in self._objectives))

    def _why_none(self, keys: Sequence[str]) -> str:
        if not self._first_missing:
            return self._problems[0] if self._problems else "has no metric source"
        several = len(keys) > _NAMED
        if problems := self._broken if several else self._problems:
            return f"wrote no {self._missing[0]} ({problems[0]})"
        if self._loose:
            names = " and ".join(map(quoted, sorted(self._objectives)))
            return f"wrote no {self._missing[0]}, and nothing else has {names}: {what_they_have(self._loose)}"
        if several:
            return f"wrote no {self._missing[0]}, and no metrics were found elsewhere ({', '.join(keys[1:])})"
        return f"wrote no {self._missing[0]}" + "".join(f" (and no {title})" for title in self._missing[1:])
