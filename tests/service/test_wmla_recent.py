"""Answers that are given again for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from hpo_engine.service.desk import Caller
from hpo_engine.service.wmla import recent
from hpo_engine.service.wmla.recent import Recent


class Counting:
    """An application that counts what it is asked for; each answer is the count, in two parts."""

    def __init__(self) -> None:
        self.count, self.status = 0, 200

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.count += 1
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": str(self.count).encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"."})


def ask(
    layer: Recent, path: str = "/a/b", method: str = "GET", caller: Caller | None = None, query: bytes = b""
) -> str:
    """The body of the answer."""
    messages: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        messages.append(message)

    state = {"caller": caller or Caller("ann")}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query, "headers": [(b"host", b"h")],
        "state": state,
    }  # fmt: skip
    asyncio.run(layer(scope, None, send))
    assert messages[0]["headers"] == [(b"x", b"y")]
    return b"".join(message["body"] for message in messages[1:]).decode()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("hpo_engine.service.wmla.recent.time.monotonic", lambda: now[0])
    return now


def test_an_answer_is_given_again_until_a_moment_has_passed(clock: list[float]) -> None:
    layer = Recent(Counting(), ["/a"])
    assert [ask(layer), ask(layer)] == ["1.", "1."]
    clock[0] += 1
    assert ask(layer) == "2."


def test_what_differs_has_answers_of_its_own(clock: list[float]) -> None:
    layer = Recent(Counting(), ["/a"])
    users = [Caller("ann"), Caller("ann", admin=True), Caller("bob"), Caller("ann", how="basic")]
    assert len({ask(layer, caller=user) for user in users}) == 4
    assert len({ask(layer), ask(layer, "/a"), ask(layer, "/a/c"), ask(layer, query=b"x=1")}) == 4


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_a_change_is_in_the_next_answer(clock: list[float], method: str) -> None:
    layer = Recent(Counting(), ["/a"])
    assert ask(layer) == "1."
    assert ask(layer, "/elsewhere", method) == "2."
    assert ask(layer) == "3."


def test_an_answer_that_was_begun_before_a_change_is_not_given_again(clock: list[float]) -> None:
    class Slow(Counting):
        async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            if scope["method"] == "GET" and not self.count:
                self.count += 1
                await asyncio.to_thread(ask, layer, "/a/b", "PUT")
            await super().__call__(scope, receive, send)

    app = Slow()
    layer = Recent(app, ["/a"])
    assert [ask(layer), ask(layer)] == ["3.", "4."]


def test_other_addresses_and_failures_are_never_given_again(clock: list[float]) -> None:
    app = Counting()
    layer = Recent(app, ["/a"])
    assert [ask(layer, "/a/b/log"), ask(layer, "/a/b/log"), ask(layer, "/c"), ask(layer, "/c")] == [
        "1.",
        "2.",
        "3.",
        "4.",
    ]
    app.status = 404
    assert [ask(layer), ask(layer)] == ["5.", "6."]


def test_large_answers_are_made_anew(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_MOST_BYTES", 1)
    layer = Recent(Counting(), ["/a"])
    assert [ask(layer), ask(layer)] == ["1.", "2."]


def test_only_so_many_are_kept(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_MOST", 3)
    layer = Recent(Counting(), ["/a"])
    for number in range(20):
        ask(layer, f"/a/{number}")
        assert len(layer._answers) <= 3
