"""Messages to a URL, received by a real server."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hpo_engine import assembly
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.core.ports import Listener
from hpo_engine.errors import SpecError
from hpo_engine.testing import TrackerLaws
from hpo_engine.trackers import background, webhook
from hpo_engine.trackers.webhook import WebhookTracker
from tests.support.helpers import wait_until
from tests.support.study_by_hand import Study


class Receiver:
    """A server that answers with `codes` in turn, then with 200. `got`: the bodies that it has taken."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.got: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.raw: list[bytes] = []
        self.slow_s = 0.0
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.slow_s:
                    receiver.released.wait(receiver.slow_s)
                code = receiver.codes.pop(0) if receiver.codes else 200
                if code == 200:
                    receiver.raw.append(body)
                    receiver.headers.append(dict(self.headers))
                    receiver.got.append(json.loads(body, parse_constant=pytest.fail))
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/very-secret"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("no_proxy", "*")
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    real = background.Background.__init__
    monkeypatch.setattr(background.Background, "__init__", lambda self, *args: real(self, *args, pauses_s=(0.01,)))


class TestWebhook(TrackerLaws):
    @pytest.fixture(autouse=True)
    def _receiver(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def make(self, paths: StudyPaths) -> Listener:
        return WebhookTracker(paths, url=self.receiver.url, events=("best", "failed", "end"))


def kinds(receiver: Receiver) -> list[tuple[str, int | None]]:
    return [(one["event"], one["best"] and one["best"]["trial"]) for one in receiver.got]


def test_new_bests_failures_and_the_end_arrive_in_order_signed(
    study: Study, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_KEY", "k é")
    study.listen(WebhookTracker(study.paths, url=receiver.url, secret="HOOK_KEY", events=("best", "failed", "end")))
    for value in (0.5, 0.7, None, 0.25):
        study.end(study.start(), value, reason="" if value else "exit code 1")
    study.close()
    assert kinds(receiver) == [("best", 0), ("failed", 0), ("best", 3), ("end", 3)]
    assert receiver.got[1]["trial"]["reason"] == "exit code 1"
    assert receiver.got[3]["text"] == receiver.got[3]["content"]
    assert receiver.got[3]["text"].startswith("digits finished; best loss 0.25, trial 3: lr=0.01 hidden=64")
    for raw, headers, one in zip(receiver.raw, receiver.headers, receiver.got, strict=True):
        expected = hmac.new("k é".encode(), raw, hashlib.sha256).hexdigest()
        assert headers[webhook.SIGNATURE] == f"sha256={expected}" and headers[webhook.KEY] == one["id"]
    assert len({one["id"] for one in receiver.got}) == 4


def test_receiver_that_fails_at_first_gets_each_message_in_order(
    study: Study, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.codes = [503, 429, 500]
    study.listen(WebhookTracker(study.paths, url=receiver.url))
    study.end(study.start(), 0.5)
    study.end(study.start(), 0.25)
    wait_until(lambda: len(receiver.got) == 2)  # the end of a study tries once
    study.close()
    assert kinds(receiver) == [("best", 0), ("best", 1), ("end", 1)]
    assert [record.message for record in caplog.records] == [
        f"webhook: {receiver.url.removesuffix('/hooks/very-secret')} answers 503; the study goes on, and it is tried "
        "again",
        "webhook: it answers again; what was missing is sent",
    ]


@pytest.mark.parametrize("code", [400, 404, 410, 302])
def test_receiver_that_refuses_is_not_asked_again(study: Study, receiver: Receiver, code: int) -> None:
    receiver.codes = [code]
    study.listen(WebhookTracker(study.paths, url=receiver.url))
    study.end(study.start(), 0.5)

    def refused() -> bool:
        try:
            study.end(study.start(), 0.5 - study.history.next_id / 100)
        except RuntimeError as error:
            assert str(code) in str(error) and "very-secret" not in str(error)
            return True
        return False

    wait_until(refused)
    assert receiver.got == []


def test_dead_and_slow_receivers_hold_up_nothing(
    study: Study, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background.Background.close, "__defaults__", (0.2,))
    receiver.slow_s = 120.0
    began = time.monotonic()
    for url in (receiver.url, "http://127.0.0.1:9/dead", "https://no.such.host.invalid/x"):
        study.listen(WebhookTracker(study.paths, url=url))
        for _ in range(50):
            study.end(study.start(), 1.0 / study.history.next_id)
        study.close()
    assert time.monotonic() - began < 90.0
    assert sum("could not be delivered" in record.message for record in caplog.records) == 3


def test_what_a_killed_engine_did_not_deliver_is_sent_by_the_next(study: Study, receiver: Receiver) -> None:
    study.listen(WebhookTracker(study.paths, url=receiver.url, events=("best", "failed", "end")))
    study.end(study.start(), 0.5)
    wait_until(lambda: Path(study.paths.root).glob(".webhook-*") and list(Path(study.paths.root).glob(".webhook-*")))
    study.tracker = None  # killed
    study.tick()
    study.end(study.start(), 0.25)
    study.end(study.start(), None, reason="lost")
    study.listen(WebhookTracker(study.paths, url=receiver.url, events=("best", "failed", "end")))
    study.close()
    assert kinds(receiver) == [("best", 0), ("failed", 1), ("best", 1), ("end", 1)]
    study.listen(WebhookTracker(study.paths, url=receiver.url, events=("best", "failed", "end")))
    study.close()
    assert [kind for kind, _ in kinds(receiver)][4:] == ["end"]


def test_tracker_that_is_added_later_does_not_tell_old_news(study: Study, receiver: Receiver) -> None:
    study.end(study.start(), 0.5)
    study.listen(WebhookTracker(study.paths, url=receiver.url))
    study.close()
    assert kinds(receiver) == [("end", 0)]


@pytest.mark.parametrize("url", ["", "ftp://host/x", "file:///etc/passwd", "https:///x", "http://a b/", "host/x"])
def test_address_that_is_none_is_refused(study: Study, url: str) -> None:
    with pytest.raises(SpecError, match="webhook: url must begin with http:// or https://"):
        assembly.TRACKERS.make("webhook", {"url": url}, study.paths, folder=".", path="trackers")


def test_address_may_be_in_the_environment_and_is_never_said(
    study: Study, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, make_study: Callable[..., Study]
) -> None:
    monkeypatch.setenv("HOOK", receiver.url)
    study.listen(WebhookTracker(study.paths, url="{HOOK}"))
    study.close()
    assert kinds(receiver) == [("end", None)]
    for options in ({"url": "{NOT_SET}"}, {"url": receiver.url, "secret": "NOT_SET"}):
        with pytest.raises(SpecError, match="NOT_SET is not set"):
            assembly.TRACKERS.make("webhook", options, study.paths, folder=".", path="trackers")
    with pytest.raises(SpecError) as caught:
        assembly.TRACKERS.make("webhook", {"url": "ftp://me:pw@host"}, study.paths, folder=".", path="trackers")
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://host:99999/secret", "http://host:x/secret", "http://me:secret@host/", "http://a:secret b@host/"]
)
def test_address_that_can_never_work_is_refused_at_once_and_not_said(study: Study, url: str) -> None:
    with pytest.raises(SpecError, match="webhook: url must") as caught:
        assembly.TRACKERS.make("webhook", {"url": url}, study.paths, folder=".", path="trackers")
    assert "secret b" not in str(caught.value) and "/secret" not in str(caught.value)


def test_address_may_have_letters_beyond_ascii(study: Study, receiver: Receiver) -> None:
    study.listen(WebhookTracker(study.paths, url=f"{receiver.url}/ü?k=%20ö"))
    study.close()
    assert kinds(receiver) == [("end", None)]


def test_answer_that_is_not_http_is_no_refusal(study: Study) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        tracker = WebhookTracker(study.paths, url=f"http://127.0.0.1:{server.getsockname()[1]}/very-secret")

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(b"SSH-2.0-very-secret\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(background.Unreachable) as caught:
            tracker._post(b"{}", "1")
        thread.join()
    assert "BadStatusLine" in str(caught.value) and "very-secret" not in str(caught.value)
