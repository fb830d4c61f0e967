"""Runs of MLflow, in the layouts of its stores and of its server's answers; MLflow itself is not needed."""

from __future__ import annotations

import http.server
import json
import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hpo_engine.contract.binding import ATTEMPT_TAG, environment
from hpo_engine.contract.layout import lay_out, lay_out_study
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.sources.interface import Reading, TrialFiles
from hpo_engine.contract.sources.mlflow import server
from hpo_engine.contract.sources.mlflow.source import VARIABLE, MLflow
from hpo_engine.system.files import Missing
from tests.support import random_logs

RUN, OTHER = "a" * 32, "b" * 32
VALUES = [("loss", 0.5, 1), ("acc", 0.8, 1), ("loss", 0.4, 2), ("val/f1", math.nan, 2), ("loss", math.inf, 3)]
ROWS = [(1, {"loss": 0.5, "acc": 0.8}), (2, {"loss": 0.4, "val/f1": math.nan}), (3, {"loss": math.inf})]


@pytest.fixture
def trial(tmp_path: Path) -> TrialFiles:
    paths = StudyPaths(str(tmp_path / "study"))
    os.makedirs(paths.root)
    lay_out_study(paths, "user")
    lay_out(paths.trial(0))
    Path(paths.trial(0).config).write_text("{}")
    return TrialFiles(paths.trial(0), nonce="mine")


def elsewhere(trial: TrialFiles, uri: str) -> TrialFiles:
    return TrialFiles(trial.paths, nonce="mine", env={VARIABLE: uri})


def read(trial: TrialFiles) -> Any:
    """The rows in the end, when nobody has looked at the folders before."""
    source = MLflow(replace(trial))
    return [(row.step, dict(row.values)) for row in source.final(cut=False).rows]


def seen(source: MLflow, rows: Any) -> Any:
    """The rows that it has, once it has these, or after a while; those of one step may come one after the other."""
    deadline = time.monotonic() + 20
    while repr(merged(source)) != repr(rows) and time.monotonic() < deadline:
        source.look()
        time.sleep(0.02)
    return merged(source)


def merged(source: MLflow) -> Any:
    by_step: dict[float, dict[str, float]] = {}
    for row in source.rows:
        by_step.setdefault(row.step, {}).update(row.values)
    return list(by_step.items())


# -- files -------------------------------------------------------------------------------------------------------------


def log_files(store: str, values: Any, run: str = RUN, tag: str | None = "mine") -> None:
    folder = Path(store) / "0" / run
    for i, (name, value, step) in enumerate(values):
        file = folder / "metrics" / name
        (folder / "tags").mkdir(parents=True, exist_ok=True)
        if tag is not None:
            (folder / "tags" / ATTEMPT_TAG).write_text(tag)
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "a") as out:
            out.write(f"{1000 * step + i} {value} {step}\n")


def test_files_in_result_dir_are_read_live_and_in_the_end(trial: TrialFiles) -> None:
    store, source = f"{trial.paths.result_dir}/mlruns", MLflow(trial)
    log_files(store, VALUES[:2])
    assert seen(source, ROWS[:1]) == ROWS[:1]
    log_files(store, VALUES[2:4])
    assert repr(seen(source, ROWS[:2])) == repr(ROWS[:2])
    log_files(store, VALUES[4:])
    assert repr(seen(source, ROWS)) == repr(ROWS)
    assert repr(read(trial)) == repr(ROWS)


def test_only_the_attempts_own_runs_count_in_a_store_that_trials_share(trial: TrialFiles, tmp_path: Path) -> None:
    store = str(tmp_path / "shared")
    log_files(store, [("loss", 9.0, 1)], OTHER, "another")
    log_files(store, [("loss", 8.0, 1)], "c" * 32, None)
    shared = elsewhere(trial, f"file://{store}")
    source = MLflow(shared)
    source.look()
    log_files(store, VALUES)
    assert repr(seen(source, ROWS)) == repr(ROWS)
    assert repr(read(shared)) == repr(ROWS)


def test_in_result_dir_a_run_of_an_earlier_attempt_does_not_count(trial: TrialFiles) -> None:
    log_files(f"{trial.paths.result_dir}/mlruns", VALUES, tag="earlier")
    with pytest.raises(Missing):
        read(trial)
    log_files(f"{trial.paths.result_dir}/mlruns", VALUES, OTHER, None)  # by a client that sets no tags
    assert repr(read(trial)) == repr(ROWS)


def test_who_does_not_know_the_attempt_has_all_runs_of_its_folders(trial: TrialFiles) -> None:
    log_files(f"{trial.paths.result_dir}/mlruns", VALUES)
    assert repr(read(TrialFiles(trial.paths))) == repr(ROWS)
    os.rename(f"{trial.paths.result_dir}/mlruns", f"{trial.paths.log_dir}/.hidden")
    log_database(f"{trial.paths.result_dir}/mlflow.db", VALUES)
    assert repr(read(TrialFiles(trial.paths))) == repr(ROWS)


