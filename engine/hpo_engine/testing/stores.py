"""The laws of a Store, as a class to inherit from: give it `open()` (the same log each time) and run pytest."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hpo_engine.study.events import AttemptIntended, Event, MetricsSeen, StopAsked, StudyOpened, TrialProposed
from hpo_engine.study.objective import Row

EVENTS: list[Event] = [
    StudyOpened(1.0, {"name": "s"}, "source: text\n"),
    TrialProposed(2.0, 0, {"x": 0.5, "s": 'a "b" $c\n', "n": None, "l": [1, 2]}, 3, {"rung": 1}),
    AttemptIntended(2.5, 0, 1, "abc"),
    MetricsSeen(3.0, 0, (Row(1, {"loss": 0.25, "bad": math.inf}), Row(2.5, {"loss": -math.inf}))),
    StopAsked(4.0, None, "Ctrl-C"),
]


class StoreLaws:
    def open(self) -> Any:
        raise NotImplementedError

    def test_reads_what_was_appended_in_order(self) -> None:
        store = self.open()
        for event in EVENTS:
            store.append([event])
        assert store.read() == EVENTS

    def test_a_batch_is_one_append(self) -> None:
        store = self.open()
        store.append(EVENTS[:3])
        store.append(EVENTS[3:])
        assert store.read() == EVENTS

    def test_reads_on_from_a_number(self) -> None:
        store = self.open()
        store.append(EVENTS)
        assert store.read(3) == EVENTS[3:]
        assert store.read(len(EVENTS)) == []

    def test_another_opening_reads_the_same(self) -> None:
        store = self.open()
        store.append(EVENTS)
        store.close()
        again = self.open()
        assert again.read() == EVENTS
        again.append(EVENTS[4:])
        assert again.read() == [*EVENTS, EVENTS[4]]

    def test_nan_survives_as_nan(self) -> None:
        store = self.open()
        store.append([MetricsSeen(1.0, 0, (Row(1, {"loss": math.nan}),))])
        (event,) = store.read()
        assert math.isnan(event.rows[0].values["loss"])

    def test_a_batch_with_a_bad_event_leaves_nothing(self) -> None:
        store = self.open()
        store.append(EVENTS[:1])
        with pytest.raises((ValueError, TypeError)):
            store.append([EVENTS[1], TrialProposed(2.0, 1, {"x": math.nan})])
        assert store.read() == EVENTS[:1]
