"""Changes of a study that no engine leads."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.control import requests
from hpo_engine.store.journal import Journal, read_history
from hpo_engine.study.events import EngineGone, EngineStarted, Event, TrialEnded, TrialProposed, opening
from tests.support.random_logs import spec


@pytest.mark.parametrize("killed", [True, False])
def test_the_time_since_an_engine_was_killed_is_no_running_time(tmp_path: Path, killed: bool) -> None:
    paths = StudyPaths(str(tmp_path / "s"))
    Path(paths.root).mkdir()
    journal = Journal(paths.db, write=True)
    began: list[Event] = [EngineStarted(10.0, pid=1), TrialProposed(15.0, 0, {"x": 0.5})]
    journal.append([*opening(spec(), 1.0), *(began if killed else began[1:])])
    journal.close()
    requests.record(paths, lambda history, now: [TrialEnded(now, 0, "stopped")])
    assert read_history(paths.db).elapsed_s(1e10) == (5.0 if killed else 0.0)
    log = Journal(paths.db)
    assert [type(event) for event in log.read()].count(EngineGone) == killed
    log.close()


def test_nothing_is_recorded_of_a_change_that_changes_nothing(tmp_path: Path) -> None:
    paths = StudyPaths(str(tmp_path / "s"))
    Path(paths.root).mkdir()
    journal = Journal(paths.db, write=True)
    journal.append([*opening(spec(), 1.0), EngineStarted(10.0, pid=1)])
    journal.close()
    assert requests.record(paths, lambda history, now: []).events == 2
