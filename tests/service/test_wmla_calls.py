"""Every call of the dialect, over HTTP, with real engines and scripts."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from hpo_engine.service.wmla.answers import BASE
from tests.support import command
from tests.support.helpers import wait_until
from tests.support.service import Served, served
from tests.support.wmla import LR, request

ANN, BOB = ("ann", "x"), ("bob", "x")
TOKEN = {"X-Auth-Token": "token-of-ann"}
SCRIPT = b"""\
import json, os
config = json.load(open("config.json"))
print("training with", config)
if os.path.exists("helper.txt"):
    print(open("helper.txt").read())
open(os.environ["LOG_DIR"] + "/stdout", "a").write("[12:00] Train\\n")
json.dump([{"step": 1, "loss": config.get("lr", 0.5)}], open(os.environ["RESULT_DIR"] + "/val_dict_list.json", "w"))
"""
WAITS = b"""\
import os, time
print("waiting", flush=True)
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.02)
exec(open("rest.py").read())
"""
ARGS = "--exec-start PyTorch --model-main train.py --workerDeviceNum 0"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with (
        pytest.MonkeyPatch.context() as patch,
        served(tmp_path_factory.mktemp("root"), guarded) as service,
    ):
        patch.setenv("HPO_ENGINE_LEDGER", str(tmp_path_factory.mktemp("ledger")))
        yield service


def guarded(app: Any) -> Any:
    from tests.support.service import Trusting

    return Trusting(app, others=("ann", "bob"))


def task(name: str = "", args: str = ARGS, jobs: int = 2, **top: Any) -> dict[str, Any]:
    """A request; `name` "": one is made."""
    made = request(args=args, algo={"maxJobNum": jobs}, params=[{**LR, "minDbVal": 0.1, "maxDbVal": 0.2}], **top)
    return {**made, "hpoName": name} if name else {k: v for k, v in made.items() if k != "hpoName"}


def tar(folder: str = "", zipped: bool = True, **files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}{name.replace('__', '.')}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue()) if zipped else out.getvalue()


def submit(service: Served, data: Any, files: Any = None, **options: Any) -> requests.Response:
    options = {"auth": ANN, **options}
    text = data if isinstance(data, str) else json.dumps(data)
    return service.post(f"{BASE}/hypersearch", data={"data": text}, files=files or {"file": SCRIPT}, **options)


def ended(service: Served, name: str, **options: Any) -> dict[str, Any]:
    """The task when it has ended, as notebooks wait for that."""
    while True:
        found: dict[str, Any] = service.get(f"{BASE}/hypersearch/{name}", **{"auth": ANN, **options}).json()
        if found["state"] not in ("SUBMITTED", "RUNNING"):
            return found
        time.sleep(0.05)


@pytest.fixture(scope="module")
def done(service: Served) -> dict[str, Any]:
    """A search that has ended."""
    return ended(service, submit(service, task("done")).json())


# -- submissions -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_first_generation_gets_a_string_and_the_second_an_object(service: Served) -> None:
    first = submit(service, task()).json()
    assert isinstance(first, str) and first.startswith("ann-hpo-")
    second = submit(service, task(), auth=None, headers=TOKEN).json()
    assert second == {"uid": second["uid"], "href": f"{BASE}/hypersearch/{second['uid']}"}
    sdk = submit(service, task(), headers={"User-Agent": "wmla-python-sdk/1.0 (lang=python)"}).json()
    assert sdk["uid"].startswith("ann-hpo-")
    for name in (first, second["uid"], sdk["uid"]):
        assert ended(service, name)["state"] == "FINISHED"


@pytest.mark.by_default("tar.gz with a top folder")
@pytest.mark.parametrize(
    ("files", "args", "helped"),
    [
        ({"train.py": SCRIPT}, ARGS, False),
        ({"file": (None, SCRIPT)}, ARGS, False),
        (
            {"file": ("x.modelDir.tar", tar("m/", train__py=SCRIPT, helper__txt=b"helped"))},
            f"{ARGS} --model-dir m",
            True,
        ),
        ({"file": (None, tar("", False, train__py=SCRIPT, helper__txt=b"helped"))}, ARGS, True),
        ({"anything": ("a.bin", tar("./", train__py=SCRIPT))}, ARGS, False),
    ],
    ids=["script named as its part", "script", "tar.gz with a top folder", "tar", "tar of ."],
)
def test_a_model_is_told_by_its_content(service: Served, files: Any, args: str, helped: bool) -> None:
    found = ended(service, submit(service, task(args=args, jobs=1), files).json())
    assert found["state"] == "FINISHED", found
    log = service.get(f"{BASE}/execs/{found['best']['appId']}/log", auth=ANN).json()
    assert ("helped" in log) is helped


def test_a_model_without_a_filename_may_be_large(service: Served) -> None:
    """The usual form parser takes it for text, of which it allows 1 MiB."""
    blob = os.urandom(3_000_000)
    model = tar("model/", train__py=SCRIPT, weights__bin=blob)
    name = submit(service, task(args=f"{ARGS} --model-dir model", jobs=1), {"file": (None, model)}).json()
    assert ended(service, name)["state"] == "FINISHED"
    assert (Path(service.root) / name / "model" / "weights.bin").read_bytes() == blob


@pytest.mark.slow
def test_the_request_may_be_a_python_literal_a_part_or_both(service: Served) -> None:
    literal = repr(task("literal", jobs=1, note=None)).replace("'", "'")
    assert submit(service, literal).json() == "literal"
    text = json.dumps(task("part", jobs=1))
    part = service.post(f"{BASE}/hypersearch", files={"data": ("data.json", text), "file": SCRIPT}, auth=ANN)
    assert part.json() == "part"
    text = json.dumps(task("twice", jobs=1))
    twice = service.post(f"{BASE}/hypersearch", data={"data": text}, files={"data": text, "x": SCRIPT}, auth=ANN)
    assert twice.json() == "twice"
    assert {ended(service, name)["state"] for name in ("literal", "part", "twice")} == {"FINISHED"}


def test_what_is_wrong_is_told_by_field(service: Served) -> None:
    wrong = task("wrong")
    wrong["algoDef"] |= {"algorithm": "Randm", "objective": "least"}
    answer = submit(service, wrong)
    assert answer.status_code == 400
    assert {problem["path"] for problem in answer.json()["problems"]} == {"algoDef.algorithm", "algoDef.objective"}


def test_a_name_that_is_taken_is_a_conflict(service: Served, done: dict[str, Any]) -> None:
    again = submit(service, task("done"))
    assert again.status_code == 409 and "done" in again.json()["error"]


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_a_task_of_the_first_generation(service: Served, done: dict[str, Any]) -> None:
    assert done["state"] == "FINISHED" and done["progress"] == "2/2" and done["creator"] == "ann"
    assert (done["complete"], done["failed"], done["running"]) == (2, 0, 0)
    assert "algoDef" not in done and all(e["driverId"].startswith("driver-") for e in done["experiments"])
    best = min(done["experiments"], key=lambda e: e["metricVal"])
    assert done["best"] == best and best["appId"].startswith("ann-")
    assert best["metrics"] == [{"name": "loss", **dict.fromkeys(("min", "max", "latest"), best["metricVal"])}]


def test_a_task_of_the_second_generation(service: Served, done: dict[str, Any]) -> None:
    body = {"username": "ann", "password": "x"}  # which its notebooks send with GET
    found = service.get(f"{BASE}/hypersearch/done", headers=TOKEN, json=body).json()
    assert found["algoDef"]["algorithm"] == "Random" and found["hyperParams"][0]["type"] == "range"
    assert found["best"]["appId"].startswith("hpo-") and "driverId" not in found["best"]
    assert found["best"]["metricVal"] == done["best"]["metricVal"]


@pytest.mark.parametrize("path", ["/hypersearch", "/hypersearch/", "//hypersearch"])
def test_tasks_are_listed_whatever_the_slashes(service: Served, done: dict[str, Any], path: str) -> None:
    for answer in (service.get(BASE + path, auth=ANN), service.get(f"/{BASE}{path}", auth=ANN, json={})):
        assert done["hpoName"] in [found["hpoName"] for found in answer.json()]


def test_others_see_nothing_of_it(service: Served, done: dict[str, Any]) -> None:
    app_id = done["best"]["appId"]
    assert service.get(f"{BASE}/hypersearch", auth=BOB).json() == []
    assert service.get(f"{BASE}/execs", auth=BOB).json() == []
    assert service.get(f"{BASE}/hypersearch/done", auth=BOB).status_code == 404
    assert service.put(f"{BASE}/hypersearch/done", auth=BOB).status_code == 404
    assert service.delete(f"{BASE}/hypersearch/done", auth=BOB).status_code == 404
    for call in ("", "/log", "/result"):
        assert service.get(f"{BASE}/execs/{app_id}{call}", auth=BOB).status_code == 400
    assert service.delete(f"{BASE}/hypersearch", auth=BOB).status_code == 204
    assert service.get(f"{BASE}/hypersearch/done", auth=ANN).status_code == 200
    assert done["hpoName"] in [found["hpoName"] for found in service.get(f"{BASE}/hypersearch").json()], (
        "an admin sees all"
    )


@pytest.mark.slow
def test_a_study_of_the_command_line_is_shown_to_admins(service: Served, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_bytes(SCRIPT)
    study = {
        "command": "python train.py --lr {lr}", "objective": {"metric": "loss", "goal": "minimize"}, "trials": 1,
        "space": {"lr": {"float": [0, 1]}, "kind": {"choice": ["a", [1, 2]]}},
    }  # fmt: skip
    (tmp_path / "native.json").write_text(json.dumps(study))
    done = command.run("submit", "native.json", "--root", service.root, cwd=tmp_path, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    found = service.get(f"{BASE}/hypersearch/native").json()
    assert found["state"] == "FINISHED" and found["experiments"][0]["hyperParams"][0]["dataType"] == "double"
    job = service.get(f"{BASE}/execs/{found['best']['appId']}").json()
    assert job["args"] == "python train.py --lr '{lr}'" and job["framework"] == ""


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_an_experiment_is_a_job_in_flat_scalars(service: Served, done: dict[str, Any]) -> None:
    app_id = done["best"]["appId"]
    job = service.get(f"{BASE}/execs/{app_id}", auth=ANN).json()
    assert job["id"] == job["appId"] == job["submissionId"] == app_id and job["state"] == "FINISHED"
    assert all(isinstance(value, str | int | bool) for value in job.values()), job
    assert job["args"] == ARGS and job["framework"] == "PyTorch" and job["numWorker"] == 1 and job["elastic"] is False
    assert job["createTime"].endswith("Z") and job["workDir"].startswith(f"{service.root}/done/results/")
    assert app_id in [each["appId"] for each in service.get(f"{BASE}/execs/", auth=ANN).json()]


def test_an_id_of_either_form_finds_the_job(service: Served, done: dict[str, Any]) -> None:
    theirs = service.get(f"{BASE}/hypersearch/done", headers=TOKEN).json()["best"]["appId"]
    for app_id in (theirs, done["best"]["appId"]):
        assert service.get(f"{BASE}/execs/{app_id}", auth=ANN).json()["appId"] == done["best"]["appId"]
        assert service.get(f"{BASE}/execs/{app_id}", headers=TOKEN).json()["appId"] == theirs


@pytest.mark.parametrize("app_id", ["nope", "ann-1-1", "ann-1795838976533120-0", "hpo-7", "%2e%2e", "ann-1-" + "9" * 6])
@pytest.mark.parametrize("call", ["", "/log", "/result"])
def test_an_unknown_job_is_a_400(service: Served, app_id: str, call: str) -> None:
    answer = service.get(f"{BASE}/execs/{app_id}{call}", auth=ANN)
    assert answer.status_code == 400 and "there is no job" in answer.json()["error"]


@pytest.mark.parametrize("accept", [None, "application/json", "application/octet-stream", "*/*"])
def test_a_log_is_a_json_string(service: Served, done: dict[str, Any], accept: str | None) -> None:
    url = f"{BASE}/execs/{done['best']['appId']}/log?logType=outlog"
    answer = service.get(url, auth=ANN, headers={"Accept": accept} if accept else {})
    assert answer.headers["content-type"] == "application/json" and answer.json().startswith("training with {'lr'")


def test_a_log_is_text_where_text_is_accepted(service: Served, done: dict[str, Any]) -> None:
    url = f"{BASE}/execs/{done['best']['appId']}/log?logType=errlog&args="
    answer = service.get(url, auth=ANN, headers={"Accept": "text/plain"})
    assert answer.headers["content-type"].startswith("text/plain") and answer.text.startswith("training with {'lr'")


def test_the_schedulers_logs(service: Served, done: dict[str, Any]) -> None:
    app_id = done["best"]["appId"]
    (job,) = service.get(f"{BASE}/scheduler/applications?applicationid={app_id}", auth=ANN).json()
    assert job["applicationid"] == app_id and len(job["task12n"]) == 1
    assert app_id in [j["applicationid"] for j in service.get(f"{BASE}/scheduler/applications", auth=ANN).json()]
    url = f"{BASE}/scheduler/applications/{app_id}"
    whole = service.get(f"{url}/executor/1/logs/stdout", auth=ANN)
    assert whole.headers["content-type"].startswith("text/plain")
    assert whole.text.splitlines()[1:] == ["[12:00] Train"] and whole.text.startswith("training with")
    assert service.get(f"{url}/executor/1/logs/stdout?lastlines=1", auth=ANN).text == "[12:00] Train\n"
    assert service.get(f"{url}/driver/logs/stderr?lastlines=0", auth=ANN).text == ""
    assert service.get(f"{url}/driver/logs/stderr?lastlines={10**30}", auth=ANN).text == whole.text


def test_a_result_is_a_zip_with_its_size_at_the_end_of_the_header(service: Served, done: dict[str, Any]) -> None:
    answer = service.get(f"{BASE}/execs/{done['best']['appId']}/result", auth=ANN)
    head = answer.headers["Content-Disposition"]
    assert int(head.split("size=")[1]) == len(answer.content) == int(answer.headers["Content-Length"])
    assert (
        next(item for item in head.split(";") if item.startswith("filename="))
        == f"filename={done['best']['appId']}.zip"
    )
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert {"config.json", "val_dict_list.json"} <= set(archive.namelist())
        assert json.loads(archive.read("config.json"))["lr"] == done["best"]["metricVal"]


# -- trainings ---------------------------------------------------------------------------------------------------------


def train(service: Served, args: str, files: Any = None, **options: Any) -> requests.Response:
    return service.post(
        f"{BASE}/execs/?args={args}&sigName=dli", files=files or {"file": (None, SCRIPT)}, auth=ANN, **options
    )


def job_ended(service: Served, app_id: str) -> dict[str, Any]:
    def over() -> Any:
        job = service.get(f"{BASE}/execs/{app_id}", auth=ANN).json()
        return None if job["state"] in ("SUBMITTED", "PENDING_CRD_SCHEDULER", "RUNNING") else job

    found: dict[str, Any] = wait_until(over)
    return found


def test_a_training_without_a_search(service: Served) -> None:
    made = train(service, f"{ARGS} --epochs 3").json()
    assert made["id"] == made["appId"] == made["submissionId"] and made["sigId"] == made["sigName"] == "dli"
    assert made["state"] in ("SUBMITTED", "RUNNING") and made["args"] == f"{ARGS} --epochs 3"
    job = job_ended(service, made["id"])
    assert job["state"] == "FINISHED" and job["createTime"] == made["createTime"]
    assert service.get(f"{BASE}/execs/{made['id']}/log", auth=ANN).json() == "training with {}\n"
    assert job["hpoName"] not in [found["hpoName"] for found in service.get(f"{BASE}/hypersearch", auth=ANN).json()]
    assert service.delete(f"{BASE}/execs/{made['id']}", auth=ANN).status_code == 204
    assert service.get(f"{BASE}/execs/{made['id']}", auth=ANN).status_code == 400


@pytest.mark.slow
def test_a_training_that_reports_nothing_is_good_by_its_exit_code(service: Served) -> None:
    good = train(service, ARGS, {"train.py": b"print('hello')"}).json()["id"]
    bad = train(service, ARGS, {"train.py": b"raise SystemExit(3)"}).json()["id"]
    assert (job_ended(service, good)["state"], job_ended(service, bad)["state"]) == ("FINISHED", "FAILED")


@pytest.mark.slow
def test_arguments_of_a_training_may_be_in_the_data(service: Served) -> None:
    data = {"data": json.dumps({"args": ARGS, "hardwareSpec": {}})}
    made = service.post(f"{BASE}/execs", data=data, files={"file": SCRIPT}, headers=TOKEN).json()
    assert made["args"] == ARGS and made["appId"].startswith("hpo-")
    assert job_ended(service, made["id"])["state"] == "FINISHED"


@pytest.mark.parametrize("call", ["/hypersearch", f"/execs?args={ARGS}"])
def test_a_submission_that_is_sent_again_is_one_study(service: Served, call: str) -> None:
    def send(key: str) -> Any:
        data = {"data": json.dumps(task(jobs=1))} if call == "/hypersearch" else {}
        headers = {"Idempotency-Key": f"{key}{call}"}
        return service.post(BASE + call, data=data, files={"file": SCRIPT}, auth=ANN, headers=headers).json()

    first, again, other = (send(key) for key in ("a", "a", "b"))
    names = [each if isinstance(each, str) else each["hpoName"] for each in (first, again, other)]
    assert names[0] == names[1] != names[2]


def test_a_training_is_stopped(service: Served) -> None:
    going = train(service, ARGS, {"train.py": b"import time; time.sleep(600)"}).json()["id"]
    wait_until(lambda: service.get(f"{BASE}/execs/{going}", auth=ANN).json()["state"] == "RUNNING")
    assert service.delete(f"{BASE}/execs", auth=ANN).status_code == 409
    assert service.post(f"{BASE}/execs/{going}/stop", auth=ANN).status_code == 204
    assert job_ended(service, going)["state"] == "STOPPED"
    assert service.post(f"{BASE}/execs/{going}/stop", auth=ANN).status_code == 400
    assert service.delete(f"{BASE}/execs/{going}", auth=ANN).status_code == 204


def test_a_training_without_arguments_or_model_is_refused(service: Served) -> None:
    assert "args is missing" in train(service, "").json()["error"]
    answer = service.post(f"{BASE}/execs?args={ARGS}", data={"data": "{}"}, files={"data": "{}"}, auth=ANN)
    assert answer.status_code == 400 and "no model" in answer.json()["error"]


# -- what is done to them ----------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(service: Served, tmp_path: Path) -> Iterator[str]:
    """A search of three experiments, one of which runs until the file GO is there."""
    go = tmp_path / "go"
    args = f"{ARGS} --model-dir m --msd-env GO={go}"
    model = tar("m/", train__py=WAITS, rest__py=SCRIPT)
    name = submit(service, task(args=args, jobs=3), {"file": (None, model)}).json()
    wait_until(lambda: service.get(f"{BASE}/hypersearch/{name}", auth=ANN).json()["running"] == 1)
    yield name
    go.touch()
    service.put(f"{BASE}/hypersearch/{name}/force", auth=ANN)


def test_stop_and_restart(service: Served, waiting: str, tmp_path: Path) -> None:
    url = f"{BASE}/hypersearch/{waiting}"
    assert service.delete(url, auth=ANN).status_code == 409
    assert service.put(f"{url}/restart", auth=ANN).text == f"Error 400: Model tuning {waiting} is running."
    assert service.put(url, auth=ANN).status_code == 204
    assert ended(service, waiting)["state"] == "STOPPED"
    again = service.put(url, auth=ANN)
    assert (again.status_code, again.text) == (400, f"Error 400: Model tuning {waiting} is already stopped.")
    assert again.headers["content-type"].startswith("text/plain")
    (tmp_path / "go").touch()
    assert service.put(f"{url}/restart", auth=ANN).status_code == 200
    found = ended(service, waiting)
    assert (found["state"], found["progress"]) == ("FINISHED", "3/3")
    assert service.put(f"{url}/restart", auth=ANN).status_code == 400
    assert service.delete(url, auth=ANN).status_code == 204
    assert service.get(url, auth=ANN).status_code == 404
    assert not (Path(service.root) / waiting).exists()


@pytest.mark.slow
def test_stop_by_force_and_removal_by_force(service: Served, waiting: str) -> None:
    url = f"{BASE}/hypersearch/{waiting}"
    assert service.put(f"{url}/force", auth=ANN).status_code == 204
    assert ended(service, waiting)["state"] == "STOPPED"
    assert service.put(f"{url}/restart", auth=ANN).status_code == 200
    wait_until(lambda: service.get(url, auth=ANN).json()["running"] == 1)
    assert service.delete(f"{url}?force=true", auth=ANN).status_code == 204
    assert service.get(url, auth=ANN).status_code == 404


def test_an_experiment_can_be_stopped_alone(service: Served, waiting: str, tmp_path: Path) -> None:
    url = f"{BASE}/hypersearch/{waiting}"
    app_id = service.get(url, auth=ANN).json()["experiments"][0]["appId"]
    assert service.get(f"{BASE}/execs/{app_id}", auth=ANN).json()["state"] == "RUNNING"
    assert service.get(f"{BASE}/execs/{app_id}/result", auth=ANN).status_code == 200, "of what is there so far"
    assert service.delete(f"{BASE}/execs/{app_id}", auth=ANN).status_code == 409, "it goes with its search only"
    assert service.post(f"{BASE}/execs/{app_id}/stop", auth=ANN).status_code == 204
    assert job_ended(service, app_id)["state"] == "STOPPED"
    assert service.post(f"{BASE}/execs/{app_id}/stop", auth=ANN).status_code == 400
    (tmp_path / "go").touch()
    found = ended(service, waiting)
    assert found["state"] == "FINISHED" and [e["state"] for e in found["experiments"]] == [
        "STOPPED",
        "FINISHED",
        "FINISHED",
    ]


@pytest.mark.slow
def test_all_of_a_user_are_removed_or_none(service: Served, done: dict[str, Any], tmp_path: Path) -> None:
    carl = {"auth": ("carl", "x")}
    args = f"{ARGS} --model-dir m --msd-env GO={tmp_path}/go"
    model = {"file": (None, tar("m/", train__py=WAITS, rest__py=SCRIPT))}
    ended(service, submit(service, task("carl-1", jobs=1), **carl).json(), **carl)
    submit(service, task("carl-2", jobs=1, args=args), model, **carl)
    refused = service.delete(f"{BASE}/hypersearch", **carl)
    assert refused.status_code == 409 and "carl-2 must be stopped first" in refused.json()["error"]
    assert len(service.get(f"{BASE}/hypersearch/carl-1", **carl).json()["experiments"]) == 1
    (tmp_path / "go").touch()
    ended(service, "carl-2", **carl)
    assert service.delete(f"{BASE}/hypersearch", **carl).status_code == 204
    names = [found["hpoName"] for found in service.get(f"{BASE}/hypersearch", **carl).json()]
    assert not {"carl-1", "carl-2"} & set(names) and done["hpoName"] in names, "those of others stay, also for an admin"


@pytest.mark.slow
def test_a_task_whose_trials_all_fail_has_failed(service: Served) -> None:
    found = ended(service, submit(service, task(jobs=1), {"train.py": b"raise SystemExit(1)"}).json())
    assert (found["state"], found["complete"], found["failed"]) == ("FAILED", 1, 1) and "best" not in found
    assert found["experiments"][0]["metricVal"] is None


# -- the platform ------------------------------------------------------------------------------------------------------


def test_what_the_platform_says_of_itself(service: Served) -> None:
    conf = service.get(f"{BASE}/conf", auth=ANN).json()
    assert conf["CwS_REST_URL"] == service.url and all(isinstance(value, str) for value in conf.values())
    frameworks = service.get(f"{BASE}/execs/frameworks", auth=ANN).json()
    assert {"name", "description", "desc"} <= set(frameworks[0]) and isinstance(frameworks[0]["desc"], list)
    assert service.get(f"{BASE}/status", auth=ANN).json()["status"] == "OK"


def test_a_study_whose_folder_was_renamed_has_its_name_and_one_without_a_folder_has_none(service: Served) -> None:
    names = [submit(service, task(name), {"file": ("train.py", SCRIPT)}).json() for name in ("was-this", "is-away")]
    for name in names:
        ended(service, name)
    root = Path(service.root)
    (root / "was-this").rename(root / "is-that")
    (root / "is-away").rename(root / "elsewhere-than-it-was")
    assert service.get(f"{BASE}/hypersearch/is-that").json()["hpoName"] == "is-that"
    assert service.get("/api/v1/studies/is-that").json()["study"] == "is-that"
    assert "is-away" not in service.get("/api/v1/studies/is-awa").json()["error"]


def test_a_study_whose_log_is_damaged_is_not_restarted(service: Served) -> None:
    name = submit(service, task("spoilt"), {"file": ("train.py", SCRIPT)}).json()
    ended(service, name)
    wait_until(lambda: "idle" in [row.phase.value for row in service.desk._submissions.all() if row.name == name])
    log = Path(service.root, name, "study.db")
    log.write_bytes(b"x" * log.stat().st_size)
    found = service.put(f"{BASE}/hypersearch/{name}/restart")
    assert found.status_code == 503 and "damaged" in found.text
    assert service.delete(f"{BASE}/hypersearch/{name}").status_code == 204
