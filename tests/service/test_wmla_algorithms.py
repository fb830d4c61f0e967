"""The dialect's calls for algorithms, and a published search with a plugin that is installed by them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from hpo_engine.service.wmla.answers import BASE
from tests.support.helpers import wait_until
from tests.support.service import App, Served, Trusting, served
from tests.support.wmla import request

PLUGIN = Path(__file__).parents[2] / "examples" / "wmla_plugin" / "draws"
URL = f"{BASE}/hypersearch/algorithm"
ADMIN, BOB = ("ada", "x"), ("bob", "x")
SCRIPT = b"""\
import json, os
rate = json.load(open("config.json"))["learning_rate"]
json.dump([{"loss": rate}], open(os.environ["RESULT_DIR"] + "/val_dict_list.json", "w"))
"""


def guarded(app: App) -> Trusting:
    return Trusting(app, others=("bob",))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPO_ENGINE_LEDGER", str(tmp_path_factory.mktemp("ledger")))
        with served(tmp_path_factory.mktemp("root"), guarded) as service:
            service.app.state.allow_plugins = True
            yield service


def tar(folder: Path = PLUGIN) -> bytes:
    """As its notebooks pack it: the files at the top."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path in sorted(folder.glob("*.py")):
            archive.add(path, arcname=path.name)
    return out.getvalue()


def install(service: Served, data: Any, model: bytes | None = None, auth: Any = ADMIN) -> requests.Response:
    """With `data` as a field and, without a file, once more as a part, as its notebooks send it."""
    text = {"data": data if isinstance(data, str) else json.dumps(data)}
    return service.post(f"{URL}/install", data=text, files=text if model is None else {"file": model}, auth=auth)


def test_built_in_algorithms(service: Served) -> None:
    listed = service.get(f"{URL}?type=BUILD_IN", auth=BOB).json()
    assert [each["name"] for each in listed] == ["Random", "TPE", "Bayesian", "Hyperband", "ExperimentGridSearch"]
    assert all(each == {"name": each["name"], "type": "BUILD_IN", "remoteExec": False} for each in listed)
    assert service.get(f"{URL}/tpe", auth=BOB).json()["name"] == "TPE"
    assert service.get(f"{URL}?type=OTHER", auth=BOB).status_code == 400
    answer = service.delete(f"{URL}/Random", auth=ADMIN)
    assert (answer.status_code, answer.text.split(":")[0]) == (400, "Error 400")
    assert service.get(f"{URL}/nothing", auth=BOB).status_code == 404


def test_a_plugin_is_installed_from_a_tar_and_removed(service: Served) -> None:
    data = {"name": "uploaded", "condaHome": "/opt/none", "remoteExec": False, "logLevel": "DEBUG"}
    assert install(service, data, tar()).json() == "uploaded"
    found = service.get(f"{URL}/uploaded", auth=ADMIN).json()
    assert found["type"] == "USER_PLUGIN" and found["creator"] == "ada" and found["logLevel"] == "DEBUG"
    assert (Path(found["path"]) / "optimizer.py").is_file() and found["path"].startswith(service.root)
    assert found in service.get(f"{URL}?type=USER_PLUGIN", auth=ADMIN).json()
    again = install(service, data, tar())
    assert again.status_code == 409 and "uploaded" in again.json()["error"]
    assert service.delete(f"{URL}/uploaded", auth=ADMIN).status_code == 204
    assert service.get(f"{URL}/uploaded", auth=ADMIN).status_code == 404


@pytest.mark.slow
def test_a_plugin_is_installed_from_a_folder_of_the_machine(service: Served) -> None:
    answer = service.post(
        f"{URL}/install", files={"data": json.dumps({"name": "here", "path": str(PLUGIN)})},
        headers={"X-Auth-Token": "token-of-ada"},
    )  # fmt: skip
    assert answer.json() == {"uid": "here", "href": f"{URL}/here"}
    found = service.get(f"{URL}/here", auth=ADMIN).json()
    assert found["path"] != str(PLUGIN) and "logLevel" not in found, "it is the service's copy"
    assert install(service, repr({"name": "literal", "path": str(PLUGIN)})).json() == "literal"


@pytest.mark.by_default(6)
@pytest.mark.parametrize(
    ("data", "model", "says"),
    [
        ({"name": "x"}, None, "optimizer.py"),
        ({"name": "x", "path": "relative"}, None, "absolute"),
        ({"name": "x", "path": "/nowhere"}, None, "optimizer.py"),
        ({"name": "Tpe", "path": str(PLUGIN)}, None, "another algorithm"),
        ({"name": "../x", "path": str(PLUGIN)}, None, "cannot name"),
        ({"path": str(PLUGIN)}, None, "cannot name"),
        ({"name": 7, "path": str(PLUGIN)}, None, "must be text"),
        ({"name": "x"}, b"def nothing(): pass", "PluginOptimizer"),
        ({"name": "x"}, b"raise RuntimeError('boom')", "boom"),
        ("[1]", b"x", "an object"),
    ],
)
def test_what_is_no_plugin_is_refused(service: Served, data: Any, model: bytes | None, says: str) -> None:
    answer = install(service, data, model)
    assert answer.status_code == 400 and says in answer.json()["error"], answer.text
    assert "x" not in [each["name"] for each in service.get(URL, auth=ADMIN).json()]


def test_only_admins_change_plugins_and_only_where_that_is_allowed(service: Served) -> None:
    refused = install(service, {"name": "bobs", "path": str(PLUGIN)}, auth=BOB)
    assert refused.status_code == 403 and "admins" in refused.json()["error"]
    service.app.state.allow_plugins = False
    try:
        refused = install(service, {"name": "adas", "path": str(PLUGIN)})
        assert refused.status_code == 403 and "--allow-plugins" in refused.json()["error"]
    finally:
        service.app.state.allow_plugins = True


@pytest.mark.slow
def test_a_published_search_proposes_what_it_did(service: Served) -> None:
    install(service, {"name": "test-random"}, tar())
    rate = {
        "name": "learning_rate",
        "type": "Range",
        "dataType": "DOUBLE",
        "minDbVal": 0.001,
        "maxDbVal": 0.1,
        "step": "0.002",
    }
    algo = {"algorithm": "test-random", "maxJobNum": 3, "algoParams": [{"name": "random_seed", "value": "2"}]}
    asked = request(algo=algo, params=[rate], args="--exec-start PyTorch --model-main train.py", hpoName="published")
    files = {"train.py": SCRIPT}
    answer = service.post(f"{BASE}/hypersearch", data={"data": json.dumps(asked)}, files=files, auth=BOB)
    assert answer.json() == "published", "whoever may submit may use it"

    def over() -> Any:
        found = service.get(f"{BASE}/hypersearch/published", auth=BOB).json()
        return found["state"] not in ("SUBMITTED", "RUNNING") and found

    found = wait_until(over)
    assert found["state"] == "FINISHED"
    assert [each["metricVal"] for each in found["experiments"]] == [0.081, 0.031, 0.091]
