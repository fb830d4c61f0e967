"""stop.json: what a script finds when its attempt is ended, by whatever cause; and what may stand in its place."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract import stopnote
from hpo_engine.executors.local import records
from hpo_engine.study.trial import StopCause
from tests.support.helpers import wait_until
from tests.support.local_bench import Bench, nothing_left

KEEPS_IT = "trap 'cat stop.json > seen; exit 0' TERM; : > ready; while :; do sleep 0.02; done"


def _seen(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bench.file(0, "seen").read_text())
    return found


def test_a_script_finds_cause_reason_and_deadline_when_sigterm_comes(bench: Bench) -> None:
    bench.shell(0, KEEPS_IT, grace_s=20.0)
    wait_until(bench.file(0, "ready").exists)
    before = time.time()
    bench.executor.stop(bench.nonce(0), StopCause.EARLY, reason="not promising: 5 of 5 were better")
    (end,) = bench.end()
    assert (end.exit.code, end.exit.stop_cause) == (0, "early")
    note = _seen(bench)
    assert (note["cause"], note["reason"]) == ("early", "not promising: 5 of 5 were better")
    assert note["grace_s"] == 20.0 and before - 1 <= note["at"] <= time.time() + 1
    assert note["deadline"] == pytest.approx(note["at"] + 20.0, abs=0.01)
    assert not [name for name in os.listdir(bench.file(0, ".")) if name.endswith(".tmp")]


def test_the_time_limit_leaves_a_note_without_an_engine(bench: Bench) -> None:
    launch = bench.shell(0, KEEPS_IT, time_limit_s=0.3, grace_s=20.0)
    bench.shim_pid(0)
    bench.executor.close()
    bench.executors.clear()
    wait_until(lambda: records.read_exit(launch.paths.attempt(1), launch.nonce))
    assert (_seen(bench)["cause"], _seen(bench)["reason"]) == ("time_limit", "over its time limit of 0.3 s")


def test_sigterm_from_outside_leaves_a_note(bench: Bench) -> None:
    bench.shell(
        0, "trap 'cat stop.json > seen; exit 0' TERM; kill -TERM $PPID; while :; do sleep 0.02; done", grace_s=20
    )
    (end,) = bench.end()
    assert end.exit.stop_cause == "outside" and _seen(bench)["cause"] == "outside"


def test_without_grace_there_is_no_note(bench: Bench) -> None:
    bench.shell(0, ": > ready; sleep 60")
    wait_until(bench.file(0, "ready").exists)
    bench.executor.stop(bench.nonce(0), StopCause.USER, kill=True)
    bench.end()
    assert not bench.file(0, stopnote.NAME).exists()


IN_PLACE = {
    "a link out of the folder": "ln -s ../../../precious stop.json",
    "a broken link": "ln -s nowhere stop.json",
    "a pipe": "mkfifo stop.json",
    "a folder": "mkdir stop.json",
    "a file of its own": "echo mine > stop.json",
    "a folder that nothing can be written to": "chmod 500 .",
}


@pytest.mark.parametrize("there", IN_PLACE)
def test_what_stands_in_its_place_is_left_alone_and_the_trial_ends_all_the_same(bench: Bench, there: str) -> None:
    precious = Path(bench.paths.root, "precious")
    precious.write_text("precious")
    bench.shell(0, f"trap 'exit 0' TERM; {IN_PLACE[there]}; : > /dev/null; while :; do sleep 0.02; done", grace_s=20.0)
    bench.shim_pid(0)
    if there != "a folder that nothing can be written to":
        wait_until(lambda: os.path.lexists(bench.file(0, stopnote.NAME)))
        before = os.lstat(bench.file(0, stopnote.NAME))
    bench.executor.stop(bench.nonce(0), StopCause.USER)
    (end,) = bench.end()
    os.chmod(bench.file(0, "."), 0o700)
    assert end.exit.stop_cause == "user" and nothing_left(bench)
    assert precious.read_text() == "precious"
    if there != "a folder that nothing can be written to":
        assert os.lstat(bench.file(0, stopnote.NAME)).st_ino == before.st_ino
    assert not [name for name in os.listdir(bench.file(0, ".")) if name.endswith(".tmp")]


def test_the_note_of_an_earlier_attempt_is_removed_and_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert stopnote.leave("early", "why", 1.0, "n")
        assert not stopnote.leave("user", "again", 1.0, "n"), "the first one stays"
        assert json.loads((tmp_path / stopnote.NAME).read_text())["cause"] == "early"
        stopnote.remove(fd)
        assert not os.listdir(tmp_path)
        stopnote.remove(fd)
        for make in (
            lambda p: p.write_text('{"cause": 1}'),
            lambda p: p.mkdir(),
            os.mkfifo,
            lambda p: p.symlink_to("x"),
        ):
            make(path := tmp_path / stopnote.NAME)
            stopnote.remove(fd)
            assert os.path.lexists(path)
            path.rmdir() if path.is_dir() else path.unlink()
    finally:
        os.close(fd)
