"""Requests to the leading engine: whole or not there, in order, and never more than it can understand."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from hpo_engine.store import inbox
from hpo_engine.store.inbox import Request

STOP = {"do": "stop", "trial": None, "kill": False, "why": "stop"}


@pytest.fixture
def box(tmp_path: Path) -> str:
    return str(tmp_path / "in box")


def requests(box: str) -> list[Request | None]:
    return [request for _, request in inbox.pending(box)]


def test_no_inbox_is_an_empty_one(box: str) -> None:
    assert inbox.pending(box) == []
    Path(box).touch()
    assert inbox.pending(box) == []


def test_posted_requests_are_pending_in_order_until_done(box: str) -> None:
    sent = [Request("stop", i, bool(i % 2), f"why {i} é\n") for i in range(20)] + [Request("stop")]
    files = [inbox.post(box, request) for request in sent]
    assert inbox.pending(box) == list(zip(files, sent, strict=True))
    inbox.done(files[0])
    inbox.done(files[5])
    inbox.done(files[5])  # again: nothing to say
    assert requests(box) == sent[1:5] + sent[6:]
    assert not os.path.exists(files[0])


def test_order_is_that_of_time_whoever_asked(box: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for now, pid, trial in ((999_999_999, 7, 0), (1_000_000_001, 5, 2), (1_000_000_000, 99_999, 1)):
        monkeypatch.setattr("hpo_engine.store.inbox.time.time_ns", lambda now=now: now)
        monkeypatch.setattr("hpo_engine.store.inbox.os.getpid", lambda pid=pid: pid)
        inbox.post(box, Request("stop", trial))
    assert [r.trial for r in requests(box) if r is not None] == [0, 1, 2]


def test_request_is_hidden_until_it_is_whole(box: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, seen = os.rename, []

    def look(source: str, target: str) -> None:
        seen.append((inbox.pending(box), json.loads(Path(source).read_text())))
        rename(source, target)

    monkeypatch.setattr("hpo_engine.store.inbox.os.rename", look)
    inbox.post(box, Request("stop", 3))
    assert seen == [([], {**STOP, "trial": 3, "body": {}})]
    assert requests(box) == [Request("stop", 3)]


def test_hidden_and_foreign_files_are_ignored(box: str) -> None:
    os.mkdir(box)
    for name in (".1.json", ".hidden", "1.json.swp", "notes.txt", "json"):
        Path(box, name).write_text(json.dumps(STOP))
    assert inbox.pending(box) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '"stop"',
        "\udcff",
        "[" * 100_000,
        "{}",
        '{"do": "start"}',
        '{"do": ["stop"]}',
        '{"do": "stop", "more": 1}',
        '{"do": "stop", "trial": "0"}',
        '{"do": "stop", "trial": true}',
        '{"do": "stop", "trial": 0.0}',
        '{"do": "stop", "trial": [0]}',
        '{"do": "stop", "why": null}',
        '{"do": "stop", "why": 3}',
        '{"do": "stop", "kill": "no"}',
    ],
    ids=lambda text: ascii(text[:30]),
)
def test_garbage_is_told_apart_and_hides_nothing_after_it(box: str, text: str) -> None:
    os.mkdir(box)
    bad = Path(box, "0.json")
    bad.write_bytes(text.encode("utf-8", "surrogateescape"))
    after = inbox.post(box, Request("stop", 1))
    assert inbox.pending(box) == [(str(bad), None), (after, Request("stop", 1))]


@pytest.mark.parametrize("kind", ["folder", "dangling", "pipe"])
def test_what_is_no_file_is_no_request_and_keeps_nobody_waiting(box: str, kind: str) -> None:
    os.mkdir(box)
    path = f"{box}/0.json"
    if kind == "folder":
        os.mkdir(path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        os.symlink("nowhere", path)

    def too_long(number: int, frame: object) -> None:
        raise AssertionError("it waits for somebody to write")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, 2.0)
    try:
        assert requests(box) == [None]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_done_of_what_cannot_be_removed_is_no_error(box: str) -> None:
    os.makedirs(f"{box}/0.json")
    inbox.done(f"{box}/0.json")
    inbox.done(f"{box}/none.json")
