"""Studies from Python: run, followed while they grow, changed and stopped, whoever started them."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hpo_engine as hpo
from hpo_engine.api.any_study import AnyStudy
from hpo_engine.errors import EngineError, StudyExists, StudyGone, StudyLocked, StudyNotFound
from hpo_engine.studyfile.document import dump

SCRIPT = """\
while [ -e "$GATE" ]; do sleep 0.02; done
echo "epoch 1 loss=$1"; echo "epoch 2 loss=$1"; touch left
"""
"""Waits as long as the file $GATE is there."""


class Place:
    """A folder with a script, and the current one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.gate = folder, folder.parent / "gate"
        (folder / "run.sh").write_text(SCRIPT)

    def fields(self, **changes: Any) -> dict[str, Any]:
        return {
            "name": "small", "command": "sh run.sh {x}", "objective": "minimize loss", "results": "stdout", "trials": 2,
            "algorithm": "random", "options": {"seed": 1}, "trackers": [], "env": {"GATE": str(self.gate)},
            "space": hpo.Space(x=hpo.float(0, 1), kind=hpo.choice(["a", "b"])), **changes,
        }  # fmt: skip

    def closed(self) -> None:
        self.gate.touch()

    def opened(self) -> None:
        self.gate.unlink(missing_ok=True)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    found = Place(folder)
    yield found
    found.opened()
    for study in (folder / "hpo-runs").glob("*/study.db"):
        hpo.Study.load(study.parent).stop(kill=True)


