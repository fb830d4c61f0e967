"""`/api/v1` over a real server: studies and trials as programs read and change them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.service.v1 import models
from tests.support.helpers import wait_until
from tests.support.service import Served, served

TRAIN = """\
import json
c = json.load(open("config.json"))
print("training with", c, flush=True)
rows = [{"step": i, "loss": (c["x"] - 1) ** 2 + (0.5 if i == 3 else 1 / i), "size": c["x"]} for i in (1, 2, 3, 4)]
json.dump(rows, open("val_dict_list.json", "w"))
if c["x"] > 1.9:
    raise SystemExit("too wide")
"""


def study_file(name: str, folder: Path, **more: Any) -> str:
    fields = {
        "name": name, "command": f"{sys.executable} {folder}/train.py", "objective": "minimize loss", "algorithm": "random",
        "options": {"seed": 1}, "trials": 5, "parallel": 2, "space": {"x": {"float": [0, 2]}}, **more,
    }  # fmt: skip
    return json.dumps(fields)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "train.py").write_text(TRAIN)
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("root")) as service:
        yield service


@pytest.fixture(scope="module")
def done(service: Served, folder: Path) -> str:
    """A study of six trials, of which the last was queued and has failed."""
    text = study_file("done", folder, points=[{"x": 1.95}], trials=6)
    answer = service.post("/api/v1/studies", json={"text": text})
    assert answer.status_code == 201 and answer.headers["location"].endswith("/api/v1/studies/done")
    models.StudyModel.model_validate(answer.json())
    wait_until(lambda: service.get("/api/v1/studies/done").json()["state"] == "finished")
    copied = {path.name for path in Path(service.root, "done", "model").iterdir()}
    assert not copied, "nothing of the service's own is beside its studies' scripts"
    return "done"


def test_a_study_is_submitted_watched_and_read(service: Served, done: str) -> None:
    study = models.StudyModel.model_validate(service.get(f"/api/v1/studies/{done}").json())
    assert study.state == "finished" and study.counts == {"completed": 5, "failed": 1} and study.best is not None
    listed = models.Studies.model_validate(service.get("/api/v1/studies?state=finished&q=rand").json())
    assert [brief.study for brief in listed.studies] == [done] and listed.total == 1
    assert service.get("/api/v1/studies?state=running").json()["studies"] == []
    best = models.TrialDetail.model_validate(service.get(f"/api/v1/studies/{done}/best").json())
    assert best.trial == study.best.trial and best.config == best.params
    why = service.get(f"/api/v1/studies/{done}/explain").json()
    assert models.Explained.model_validate(why).rank.place == 1 and why["proposed"]["why"].startswith("random: ")
    assert service.get(f"/api/v1/studies/{done}/trials/{best.trial}/explain").json() == why
    assert service.get(f"/api/v1/studies/{done}/trials/77/explain").status_code == 404
    seen = best.metrics_seen["loss"]
    assert (seen.counts, seen.min_step, seen.latest_step) == ("min", 4, 4) and seen.min == best.value
    again = service.post("/api/v1/studies", json={"text": study_file(done, Path("/"))})
    assert again.status_code in (400, 409)


def test_trials_are_sorted_chosen_and_paged(service: Served, done: str) -> None:
    def trials(query: str) -> list[dict[str, Any]]:
        page = service.get(f"/api/v1/studies/{done}/trials?{query}").json()
        models.Trials.model_validate(page) if "columns" not in query else None
        found: list[dict[str, Any]] = page["trials"]
        return found

    values = [trial["value"] for trial in trials("sort=loss")]
    assert values[:5] == sorted(values[:5]) and values[5] is None
    assert [t["trial"] for t in trials("sort=-trial&limit=2&offset=1")] == [4, 3]
    assert {t["state"] for t in trials("where=state!=completed")} == {"failed"}
    chosen = trials("where=params.x<1.9&where=metrics.loss<=10&columns=trial&columns=params")
    assert len(chosen) == 5 and set(chosen[0]) == {"trial", "params"}
    assert trials("q=too+wide")[0]["state"] == "failed"
    refused = service.get(f"/api/v1/studies/{done}/trials?where=params.y=1")
    assert refused.status_code == 400 and 'the study has no "params.y"' in refused.json()["error"]


def test_what_a_trial_reported_printed_and_left(service: Served, done: str) -> None:
    base = f"/api/v1/studies/{done}/trials/0"
    rows = models.Rows.model_validate(service.get(f"{base}/rows?metric=loss&after=1").json())
    assert [row["step"] for row in rows.rows] == [2, 3, 4] and "size" not in rows.rows[0]
    curves = models.Curves.model_validate(service.get(f"/api/v1/studies/{done}/curves?trials=0-2&points=3").json())
    assert [len(curve.steps) for curve in curves.curves] == [len(curve.values) for curve in curves.curves]
    log = models.Log.model_validate(service.get(f"{base}/log?tail=1").json())
    assert log.lines and "too wide" in " ".join(log.lines)
    files = models.Files.model_validate(service.get(f"{base}/files").json())
    config = next(file for file in files.files if file.name == "config.json")
    got = service.get(f"{base}/files/{config.id}")
    assert got.json() == {"x": 1.95} and "attachment" in got.headers["content-disposition"]
    for path in ("../../algo.yaml", "config.json", "0" * 24, "..%2f..%2falgo.yaml"):
        assert service.get(f"{base}/files/{path}").status_code in (400, 404)


def test_an_unchanged_answer_is_not_sent_again_and_a_large_one_is_compressed(service: Served, done: str) -> None:
    for path in (
        "/studies",
        f"/studies/{done}",
        f"/studies/{done}/trials?limit=1000",
        f"/studies/{done}/figures/history",
    ):
        first = service.get(f"/api/v1{path}")
        assert service.get(f"/api/v1{path}", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
        plain = service.get(f"/api/v1{path}", headers={"Accept-Encoding": "identity"})
        assert plain.json() == first.json() and "content-encoding" not in plain.headers
        assert len(plain.content) < 1024 or first.headers["content-encoding"] == "gzip"
        assert service.get(f"/api/v1{path}", headers={"If-None-Match": 'W/"other"'}).status_code == 200


def test_a_text_is_checked_as_it_is_typed(service: Served, folder: Path) -> None:
    def check(text: str) -> models.Checked:
        return models.Checked.model_validate(service.post("/api/v1/check", json={"text": text}).json())

    assert check(study_file("new", folder)).study == "new"
    wrong = check("name: a\ncommand: python nowhere.py\nobjective: loss\nspac: {}\n")
    assert not wrong.ok and {("objective", 3), ("spac", 4)} <= {(p.path, p.line) for p in wrong.problems}
    assert check("space: {x: [").problems[0].line is not None
    sent = {
        "text": "name: a\ncommand: python own.py {x}\nobjective: minimize loss\ntrials: 2\nspace: {x: {float: [0, 1]}}\n"
    }
    lacking = service.post("/api/v1/check", json={**sent, "files": {"other.py": ""}}).json()
    assert not lacking["ok"] and "own.py" in lacking["problems"][0]["text"] and "/tmp" not in str(lacking)
    assert service.post("/api/v1/check", json={**sent, "files": {"own.py": "1"}}).json()["problems"] == []


def test_a_study_is_changed_and_goes_on(service: Served, folder: Path) -> None:
    service.post("/api/v1/studies", json={"text": study_file("more", folder, trials=1), "name": "renamed"})
    base = "/api/v1/studies/renamed"
    wait_until(lambda: service.get(base).json()["state"] == "finished")
    assert service.post(f"{base}/edit", json={"set": ["trials=4"], "dry_run": True}).json()["changed"] is False
    edited = models.Changed.model_validate(service.post(f"{base}/edit", json={"set": ["trials=4"]}).json())
    assert edited.lines == ["trials: 1 -> 4"] and "4" in service.get(f"{base}/file").text
    (queued,) = service.post(f"{base}/enqueue", json={"configurations": [{"x": 1.95}]}).json()
    assert models.QueuedModel.model_validate(queued).trial is None
    assert service.post(f"{base}/enqueue", json={"configurations": [{"y": 1}]}).json()["problems"][0]["path"] == "y"
    assert service.post(f"{base}/trials/0/clone", json={"change": {"x": 0.125}}).status_code == 200
    assert service.post(f"{base}/resume").status_code == 200
    wait_until(lambda: service.get(base).json()["done"] == 4)
    trials = service.get(f"{base}/trials").json()["trials"]
    assert [trial["params"]["x"] for trial in trials[1:3]] == [1.95, 0.125] and len(trials) == 4
    retried = service.post(f"{base}/trials/1/retry")
    assert models.Done.model_validate(retried.json()).state == "pending"
    wait_until(lambda: service.get(f"{base}/trials/1").json()["attempts"] == 2)
    assert service.delete(f"{base}?force=true").status_code == 204 and service.get(base).status_code == 404


def test_wrong_requests_are_refused_in_one_form(service: Served, done: str) -> None:
    for method, path, options, status in (
        ("GET", "/studies/nope", {}, 404),
        ("GET", f"/studies/{done}/trials/99", {}, 404),
        ("GET", f"/studies/{done}/trials/-1", {}, 400),
        ("GET", f"/studies/{done}/trials?limit=0", {}, 400),
        ("GET", f"/studies/{done}/figures/nope", {}, 400),
        ("GET", f"/studies/{done}/importance", {}, 404),
        ("POST", "/studies", {"data": b"\xff", "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", "/studies", {"json": {"texts": "x"}}, 400),
        ("POST", f"/studies/{done}/resume", {"json": {"trials": "many"}}, 400),
        ("POST", f"/studies/{done}/edit", {"json": {}}, 400),
    ):
        answer = service.request(method, f"/api/v1{path}", **options)
        assert answer.status_code == status, (path, answer.text)
        models.ErrorModel.model_validate(answer.json())
