"""kill -9 in the service, in the process that forks its engines, and in engines, at each step from a submission to a
running study: what was acknowledged runs once, and nothing is there twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from hpo_engine.service.guard.accounts import Accounts
from hpo_engine.service.guard.token import admin_token
from hpo_engine.service.places import ServicePaths
from hpo_engine.service.records.uploads import SMALL_BYTES
from hpo_engine.store.copying import append, end_of, piece_after, prepare
from hpo_engine.store.journal import Journal, read_history
from hpo_engine.store.lock import who_leads
from hpo_engine.study.events import fold, opening
from tests.support.desks import SCRIPT, begun, request
from tests.support.guarded import Process, serving
from tests.support.helpers import processes_with, wait_until
from tests.support.random_logs import spec

STUDIES = "/api/v1/studies"
POINTS = [
    ("service.before-commit", 2), ("service.after-commit", 2), ("service.after-commit", 3), ("model.unpacked", 1),
    ("host.asked", 1), ("host.before-fork", 1), ("host.forked", 1), ("study.folder-made", 1), ("study.frozen", 1),
    ("journal.made", 1), ("study.placed", 1), ("journal.after-commit", 3), ("attempt.sent", 1), ("study.closed", 1),
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


def _submit(service: Process, name: str, hold: str = "/nowhere", script: str = SCRIPT) -> str | None:
    """The name of the study if it was acknowledged; None: the service died."""
    try:
        answer = requests.post(
            service.url + STUDIES,
            headers={"X-Auth-Token": service.token, "Idempotency-Key": f"key of {name}"},
            files={"data": (None, request(trials=2, hold=hold, parallel=1)), "model": ("train.py", script)},
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
    script = SCRIPT + "#" * SMALL_BYTES if point.startswith("model.") else SCRIPT  # small ones are not unpacked
    env = {"HPO_FAILPOINT": f"{point}:{number}:kill", "HPO_FAILPOINT_ONCE": f"{root}.died"}
    with _service(root, **env) as service:
        for key in ("a", "b"):
            if (name := _submit(service, key, script=script)) is not None:
                names[key] = name
        if len(names) == 2 and not point.startswith("service."):
            wait_until(lambda: os.path.exists(f"{root}.died"))
        service.process.kill()
    assert os.path.exists(f"{root}.died"), "nothing has died"
    with _service(root) as service:
        for key in ("a", "b"):
            name = _submit(service, key, script=script)  # as a client does that has not got its answer, or forgot it
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


def test_a_user_whose_adding_died_is_not_there_and_can_be_added(root: Path) -> None:
    paths = ServicePaths(str(root))
    paths.make()
    died = _python(
        "import sys; from hpo_engine.service.guard.accounts import Accounts; "
        "Accounts(sys.argv[1]).add('ada', 'hash', admin=False)",
        paths.accounts,
        failpoint="accounts.before-commit",
    )
    assert died == -signal.SIGKILL
    with closing(Accounts(paths.accounts)) as accounts:
        assert accounts.users() == []
        accounts.add("ada", "hash", admin=False)
        assert [user.name for user in accounts.users()] == ["ada"]


def _python(code: str, *args: str, failpoint: str) -> int:
    env = {**os.environ, "HPO_FAILPOINT": f"{failpoint}:1:kill"}
    return subprocess.run([sys.executable, "-c", code, *args], env=env, timeout=60).returncode


def test_a_service_that_died_while_it_made_its_token_begins_again(root: Path) -> None:
    """Also one whose process has the number of the one that died, as in a container."""
    paths = ServicePaths(str(root))
    paths.make()
    Path(f"{paths.token}.{os.getpid()}").write_text("torn")
    assert admin_token(paths) == admin_token(paths) != "torn"


def test_a_copy_of_a_log_whose_process_died_is_continued(tmp_path: Path) -> None:
    source, copy = str(tmp_path / "study.db"), str(tmp_path / "copy.db")
    events = opening(spec(), 1.0, "trials: 1\n", [], None)
    with closing(Journal(source, write=True)) as journal:
        journal.append(events, fold(events))
    prepare(copy)
    died = _python(
        "import sys; from hpo_engine.store.copying import append, piece_after; "
        "append(sys.argv[2], piece_after(sys.argv[1], 0, 0).rows)",
        source,
        copy,
        failpoint="copy.before-commit",
    )
    assert died == -signal.SIGKILL
    assert end_of(copy) == (0, 0)
    append(copy, piece_after(source, *end_of(copy)).rows)
    assert read_history(copy) == read_history(source)


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