def test_a_study_is_run_read_and_continued(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    study = hpo.run(place.fields())
    assert "2 completed" in capfd.readouterr().out
    assert (study.name, study.state, study.running) == ("small", "finished", False)
    assert [trial.state for trial in study.trials] == ["completed"] * 2
    best = min(study.trials, key=lambda trial: trial.value or 0.0)
    assert study.best == best and study.front == [best] and best.value == best.params["x"] == best.metrics["loss"]
    assert best.values == {"loss": best.value} and [row["step"] for row in best.rows] == [1, 2]
    assert os.path.isfile(f"{best.folder}/left") and os.path.isdir(best.logs) and best.seconds
    assert study.space == place.fields()["space"] and study.space.sample(1, seed=1) == [study.trials[0].params]
    assert "finished, 2 ended trials, best loss" in repr(study)
    same = hpo.run(place.fields(), quiet=True)  # nothing is left to run
    more = hpo.run(place.fields(), trials=3, quiet=True)
    assert same.history.opened_at == more.history.opened_at and len(study.trials) == 3
    for other in (hpo.Study.load("small"), hpo.Study.load(study.folder), copy.copy(study), _pickled(study)):
        assert other.trials == study.trials

    frame = study.dataframe()
    assert frame["value"].tolist() == [trial.value for trial in study.trials]
    assert frame["params.kind"].tolist() == [trial.params["kind"] for trial in study.trials]
    assert frame["ended"].is_monotonic_increasing and str(frame["started"].dtype).endswith("UTC]")
    curves = study.curves()
    assert curves.columns.tolist() == ["trial", "step", "loss"] and len(curves) == 6


def _pickled(study: AnyStudy) -> AnyStudy:
    found: hpo.Study = pickle.loads(pickle.dumps(study))  # noqa: S301
    return found


def test_a_running_study_is_waited_for_changed_and_joined(place: Place) -> None:
    place.closed()
    study = hpo.run(place.fields(), wait=False)
    assert study.state == "running" and study.best is None
    with pytest.raises(TimeoutError, match="small still runs"):
        study.wait(timeout=0.1)
    study.enqueue(x=0.25)
    assert hpo.run(place.fields(), wait=False).running  # it is joined
    with pytest.raises(StudyLocked, match="is being run by another"):
        hpo.run(place.fields(), trials=5, wait=False)
    with pytest.raises(hpo.SpecError, match="y: is not a parameter of the space; known: kind, x"):
        study.enqueue([{"y": 1}])

    async def followed() -> list[tuple[int, float | None]]:
        cancelled = asyncio.create_task(_wait(study))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        place.opened()
        found = [(trial.id, trial.value) async for trial in study.watch()]
        assert cancelled.cancelled() and await study is study
        return found

    before = threading.active_count()
    ended = asyncio.run(followed())
    assert threading.active_count() == before
    assert [number for number, _ in ended] == [0, 1] and dict(ended)[1] == 0.25
    assert study.trial(1).params["x"] == 0.25 and study.trial(1).params["kind"] in "ab"


async def _wait(study: AnyStudy) -> None:
    await study


def test_a_study_is_stopped_and_resumed(place: Place) -> None:
    place.closed()
    study = hpo.run(place.fields(), wait=False)
    assert study.stop().state == "stopped" and study.stop(kill=True).state == "stopped"
    with pytest.raises(hpo.SpecError, match="trials: 0"):
        study.resume(trials=0)
    place.opened()
    assert study.resume(trials=3, time_limit="1h", quiet=True).state == "finished"
    assert len(study.trials) == 3 and study.spec.budget.time_s == 3600


def test_what_is_wrong_is_one_error_with_all_of_it(place: Place) -> None:
    with pytest.raises(hpo.SpecError) as error:
        hpo.run(place.fields(trails=3, objective="best loss", parallel=0))
    assert [problem.path for problem in error.value.problems] == ["objective", "trails", "parallel"]
    assert 'unknown key "trails"; did you mean "trials"?' in str(error.value)
    for wrong, words in (
        (place.fields(space=object()), "space: .*is not a JSON value"),
        (place.fields(env={"A": object()}), "env: <object .* is not a JSON value|env.*JSON"),
        (7, "a study is a path, a mapping or a StudySpec"),
        ("nowhere.yaml", "nowhere.yaml: no such file"),
    ):
        with pytest.raises(hpo.SpecError, match=words):
            hpo.run(wrong)  # type: ignore[arg-type]
    for limits in ({"trials": 0}, {"parallel": 1.5}, {"seed": -1}, {"name": "a/b"}):
        with pytest.raises(hpo.SpecError, match=next(iter(limits))):
            hpo.run(place.fields(), **limits)
    with pytest.raises(StudyNotFound):
        hpo.Study.load("small")
    assert not (place.folder / "hpo-runs").exists()


def test_another_study_under_the_name_is_left_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.folder / "algo.yaml").write_text(dump({**place.fields(), "space": place.fields()["space"].to_dict()}))
    study = hpo.run(place.folder / "algo.yaml", quiet=True, root=place.folder / "hpo-runs", trials=1)
    with pytest.raises(StudyExists, match="differs from this file:\n  objective"):
        hpo.run(place.fields(objective="maximize loss"))
    monkeypatch.setenv("HPO_ATTEMPT", "nonce")
    with pytest.raises(hpo.SpecError, match="this process is a trial of a study itself"):
        hpo.run(place.fields(name="other"))
    monkeypatch.delenv("HPO_ATTEMPT")
    shutil.move(study.folder, f"{study.folder}-away")
    with pytest.raises(StudyGone, match="moved or removed"):
        _ = study.trials
    moved = hpo.Study.load(f"{study.folder}-away")
    assert len(moved.trials) == 1
    hpo.run(place.fields(), quiet=True, trials=1)
    with pytest.raises(StudyGone, match="another one has its name"):
        _ = study.state


def test_an_engine_that_dies_is_said(place: Place) -> None:
    from hpo_engine.store.lock import who_leads

    place.closed()
    study = hpo.run(place.fields(), wait=False)
    leader = who_leads(f"{study.folder}/engine.lock")
    assert leader is not None

    def kill() -> None:
        os.kill(leader.pid, 9)

    timer = threading.Timer(0.2, kill)
    timer.start()
    with pytest.raises(EngineError, match="its engine has ended before the study; resume continues it"):
        study.wait(timeout=60)
    timer.join()
    assert study.state == "interrupted"
    place.opened()
    assert study.resume(quiet=True).state == "finished"
