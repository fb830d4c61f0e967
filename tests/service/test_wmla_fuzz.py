"""Requests as nobody should send them, over the dialect's calls: whatever comes, no answer is a fault of the service."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode

from hpo_engine.service.wmla.answers import BASE
from tests.support.service import Served, served
from tests.support.wmla import request

BOUNDARY = "b"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("root")) as service:
        yield service


@pytest.fixture(scope="module")
def operations(service: Served) -> list[APIOperation[Any, Any, Any, Any]]:
    schema = schemathesis.openapi.from_dict(service.app.openapi()).include(path_regex=f"^{re.escape(BASE)}")
    found = [result.ok() for result in schema.get_all_operations()]
    assert len(found) > 20
    return found


@pytest.mark.parametrize("each", [2, pytest.param(250, marks=pytest.mark.slow)])
def test_no_request_is_a_fault_of_the_service(
    service: Served, operations: list[APIOperation[Any, Any, Any, Any]], each: int
) -> None:
    """`each`: requests per call and manner; 250 are about ten thousand in all; 2 are sent to some of the calls only, to others each time."""
    for operation in operations if each > 2 else random.sample(operations, len(operations) // 4):
        _fuzz(service, operation, GenerationMode.POSITIVE, each)
        if each > 2 and (operation.path_parameters or operation.query or operation.body):
            with suppress(Unsatisfiable):  # some cannot be given wrong ones
                _fuzz(service, operation, GenerationMode.NEGATIVE, each)


def _fuzz(service: Served, operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, each: int) -> None:
    @settings(max_examples=each, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        response = case.call(base_url=service.url, session=service.session)
        assert response.status_code < 500, (case.as_curl_command(), response.text)

    run()


def parts(*bodies: tuple[str, bytes]) -> bytes:
    """A multipart body of parts with these headers."""
    lines = [f"--{BOUNDARY}\r\n{headers}\r\n\r\n".encode() + content + b"\r\n" for headers, content in bodies]
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


_DATA, _FILE = 'Content-Disposition: form-data; name="data"', 'Content-Disposition: form-data; name="file"'
_WHOLE = json.dumps(request()).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no multipart",
        parts(),
        parts((_DATA, b"{")),
        parts((_DATA, b"[1]"), (_FILE, b"x")),
        parts((_DATA, b"\xff\xfe"), (_FILE, b"x")),
        parts((_DATA, _WHOLE)),
        parts((_FILE, b"print(1)")),
        parts((_DATA, _WHOLE), (_DATA, b"{}"), (_FILE, b"x")),
        parts((_DATA, _WHOLE), (_FILE, b"\x1f\x8b")),
        parts((_DATA, _WHOLE), (_FILE, bytes(512))),
        parts((_DATA, _WHOLE), (_FILE, b"PK\x03\x04")),
        parts((_DATA, b"__import__('os').system('touch /tmp/no')"), (_FILE, b"x")),
        parts((_DATA, b"{'a': " * 5000), (_FILE, b"x")),
        parts((_DATA, _WHOLE), (_FILE, b"x"))[:-8],
    ],
)
@pytest.mark.parametrize(
    "call", ["/hypersearch", "/execs", "/execs?args=--model-main%20../x.py", "/execs?args=--a%20%27"]
)
def test_what_is_no_submission_is_refused(service: Served, call: str, body: bytes) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = service.post(BASE + call, data=body, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] and "Traceback" not in answer.text