def test_values_without_steps_are_counted_and_torn_lines_wait(trial: TrialFiles) -> None:
    store = f"{trial.paths.result_dir}/mlruns"
    log_files(store, [("loss", 0.5, 0), ("loss", 0.4, 0), ("loss", 0.3, 0)])
    with open(f"{store}/0/{RUN}/metrics/loss", "a") as out:
        out.write("5000 0.")
    rows = [(0, {"loss": 0.5}), (1, {"loss": 0.4}), (2, {"loss": 0.3})]
    assert seen(MLflow(trial), rows) == rows
    assert [row.step for row in MLflow(trial).final(cut=True).rows] == [0, 1, 2]


@pytest.mark.parametrize("text", ["x", "1 2 3 4", "1 a 2", f"1 2 {10**40}", "\0" * 99, "1 " + "9" * 999 + " 1"])
def test_hostile_lines_are_passed_over(trial: TrialFiles, text: str) -> None:
    log_files(f"{trial.paths.result_dir}/mlruns", VALUES)
    Path(f"{trial.paths.result_dir}/mlruns/0/{RUN}/metrics/loss").write_text(f"{text}\n1 0.5 1\n")
    assert read(trial)[0] == (1, {"loss": 0.5, "acc": 0.8})


# -- SQLite ------------------------------------------------------------------------------------------------------------

TABLES = """
CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, start_time BIGINT, lifecycle_stage VARCHAR(20));
CREATE TABLE tags (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32), PRIMARY KEY (key, run_uuid));
CREATE TABLE metrics (key VARCHAR(250), value FLOAT, timestamp BIGINT, run_uuid VARCHAR(32), step BIGINT, is_nan BOOLEAN);
"""


def log_database(path: str, values: Any, run: str = RUN, tag: str | None = "mine", began_ms: int | None = None) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.executescript(TABLES)
        began = int(time.time() * 1000) if began_ms is None else began_ms
        connection.execute("INSERT OR IGNORE INTO runs VALUES (?, ?, 'active')", (run, began))
        if tag is not None:
            connection.execute("INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", (ATTEMPT_TAG, tag, run))
        for i, (name, value, step) in enumerate(values):
            nan, huge = math.isnan(value), 1.7976931348623157e308
            stored = 0.0 if nan else max(-huge, min(huge, value))
            connection.execute(
                "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", (name, stored, 1000 * step + i, run, step, nan)
            )


def test_a_database_in_result_dir_is_read_live_and_in_the_end(trial: TrialFiles) -> None:
    path, source = f"{trial.paths.result_dir}/mlflow.db", MLflow(trial)
    log_database(path, VALUES[:2])
    assert seen(source, ROWS[:1]) == ROWS[:1]
    log_database(path, VALUES[2:])
    assert repr(seen(source, ROWS)) == repr(ROWS)
    log_database(path, [("loss", 7.0, 1)], OTHER, "earlier")
    log_database(path, [("loss", 7.0, 1)], "c" * 32, None, began_ms=1000)
    assert repr(read(trial)) == repr(ROWS)


def test_a_database_that_trials_share_and_a_writer_in_it(trial: TrialFiles, tmp_path: Path) -> None:
    path = str(tmp_path / "shared é%20.db")
    log_database(path, [("loss", 9.0, 1)], OTHER, "another")
    shared = TrialFiles(trial.paths, nonce="mine")
    source = MLflow(shared, uri=f"sqlite:///{path.replace('%', '%25')}")
    log_database(path, VALUES)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        assert not source.look() and time.monotonic() - started < 4.5  # it waits for nobody
        writer.execute("COMMIT")
    assert repr(seen(source, ROWS)) == repr(ROWS)
    assert os.path.getsize(path) and not os.path.exists(f"{path}-wal")


@pytest.mark.parametrize("data", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 5000, os.urandom(9000)])
def test_what_is_no_database_is_passed_over(trial: TrialFiles, data: bytes) -> None:
    Path(f"{trial.paths.result_dir}/mlflow.db").write_bytes(data)
    source = MLflow(trial)
    assert not source.look()
    with pytest.raises(Missing):
        source.final(cut=False)


def test_a_database_that_never_ends_holds_up_nobody(trial: TrialFiles) -> None:
    with closing(sqlite3.connect(f"{trial.paths.result_dir}/mlflow.db")) as connection, connection:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
        connection.executescript(
            TABLES + f"DROP TABLE tags; CREATE VIEW tags AS {endless} 'x' AS key, i AS value, i AS run_uuid FROM n;"
        )
    started = time.thread_time()
    source = MLflow(trial)
    source.look()
    with pytest.raises(Missing):
        source.final(cut=False)
    assert time.thread_time() - started < 60


