"""Large studies are read before anybody asks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.service.desk import warming
from hpo_engine.service.desk.looking import Glances, Histories
from hpo_engine.service.desk.warming import Warming
from hpo_engine.store.journal import Journal
from tests.support.drawn_studies import written


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three studies, of 3, 6 and 9 trials; the first is the latest. The others are large."""
    monkeypatch.setattr(warming, "_AFTER_S", 0.0)
    monkeypatch.setattr(warming, "LARGE", 5)
    for number, count in enumerate((9, 6, 3)):
        os.rename(written(str(tmp_path), "plain", count), tmp_path / f"of{count}")
        os.utime(tmp_path / f"of{count}" / "study.db", (1e9 + number, 1e9 + number))
    return tmp_path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The studies whose logs are folded, in that order."""
    found: list[str] = []
    real = Journal.history

    def history(self: Journal, known: Any = None) -> Any:
        if known is None:  # else only what is new is read
            found.append(Path(self.path).parent.name)
        return real(self, known)

    monkeypatch.setattr(Journal, "history", history)
    return found


def warmed(root: Path) -> Histories:
    histories = Histories()
    made = Warming(str(root), Glances(), histories)
    made.start()
    made.wait()
    return histories


def test_large_studies_are_read_the_latest_first_and_not_again_by_who_asks(root: Path, read: list[str]) -> None:
    histories = warmed(root)
    assert read == ["of6", "of9"]
    paths = StudyPaths(str(root / "of9"))
    assert histories.of(paths).next_id == 9
    assert read == ["of6", "of9"]


def test_only_so_many_are_read(root: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "_MOST_TRIALS", 10)
    warmed(root)
    assert read == ["of6"]
    read.clear()
    monkeypatch.setattr(warming, "_MOST_TRIALS", 100)
    monkeypatch.setattr(warming, "_MOST_STUDIES", 1)
    warmed(root)
    assert read == ["of6"]


def test_a_damaged_study_is_left_to_who_asks_for_it(root: Path, read: list[str]) -> None:
    (root / "of6" / "study.db").write_bytes(b"not a database")
    warmed(root)
    assert read == ["of9"]


def test_a_service_that_ends_at_once_reads_nothing(
    root: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "_AFTER_S", 60.0)
    made = Warming(str(root), Glances(), Histories())
    made.close()  # it was never begun
    made = Warming(str(root), Glances(), Histories())
    made.start()
    made.close()
    made.wait()
    assert not read
