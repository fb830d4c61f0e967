"""Which metrics are counted otherwise than the objective: many scripts log a loss per batch and the score per epoch.

Steps of different clocks in one sequence of rows would be nonsense: a trial in its second epoch would be at step 1 by
its score and at step 2000 by its loss.
"""

from __future__ import annotations

from collections.abc import Collection


class Clocks:
    """Learns from scalars in order of time.

    A metric has another clock if it had come to a higher step than the objective's by the time that the objective was
    reported. A script whose steps begin anew tells nothing by that.
    """

    def __init__(self, objectives: Collection[str]) -> None:
        self._objectives = objectives
        self.foreign: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """The scalars come again, from the first one on."""
        self._reached: dict[str, tuple[int, float]] = {}  # by metric: its latest step, and when it came
        self._own: int | None = None  # the objective's highest step

    def learn(self, metric: str, step: int, time: float) -> bool:
        """Returns whether one more metric has turned out to have another clock."""
        if metric not in self._objectives:
            if metric not in self.foreign:
                self._reached[metric] = step, time
            return False
        if self._own is not None and step < self._own:
            return False
        self._own = step
        found = {name for name, (at, when) in self._reached.items() if at > step and when < time}
        for name in found:
            del self._reached[name]
        self.foreign |= found
        return bool(found)
