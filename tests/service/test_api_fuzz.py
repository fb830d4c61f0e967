"""Requests to `/api/v1` as nobody should send them: no answer is a fault of the service, and each is as described."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.support.helpers import wait_until
from tests.support.service import Served, served

Operation: TypeAlias = APIOperation[Any, Any, Any, Any]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With one study, which has ended."""
    script = tmp_path_factory.mktemp("script") / "train.py"
    script.write_text(
        "import json\nx = json.load(open('config.json'))['x']\n"
        "json.dump([{'step': i, 'loss': x / i if i < 3 else float('nan')} for i in (1, 2, 3)], "
        "open('val_dict_list.json', 'w'))\n"
    )
    fields = {
        "name": "tried", "command": f"{sys.executable} {script}", "objective": "minimize loss", "algorithm": "random",
        "options": {"seed": 1}, "trials": 2, "parallel": 2, "space": {"x": {"float": [0, 2]}},
    }  # fmt: skip
    with served(tmp_path_factory.mktemp("root")) as service:
        assert service.post("/api/v1/studies", json={"text": json.dumps(fields)}).status_code == 201
        wait_until(lambda: service.get("/api/v1/studies/tried").json()["state"] == "finished")
        yield service


@pytest.fixture(scope="module")
def operations(service: Served) -> list[Operation]:
    """All but the streams, which do not end, and the removal of the study."""
    schema = schemathesis.openapi.from_dict(service.app.openapi()).include(path_regex="^/api/v1/")
    found = [result.ok() for result in schema.get_all_operations()]
    found = [each for each in found if not each.path.endswith("/events") and each.method != "delete"]
    assert len(found) > 30
    return found


@pytest.mark.parametrize("each", [2, pytest.param(150, marks=pytest.mark.slow)])
def test_no_request_is_a_fault_of_the_service(service: Served, operations: list[Operation], each: int) -> None:
    """`each`: requests per call and manner; 150 are about ten thousand in all; 2 are sent to some of the calls only, to others each time."""
    for operation in operations if each > 2 else random.sample(operations, len(operations) // 4):
        _fuzz(service, operation, GenerationMode.POSITIVE, each)
        if each > 2 and (operation.path_parameters or operation.query or operation.body):
            with suppress(Unsatisfiable):  # some cannot be given wrong ones
                _fuzz(service, operation, GenerationMode.NEGATIVE, each)


def _fuzz(service: Served, operation: Operation, mode: GenerationMode, each: int) -> None:
    count = 0

    @settings(max_examples=each, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        nonlocal count
        count += 1
        if count % 4 and mode is GenerationMode.POSITIVE:  # most are about what exists
            case.path_parameters.update({
                name: value for name, value in (("study", "tried"), ("trial", 1)) if name in case.path_parameters
            })  # fmt: skip
        if "wait" in (case.query or {}):
            case.query["wait"] = 0
        response = case.call(base_url=service.url, session=service.session)
        assert response.status_code < 500, (case.as_curl_command(), response.text)
        assert "Traceback" not in response.text and "NaN" not in response.text
        if mode is GenerationMode.POSITIVE and response.status_code in (200, 404):
            case.validate_response(response, checks=[response_schema_conformance, content_type_conformance])

    run()
