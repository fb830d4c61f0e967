"""The OpenAPI document: a client that is generated from it works, and so does the page that is made of it."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.helpers import wait_until
from tests.support.service import Served, served


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("root")) as service:
        yield service


@pytest.fixture(scope="module")
def document(service: Served) -> dict[str, Any]:
    found: dict[str, Any] = service.get("/api/v1/openapi.json").json()
    return found


def test_every_route_has_a_name_of_its_own_a_summary_and_the_form_of_its_errors(document: dict[str, Any]) -> None:
    calls = [(path, call) for path, methods in document["paths"].items() for call in methods.values()]
    assert not [name for name, count in Counter(call["operationId"] for _, call in calls).items() if count > 1]
    for path, call in calls:
        assert re.fullmatch("[a-z][a-z0-9_]*", call["operationId"]) and call["summary"], path
        if path.startswith("/api/v1/") and call["tags"] != ["copies"]:
            content = call["responses"]["404"]["content"]["application/json"]["schema"]
            assert content == {"$ref": "#/components/schemas/ErrorModel"}, path
        assert "422" not in call["responses"]
    assert set(document["components"]["securitySchemes"]) == {"token", "password", "header"}


@pytest.mark.slow
def test_the_reference_is_a_page_that_shows_every_call(service: Served, document: dict[str, Any]) -> None:
    page = service.get("/docs")
    assert page.status_code == 200 and "unsafe" not in page.headers["content-security-policy"]
    for path, methods in document["paths"].items():
        for call in methods.values():
            assert f'id="{call["operationId"]}"' in page.text and path.replace("&", "&amp;") in page.text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text), "nothing comes from elsewhere"
    assert not re.findall(r"<script>|<style>| style=| on[a-z]+=", page.text)


@pytest.mark.slow
def test_a_generated_client_submits_watches_enqueues_and_stops(
    service: Served, document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openapi_python_client")
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    words = ["generate", "--path", "openapi.json", "--output-path", "generated_client", "--meta", "none"]
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    argv = [sys.executable, "-m", "openapi_python_client", *words, "--config", "config.yml", "--fail-on-warning"]
    made = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(str(tmp_path))

    def call(name: str) -> Any:
        return importlib.import_module(f"generated_client.api.{name}").sync

    models: Any = importlib.import_module("generated_client.models")
    client = importlib.import_module("generated_client").AuthenticatedClient(service.url, "token-of-ada")
    (tmp_path / "train.py").write_text(
        "import json, os, time\n"
        "c = json.load(open('config.json'))\n"
        "json.dump([{'step': 1, 'loss': c['x']}], open('val_dict_list.json', 'w'))\n"
        "while c['x'] > 5:\n    time.sleep(0.02)\n"
    )
    text = json.dumps({
        "name": "generated", "command": f"{sys.executable} {tmp_path}/train.py", "objective": "minimize loss",
        "algorithm": "random", "options": {"seed": 1}, "trials": 3, "parallel": 1, "trial": {"grace": "1s"},
        "space": {"x": {"float": [0, 9]}}, "points": [{"x": 1.5}, {"x": 6.5}],
    })  # fmt: skip
    made_study = call("studies.submit_study")(client=client, body=models.Submission(text=text))
    assert made_study.study == "generated" and made_study.owner == "ada"

    def running() -> list[int]:
        page = call("trials.list_trials")("generated", client=client, where=["state=running", "params.x>5"])
        return [trial.trial for trial in page.trials] if isinstance(page, models.Trials) else []

    assert wait_until(running) == [1]
    assert call("trials.best_trial")("generated", client=client).config.additional_properties == {"x": 1.5}
    configuration = models.EnqueueConfigurationsItem.from_dict({"x": 2.5})
    (queued,) = call("changes.enqueue_configurations")(
        "generated", client=client, body=models.Enqueue(configurations=[configuration])
    )
    assert queued.trial is None and queued.params.additional_properties == {"x": 2.5}
    stopped = call("changes.stop_trial")("generated", 1, client=client, body=models.Kill(kill=True))
    assert stopped.trial == 1
    wait_until(lambda: call("studies.get_study")("generated", client=client).state == "finished")
    assert call("trials.get_trial")("generated", 2, client=client).params.additional_properties == {"x": 2.5}
    missing = call("studies.get_study")("nope", client=client)
    assert isinstance(missing, models.ErrorModel) and missing.error.startswith('no study "nope"')
    assert call("studies.remove_study").__module__ and service.delete("/api/v1/studies/generated").status_code == 204
