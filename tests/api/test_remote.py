"""Studies at a server, from Python: used as one that runs here."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hpo_engine as hpo
from hpo_engine.errors import StudyExists, StudyNotFound
from tests.support.service import Served, served

TRAIN = """\
import json, os
c = json.load(open("config.json"))
json.dump([{"step": i, "loss": c["x"] + 1 / i} for i in (1, 2)], open("val_dict_list.json", "w"))
print("with", open("words.txt").read())
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("root")) as service:
        yield service


@pytest.fixture
def fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A study whose script is in the current folder, and a user who is known at the server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPO_ENGINE_TOKEN", "token-of-ada")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "words.txt").write_text("what was sent")
    return {
        "name": "far", "command": f"{sys.executable} train.py", "objective": "minimize loss", "trials": 2,
        "algorithm": "random", "options": {"seed": 1}, "trackers": [], "space": hpo.Space(x=hpo.float(0, 1)),
    }  # fmt: skip


def test_a_study_is_run_read_and_changed_at_a_server(
    service: Served, fields: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    study = hpo.run(fields, server=service.url)
    assert "far finished" in capfd.readouterr().out
    assert study.state == "finished" and len(study.trials) == 2 and study.best is not None
    assert study.folder == f"127.0.0.1:{service.root}/far" and study.space == fields["space"]
    assert study.best.rows[-1]["loss"] == study.best.value
    (listed,) = hpo.list_studies(server=service.url)
    assert (listed.name, listed.state, listed.done, listed.owner) == ("far", "finished", 2, "ada")
    assert listed.best == (study.best.id, study.best.value)
    again = pickle.loads(pickle.dumps(listed.load()))  # noqa: S301
    study.resume(trials=4, wait=False)
    with pytest.raises(hpo.SpecError, match="y: is not a parameter"):
        study.enqueue(y=1)
    study.wait()
    assert [trial.id for trial in again.trials] == [0, 1, 2, 3], "what it shows is as the study stands"
    assert hpo.run(fields, server=service.url, trials=5, quiet=True).trials[4].state == "completed"
    with pytest.raises(StudyExists, match="differs from this file"):
        hpo.run({**fields, "objective": "maximize loss"}, server=service.url)
    with pytest.raises(StudyNotFound, match='no study "fat"; did you mean "far"'):
        hpo.Study.load("fat", server=service.url)
    assert not os.path.exists("hpo-runs"), "nothing of it is here"


def test_studies_here_are_listed_as_well(fields: dict[str, Any], tmp_path: Path) -> None:
    assert hpo.list_studies(root=tmp_path / "runs") == []
    hpo.run(fields, root=tmp_path / "runs", quiet=True)
    (found,) = hpo.list_studies(root=tmp_path / "runs")
    assert found.state == "finished" and found.metrics == ("loss",) and found.load().name == "far"
    with pytest.raises(hpo.SpecError, match="not both"):
        hpo.list_studies(root=tmp_path, server="http://127.0.0.1:9")
