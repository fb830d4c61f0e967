"""Every call of IBM's Python SDK that touches the service's routes, with both kinds of credentials that it has."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.helpers import wait_until
from tests.support.service import Served, served
from tests.support.wmla import LR, request

PLUGIN = Path(__file__).parents[2] / "examples" / "wmla_plugin" / "draws"
ARGS = "--exec-start PyTorch --model-main train.py"
SCRIPT = b"""\
import json, os, time
config = json.load(open("config.json"))
print("training with", config)
while config.get("lr", 0) > 100:
    time.sleep(0.05)
json.dump([{"step": 1, "loss": config.get("lr", 1)}], open(os.environ["RESULT_DIR"] + "/val_dict_list.json", "w"))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPO_ENGINE_LEDGER", str(tmp_path_factory.mktemp("ledger")))
        with served(tmp_path_factory.mktemp("root")) as service:
            service.app.state.allow_plugins = True
            yield service


@pytest.fixture(params=["basic", "bearer"])
def sdk(service: Served, request: pytest.FixtureRequest) -> Any:
    pytest.importorskip("ibm_wmla")
    from ibm_cloud_sdk_core.authenticators import BasicAuthenticator, BearerTokenAuthenticator
    from ibm_wmla.wmla_api_v1 import DeepLearningImpactV1

    credentials = (
        BasicAuthenticator("ann", "x") if request.param == "basic" else BearerTokenAuthenticator("token-of-ann")
    )
    made = DeepLearningImpactV1(credentials)
    made.set_service_url(service.url + "/")
    return made


def data(jobs: int = 2, low: float = 0.1, high: float = 0.2) -> str:
    """As it is documented: a Python dict as text, with the SDK's spelling of what runs at a time."""
    algo = {"maxJobNum": jobs, "maxParalleJob": 1}
    made = request(args=ARGS, algo=algo, params=[{**LR, "minDbVal": low, "maxDbVal": high}])
    return str({name: value for name, value in made.items() if name != "hpoName"})


def result_of(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return call(*args, **options).get_result()


def ended(call: Callable[..., Any], name: str) -> Any:
    going = ("SUBMITTED", "RUNNING", "PENDING_CRD_SCHEDULER")
    return wait_until(lambda: (found := result_of(call, name))["state"] not in going and found)


def test_searches(sdk: Any, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_bytes(SCRIPT)
    with open(tmp_path / "train.py", "rb") as file:  # of which the SDK sends the name
        named = result_of(sdk.start_hpo, file=file, data=data())
    unnamed = result_of(sdk.start_hpo, file=io.BytesIO(SCRIPT), data=data())
    assert set(named) == {"uid", "href"} and named["uid"] != unnamed["uid"]
    for created in (named, unnamed):
        found = ended(sdk.get_one_hpo, created["uid"])
        assert found["state"] == "FINISHED" and len(found["experiments"]) == 2 and found["algoDef"]["maxJobNum"] == 2
    assert {named["uid"], unnamed["uid"]} <= {task["hpoName"] for task in result_of(sdk.get_all_hpo)}
    assert result_of(sdk.delete_one_hpo, named["uid"]) is None
    assert result_of(sdk.delete_all_hpo) is None
    assert result_of(sdk.get_all_hpo) == []


def test_a_search_is_stopped_killed_and_restarted(sdk: Any) -> None:
    from ibm_cloud_sdk_core import ApiException

    name = result_of(sdk.start_hpo, file=io.BytesIO(SCRIPT), data=data(1, 101, 102))["uid"]
    for stop in (sdk.stop_one_hpo, sdk.stop_one_hpo_force):
        wait_until(lambda: result_of(sdk.get_one_hpo, name)["running"] == 1)
        with pytest.raises(ApiException) as refused:
            sdk.delete_one_hpo(name)
        assert refused.value.status_code == 409
        assert result_of(stop, name) is None
        assert ended(sdk.get_one_hpo, name)["state"] == "STOPPED"
        with pytest.raises(ApiException) as refused:
            stop(name)
        assert refused.value.status_code == 400 and "is already stopped" in str(refused.value)
        sdk.restart_one_hpo(name)
    wait_until(lambda: result_of(sdk.get_one_hpo, name)["running"] == 1)
    sdk.stop_one_hpo_force(name)
    ended(sdk.get_one_hpo, name)
    sdk.delete_one_hpo(name)


def test_what_is_refused_is_told(sdk: Any) -> None:
    from ibm_cloud_sdk_core import ApiException

    with pytest.raises(ApiException) as refused:
        sdk.start_hpo(file=io.BytesIO(SCRIPT), data=data().replace("Random", "Randm"))
    assert refused.value.status_code == 400 and 'did you mean "Random"' in refused.value.message
    with pytest.raises(ApiException) as missing:
        sdk.get_one_hpo("nothing/../of this name")
    assert missing.value.status_code == 404
    with pytest.raises(ApiException) as unknown:
        sdk.get_exec("ann-1-1")
    assert unknown.value.status_code == 400


def test_algorithms(sdk: Any, tmp_path: Path) -> None:
    assert len(result_of(sdk.get_all_hpo_algorithm, type="BUILD_IN")) == 5
    created = result_of(sdk.install_hpo_algorithm, data=json.dumps({"name": "by-path", "path": str(PLUGIN)}))
    assert created["uid"] == "by-path"
    with open(PLUGIN / "optimizer.py", "rb") as file:
        assert result_of(sdk.install_hpo_algorithm, data=str({"name": "by-file"}), file=file)["uid"] == "by-file"
    names = [each["name"] for each in result_of(sdk.get_all_hpo_algorithm, type="USER_PLUGIN")]
    assert names == ["by-file", "by-path"] and len(result_of(sdk.get_all_hpo_algorithm)) == 7
    assert result_of(sdk.get_one_algorithm, "by-file")["type"] == "USER_PLUGIN"
    for name in names:
        assert result_of(sdk.delete_one_hpoalgorithm, name) is None


def test_jobs(sdk: Any, service: Served) -> None:
    made = result_of(sdk.create_exec, sig_name="dli", args=f"{ARGS} --lr 1", file=io.BytesIO(SCRIPT))
    job = ended(sdk.get_exec, made["id"])
    assert job["state"] == "FINISHED" and job["sigName"] == "dli" and job["args"] == f"{ARGS} --lr 1"
    assert made["id"] in [each["id"] for each in result_of(sdk.list_execs)]
    assert result_of(sdk.get_platform_rest_deeplearning_exec_log, made["id"]) == "training with {}\n"
    answer = result_of(sdk.get_platform_rest_deeplearning_exec_result, made["id"])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert "val_dict_list.json" in archive.namelist()
    assert [each["applicationid"] for each in result_of(sdk.get_applications, applicationid=made["id"])] == [made["id"]]
    going = result_of(sdk.create_exec, sig_name="dli", args=ARGS, file=io.BytesIO(b"import time; time.sleep(600)"))
    wait_until(lambda: result_of(sdk.get_exec, going["id"])["state"] == "RUNNING")
    assert result_of(sdk.post_platform_rest_deeplearning_exec_stop, going["id"]) is None
    assert ended(sdk.get_exec, going["id"])["state"] == "STOPPED"
    assert result_of(sdk.delete_exec) is None
    assert not {made["id"], going["id"]} & {each["id"] for each in result_of(sdk.list_execs)}


def test_the_platform(sdk: Any) -> None:
    frameworks = result_of(sdk.get_platform_rest_deeplearning_execs_frameworks)
    assert "Python" in [each["name"] for each in frameworks]
    assert result_of(sdk.get_deep_learning_conf)["DLI_RESULT_FS"]
