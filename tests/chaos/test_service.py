"""kill -9 in the service, in the process that forks its engines, and in engines, at each step from a submission to a
running study: what was acknowledged runs once, and nothing is there twice."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from hpo_engine.store.journal import read_history
from hpo_engine.store.lock import who_leads
from tests.support.desks import SCRIPT, begun, request
from tests.support.guarded import Process, serving
from tests.support.helpers import processes_with, wait_until

STUDIES = "/api/v1/studies"
POINTS = [
    ("service.before-commit", 2), ("service.after-commit", 2), ("service.after-commit", 3), ("host.asked", 1),
    ("host.before-fork", 1), ("host.forked", 1), ("study.folder-made", 1), ("study.frozen", 1), ("journal.made", 1),
    ("study.placed", 1), ("journal.after-commit", 3), ("attempt.sent", 1), ("study.closed", 1),
]  # fmt: skip


@contextmanager
def _service(root: Path, **env: str) -> Iterator[Process]:
    """One with a ledger of its own; what it has started is ended with it."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"HPO_ENGINE_LEDGER": f"{root}.ledger", **env}.items():
            patched.setenv(name, value)
        with serving(root, "--studies", "2") as service:
            yield service


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "root"
    yield path
    for pid in processes_with(f"{path}.ledger"):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _submit(service: Process, name: str, hold: str = "/nowhere") -> str | None:
    """The name of the study if it was acknowledged; None: the service died."""
    try:
        answer = requests.post(
            service.url + STUDIES,
            headers={"X-Auth-Token": service.token, "Idempotency-Key": f"key of {name}"},
            files={"data": (None, request(trials=2, hold=hold, parallel=1)), "model": ("train.py", SCRIPT)},
            timeout=60,
        )
    except requests.ConnectionError:
        return None
    assert answer.status_code == 201, answer.text
    return str(answer.json()["study"])


def _object(service: Process, name: str) -> dict[str, Any]:
    found: dict[str, Any] = service.get(f"{STUDIES}/{name}").json()
    return found


def _await_end(service: Process, names: list[str]) -> None:
    for name in names:
        wait_until(partial(_is_finished, service, name), 60)


def _is_finished(service: Process, name: str) -> bool:
    return bool(_object(service, name)["state"] == "finished")


@pytest.mark.by_default("host.forked", "service.after-commit-2", "study.placed")
@pytest.mark.parametrize(("point", "number"), POINTS, ids=[f"{point}-{number}" for point, number in POINTS])
def test_what_was_acknowledged_runs_once_wherever_a_process_dies(root: Path, point: str, number: int) -> None:
    names = dict[str, str]()
    env = {"HPO_FAILPOINT": f"{point}:{number}:kill", "HPO_FAILPOINT_ONCE": f"{root}.died"}
    with _service(root, **env) as service:
        for key in ("a", "b"):
            if (name := _submit(service, key)) is not None:
                names[key] = name
        if len(names) == 2 and not point.startswith("service."):
            wait_until(lambda: os.path.exists(f"{root}.died"))
        service.process.kill()
    assert os.path.exists(f"{root}.died"), "nothing has died"
    with _service(root) as service:
        for key in ("a", "b"):
            name = _submit(service, key)  # as a client does that has not got its answer, or forgot it
            assert name == names.setdefault(key, str(name)), "the same request is the same study"
        _await_end(service, list(names.values()))
        assert len({each["study"] for each in service.get(STUDIES).json()["studies"]}) == 2
    _check(root, list(names.values()))


def test_engines_outlive_the_service_and_are_adopted(root: Path, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    with _service(root) as service:
        names = [str(_submit(service, key, str(hold))) for key in ("a", "b", "waits")]
        wait_until(lambda: all(begun(root, name) for name in names[:2]))
        before = [who_leads(f"{root}/{name}/engine.lock") for name in names[:2]]
        service.process.kill()
    with _service(root) as service:
        assert [who_leads(f"{root}/{name}/engine.lock") for name in names[:2]] == before, "nobody has touched them"
        assert [_object(service, name)["state"] for name in names] == ["running", "running", "queued"]
        assert not any(_object(service, name).get("elsewhere") for name in names)
        (forker,) = [pid for pid in processes_with(f"HPO_ENGINE_SERVICE={root}") if _is_forker(pid)]
        os.kill(forker, signal.SIGKILL)
        hold.unlink()
        _await_end(service, names)
    _check(root, names)


def _is_forker(pid: int) -> bool:
    return b"\0_engines\0" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _check(root: Path, names: list[str]) -> None:
    """Each study is there once, and each of its attempts was started once."""
    for name in names:
        history = read_history(f"{root}/{name}/study.db")
        assert [trial.state.value for trial in history.trials] == ["completed"] * 2
        attempts = sum(len(trial.attempts) for trial in history.trials)
        assert len(begun(root, name)) == attempts == 2, "no attempt was lost or run twice"
    found = [each for each in os.listdir(root) if not each.startswith(".service")]
    assert sorted(found) == sorted(names), "nothing else is left in the root"
    with closing(sqlite3.connect(root / ".service" / "service.db")) as db:
        assert sorted(row[0] for row in db.execute("SELECT name FROM submissions")) == sorted(names)
    assert not os.listdir(root / ".service" / "models")
