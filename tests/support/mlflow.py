"""Real stores of MLflow for tests: a SQLite file that is made once and copied, a server, and what is in them."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PARENT = "mlflow.parentRunId"


class Logged(NamedTuple):
    """A run, read back with MLflow's own client."""

    id: str
    name: str
    status: str
    parent: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    began: int
    ended: int
    experiment: str


def client(uri: str) -> Any:
    import mlflow

    return mlflow.MlflowClient(tracking_uri=uri)


def runs(uri: str) -> list[Logged]:
    """All runs of a store, the first one first."""
    found, asked = [], client(uri)
    for experiment in asked.search_experiments():
        for run in asked.search_runs([experiment.experiment_id], max_results=5000):
            info, data = run.info, run.data
            found.append(
                Logged(
                    info.run_id, info.run_name, info.status, data.tags.get(PARENT, ""), data.params, data.tags,
                    data.metrics, info.start_time, info.end_time or 0, experiment.name,
                )
            )  # fmt: skip
    return sorted(found, key=lambda run: (run.began, run.name))


def curve(uri: str, run: str, metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client(uri).get_metric_history(run, metric)]


def empty_store(path: Path) -> str:
    """The URI of a new store in SQLite. Making its tables takes seconds, so it is done once per process of the tests."""
    template = Path(os.environ.get("TMPDIR", "/tmp")) / f"hpo-mlflow-{os.getpid()}.db"
    if not template.exists():
        import logging

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        client(f"sqlite:///{template}.new").search_experiments()
        os.replace(f"{template}.new", template)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(template, path)
    return f"sqlite:///{path}"


class Server:
    """`mlflow server` on a port of its own, over a store in `folder`; `words`: options, which are fitted to both."""

    def __init__(self, folder: Path, words: Sequence[str] = ("--workers=1", "--host=127.0.0.1")) -> None:
        self.folder, self.port = folder, free_port()
        own = ("--port", "--backend-store-uri", "--artifacts-destination")
        self.words = [word for word in words if not word.startswith(own)]
        self.uri = f"http://127.0.0.1:{self.port}"
        if not (folder / "mlflow.db").exists():
            empty_store(folder / "mlflow.db")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        argv = [
            sys.executable, "-m", "mlflow", "server", *self.words, "--port", str(self.port),
            "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(argv, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 180
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, "it does not start"
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5)
                return
            except OSError:
                time.sleep(0.1)

    def kill(self) -> None:
        """Ends it and its workers at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def server(folder: Path, *words: Sequence[str]) -> Iterator[Server]:
    made = Server(folder, *words)
    try:
        yield made
    finally:
        made.kill()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
