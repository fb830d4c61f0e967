"""Answers that are given again for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from hpo_engine.service import recent
from hpo_engine.service.desk import Caller
from hpo_engine.service.recent import Recent


class Counting:
    """An application that counts what it is asked for; each answer is the count, in two parts."""

    def __init__(self) -> None:
        self.count, self.status = 0, 200

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.count += 1
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": str(self.count).encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"."})


def ask(layer: Recent, path: str = "/a/b", method: str = "GET", **more: Any) -> str:
    """See `asked_of`."""
    return asyncio.run(asked_of(layer, path, method, **more))


async def asked_of(
    layer: Recent,
    path: str = "/a/b",
    method: str = "GET",
    caller: Caller | None = None,
    query: bytes = b"",
    more: tuple[bytes, ...] = (),
) -> str:
    """The body of the answer. `more`: another header."""
    messages: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        messages.append(message)

    state = {"caller": caller or Caller("ann")}
    headers = [(b"host", b"h"), *([more] if more else [])]
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query, "headers": headers, "state": state,
    }  # fmt: skip
    await layer(scope, None, send)
    assert messages[0]["headers"] == [(b"x", b"y")]
    messages[0]["headers"].append((b"added", b"outside"))  # as the guard does
    return b"".join(message["body"] for message in messages[1:]).decode()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("hpo_engine.service.recent.time.monotonic", lambda: now[0])
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


class Gated(Counting):
    """Answers GET requests only when the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["method"] == "GET":
            await self.gate.wait()
        await super().__call__(scope, receive, send)


def crowd(layer: Recent, app: Gated, *later: tuple[str, float], clock: list[float]) -> list[str]:
    """The answers to a request and to later ones, which come before the first has been answered.

    Args:
        later: method of each, and seconds since the one before.
    """

    async def all_of_them() -> list[str]:
        asked = [asyncio.create_task(asked_of(layer))]
        await asyncio.sleep(0)
        for method, after in later:
            clock[0] += after
            asked.append(asyncio.create_task(asked_of(layer, method=method)))
            await asyncio.sleep(0)
        app.gate.set()
        return await asyncio.gather(*asked)

    return asyncio.run(all_of_them())


def test_of_one_answer_only_one_is_made_at_a_time(clock: list[float]) -> None:
    app = Gated()
    assert crowd(Recent(app, ["/a"]), app, *[("GET", 0.0)] * 9, clock=clock) == ["1."] * 10


def test_who_asks_long_after_an_answer_was_begun_gets_the_next_one(clock: list[float]) -> None:
    app = Gated()
    later = [("GET", 0.0), ("GET", 1.0), ("GET", 1.0), ("GET", 0.0)]
    assert crowd(Recent(app, ["/a"]), app, *later, clock=clock) == ["1.", "1.", "2.", "2.", "2."]


def test_who_asks_after_a_change_gets_no_answer_that_was_begun_before(clock: list[float]) -> None:
    app = Gated()
    found = crowd(Recent(app, ["/a"]), app, ("PUT", 0.0), ("GET", 0.0), ("GET", 0.0), clock=clock)
    assert found[1] == "1."  # the change is answered first
    assert len(set(found)) == 3 and found[2] == found[3]


def test_refusals_and_large_answers_serve_all_who_ask_meanwhile(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Gated()
    app.status = 404
    assert crowd(Recent(app, ["/a"]), app, *[("GET", 0.0)] * 4, clock=clock) == ["1."] * 5
    monkeypatch.setattr(recent, "_MOST_BYTES", 1)
    app = Gated()
    assert crowd(Recent(app, ["/a"]), app, *[("GET", 0.0)] * 4, clock=clock) == ["1."] * 5


def test_who_waits_is_answered_if_the_first_one_fails(clock: list[float]) -> None:
    class Failing(Gated):
        async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            await self.gate.wait()
            self.count += 1
            if self.count == 1:
                raise OSError("broken")
            await super().__call__(scope, receive, send)

    app = Failing()
    layer = Recent(app, ["/a"])

    async def both() -> list[Any]:
        asked = [asyncio.create_task(asked_of(layer)) for _ in range(2)]
        await asyncio.sleep(0)
        app.gate.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second = asyncio.run(both())
    assert (str(first), second) == ("broken", "3.")


def test_the_answer_of_one_representation_is_not_given_for_another(clock: list[float]) -> None:
    layer = Recent(Counting(), ["/a"])
    kinds = [(), (b"accept-encoding", b"gzip"), (b"if-none-match", b'"1"'), (b"accept", b"text/plain"), (b"x", b"y")]
    assert [ask(layer, more=kind) for kind in kinds] == ["1.", "2.", "3.", "4.", "1."]


def test_some_parts_of_a_name_are_given_again(clock: list[float]) -> None:
    layer = Recent(Counting(), ["/a"], ["trials"])
    assert ask(layer, "/a/b/trials") == ask(layer, "/a/b/trials")
    assert ask(layer, "/a/b/log") != ask(layer, "/a/b/log")
    assert ask(layer, "/a/b/c/trials") != ask(layer, "/a/b/c/trials")


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
