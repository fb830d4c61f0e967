"""A spell without room, by a clock moved by hand."""

from __future__ import annotations

import logging

import pytest

from hpo_engine.core import trouble
from hpo_engine.core.trouble import Trouble
from hpo_engine.errors import MachineError


class Said:
    """What the user has been told."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def __call__(self) -> list[str]:
        return self._caplog.messages


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    caplog.set_level(logging.WARNING, "hpo_engine.core.trouble")
    return Said(caplog)


def tries(spell: Trouble, now: float, seconds: float) -> list[float]:
    """Every try in so many seconds fails at once; when they were."""
    found, end = [], now + seconds
    while now < end:
        if spell.room(now):
            found.append(now)
            spell.tries(0)
            spell.met(0, "no room", "again", now, alone=True)
        now += 0.01
    return found


def test_without_trouble_there_is_room_for_all(said: Said) -> None:
    spell = Trouble()
    spell.over(0, 1.0)
    spell.eased(0, 1.0)
    assert spell.room(2.0) > 10**9 and said() == []


def test_pauses_grow_to_some_seconds_and_one_trial_tries_at_a_time(said: Said) -> None:
    spell = Trouble()
    spell.met(0, "no room", "again", 100.0, alone=True)
    assert spell.room(100.05) == 0 and spell.room(100.11) == 1
    spell.met(1, "no room", "again", 100.0, alone=True)
    when = tries(spell, 100.0, 55.0)
    pauses = [round(b - a, 2) for a, b in zip(when, when[1:], strict=False)]
    assert pauses[0] < 0.5 and max(pauses) == pytest.approx(trouble._LONGEST_S, abs=0.02)
    assert pauses[:-1] == sorted(pauses[:-1]) and len(said()) == 1 and said()[0] == "no room; waiting, again"


def test_after_a_minute_alone_it_gives_up_and_not_before() -> None:
    spell = Trouble()
    spell.met(0, "cannot fork", "again", 0.0, alone=True)
    tries(spell, 0.1, 59.0)
    with pytest.raises(MachineError, match="cannot fork|no room"):
        spell.room(60.5)


def test_as_long_as_other_trials_run_it_waits() -> None:
    spell = Trouble()
    for second in range(500):
        assert spell.room(float(second)) >= 0
        spell.met(0, "no room", "again", float(second), alone=False)
    assert spell.room(540.0) == 1
    with pytest.raises(MachineError):
        spell.room(560.0)


def test_start_that_lasts_ends_it_with_one_line(said: Said) -> None:
    spell = Trouble()
    spell.met(0, "no room", "again", 10.0, alone=True)
    spell.tries(3)
    spell.eased(3, 11.0)
    assert spell.room(11.5) == 0 and len(said()) == 1
    assert spell.room(12.1) > 10**9
    assert said()[1:] == ["the machine has room again after 2.1 s; the study continues"]
    spell.over(3, 13.0)
    assert len(said()) == 2


def test_false_start_ends_nothing(said: Said) -> None:
    spell = Trouble()
    spell.met(0, "no room", "again", 10.0, alone=True)
    spell.eased(0, 11.0)
    spell.met(0, "no room", "again", 11.2, alone=True)
    assert spell.room(13.0) == 1 and len(said()) == 1


def test_end_of_a_trial_that_ran_before_proves_nothing(said: Said) -> None:
    spell = Trouble()
    spell.tries(7)  # it began in good times
    spell.met(0, "no room", "again", 10.0, alone=False)
    spell.over(7, 11.0)
    spell.eased(7, 11.0)
    assert spell.room(20.0) == 1 and len(said()) == 1
    spell.over(0, 21.0)
    assert spell.room(21.0) > 10**9 and len(said()) == 2


def test_clock_that_is_set_back_prolongs_no_pause() -> None:
    spell = Trouble()
    spell.met(0, "no room", "again", 1e9, alone=True)
    assert spell.room(1000.0) == 1


def test_run_that_is_cut_short_again_and_again_is_told_once_waits_longer_and_ends(said: Said) -> None:
    spell, now, waits = Trouble(), 0.0, []
    with pytest.raises(MachineError, match="disk is full; this happened again and again"):
        while now < 200:
            spell.cut_short(3, "the disk is full", now)
            spell.met(3, "the disk is full", "again", now, alone=True)
            begin = now
            while not spell.room(now):
                now += 0.05
            waits.append(now - begin)
            spell.tries(3)
            spell.eased(3, now)
            now += 1.5  # longer than what proves a start
            spell.room(now)
    assert 60 < now < 75 and len(said()) == 2 and "room again" in said()[1]
    assert waits[0] < 0.3 and max(waits) == pytest.approx(5.0, abs=0.1) and len(waits) < 25


def test_run_that_ends_in_between_lets_the_next_full_disk_count_anew(said: Said) -> None:
    spell = Trouble()
    for now in (0.0, 100.0, 200.0):
        spell.cut_short(3, "the disk is full", now)
        spell.met(3, "the disk is full", "again", now, alone=True)
        spell.tries(3)
        spell.over(3, now + 2.0)
        assert spell.room(now + 3.0) > 1
    assert len(said()) == 6
