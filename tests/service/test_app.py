"""The application around the desk, over a socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.service import Served, served


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("root")) as service:
        yield service


def test_what_is_not_there_is_a_404_in_json(service: Served) -> None:
    answer = service.get("/no/such/page")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