# -- a server ----------------------------------------------------------------------------------------------------------


class Answers(http.server.BaseHTTPRequestHandler):
    """What MLflow's server answers. `values`: of the run; `wrong`: what it answers instead."""

    values: Any = ()
    wrong: bytes | None = None
    delay = threading.Event()
    asked: list[str] = []
    authorization: str | None = None

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Answers.authorization = self.headers["Authorization"]
        if self.path.endswith("experiments/search"):
            self._send({"experiments": [{"experiment_id": "0"}]})
        else:
            Answers.asked.append(body["filter"])
            latest = {name: {"key": name, "value": value, "step": step} for name, value, step in self.values}
            self._send({"runs": [{"info": {"run_id": RUN}, "data": {"metrics": list(latest.values())}}]})

    def do_GET(self) -> None:
        name = parse_qs(urlsplit(self.path).query)["metric_key"][0]
        found = [
            {"key": n, "value": value, "step": step, "timestamp": 1000 * step + i}
            for i, (n, value, step) in enumerate(self.values) if n == name
        ]  # fmt: skip
        self._send({"metrics": found})

    def _send(self, answer: Any) -> None:
        Answers.delay.wait(30)
        data = self.wrong if self.wrong is not None else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def uri() -> Iterator[str]:
    Answers.values, Answers.wrong, Answers.asked = (), None, []
    Answers.delay.set()
    server._silent.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        Answers.delay.set()
        listening.shutdown()
        thread.join()


def test_a_server_is_asked_for_the_attempts_runs(trial: TrialFiles, uri: str) -> None:
    env = {VARIABLE: f"{uri}/", "MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "x"}
    remote = TrialFiles(trial.paths, nonce="mine", env=env)
    source = MLflow(remote)
    Answers.values = VALUES[:2]
    assert seen(source, ROWS[:1]) == ROWS[:1]
    Answers.values = VALUES
    assert repr(seen(source, ROWS)) == repr(ROWS)
    assert repr(read(remote)) == repr(ROWS)
    assert set(Answers.asked) == {f"tags.`{ATTEMPT_TAG}` = 'mine'"} and Answers.authorization == "Basic bWU6eA=="


def test_a_server_that_does_not_answer_holds_up_nobody(
    trial: TrialFiles, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo_engine.contract.sources.mlflow.source._WAIT_S", 0.3)
    Answers.delay.clear()
    source = MLflow(elsewhere(trial, uri))
    for _ in range(3):
        assert not source.look()
    reading = MLflow(elsewhere(trial, uri)).final(cut=False)
    assert reading == Reading(source="MLflow", problem=f"MLflow: {uri} did not answer within 0.3 s", broken=True)
    log_files(f"{trial.paths.result_dir}/mlruns", VALUES)  # what is there counts all the same
    reading = MLflow(elsewhere(trial, uri)).final(cut=False)
    assert len(reading.rows) == 3 and "did not answer within 0.2 s" in (reading.problem or "")


@pytest.mark.parametrize("wrong", [b"<html>", b"[]", b'{"runs": 3, "experiments": 3}', b'{"experiments": [{}]}', b""])
def test_a_server_that_is_none_of_mlflows_is_one_line(trial: TrialFiles, uri: str, wrong: bytes) -> None:
    Answers.wrong = wrong
    reading = MLflow(elsewhere(trial, uri)).final(cut=False)
    assert not reading.rows and reading.problem and reading.problem.startswith(f"MLflow: {uri} cannot be read (")
    assert "\n" not in reading.problem


def test_a_wrong_uri_is_refused_if_the_study_gives_it(trial: TrialFiles) -> None:
    with pytest.raises(ValueError, match=r"not 'databricks://x'"):
        MLflow(trial, uri="databricks://x")
    assert not MLflow(elsewhere(trial, "databricks://x")).look()


# -- the tag -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "tags"),
    [
        ("", {ATTEMPT_TAG: "n", "hpo_engine.trial": "s-0"}),
        ('{"team": "x"}', {"team": "x", ATTEMPT_TAG: "n", "hpo_engine.trial": "s-0"}),
    ],
)
def test_each_attempt_has_a_tag_beside_the_users_own(trial: TrialFiles, given: str, tags: dict[str, str]) -> None:
    spec = random_logs.spec()
    env = environment(spec, trial.paths, {"MLFLOW_RUN_CONTEXT": given} if given else {}, "n", (), {})
    assert json.loads(env["MLFLOW_RUN_CONTEXT"]) == tags
    assert environment(spec, trial.paths, {}, "n", (), {"MLFLOW_RUN_CONTEXT": "["})["MLFLOW_RUN_CONTEXT"] == "["
