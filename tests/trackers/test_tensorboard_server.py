"""A running TensorBoard, asked over HTTP what its pages would ask, while the study goes on. About 10 s."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.trackers.tensorboard import TensorBoardTracker

pytest.importorskip("tensorboard.main")
from tests.support.study_by_hand import PARAMS, Study

ALL = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Server:
    """`tensorboard --logdir <logs>` as a subprocess on loopback."""

    def __init__(self, logs: str, log: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        argv = [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--host", "127.0.0.1"]
        argv += ["--port", str(self.port), "--reload_interval", "1", *options]
        with log.open("wb") as out:
            self.process = subprocess.Popen(argv, stdout=out, stderr=out)
        self.log = log

    def ask(self, path: str, body: Any = None, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/data/{path}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with NO_PROXY.open(request, timeout=10) as answer:
            return json.load(answer)

    def curve(self, run: str, tag: str) -> list[tuple[int, float]]:
        return [(step, value) for _, step, value in self.ask("plugin/scalars/scalars", run=run, tag=tag)]

    def sessions(self, **more: Any) -> dict[str, Any]:
        body = {"allowedStatuses": ALL, "startIndex": 0, "sliceSize": 100, **more}
        groups = self.ask("plugin/hparams/session_groups", body)["sessionGroups"]
        return {group["name"]: group for group in groups}

    def until(self, question: Callable[[], bool]) -> None:
        """Asks again until the answer is yes."""
        deadline = time.monotonic() + 60
        while True:
            try:
                if question():
                    return
            except (urllib.error.URLError, ConnectionError, KeyError):
                pass
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)


@pytest.fixture
def servers(study: Study, tmp_path: Path) -> Iterator[list[Server]]:
    """Two: TensorBoard reads files either with its data server (where there is one for the platform) or by itself."""
    both = [Server(study.paths.logs, tmp_path / f"tb-{fast}.log", f"--load_fast={fast}") for fast in ("auto", "false")]
    yield both
    for server in both:
        server.process.terminate()
    for server in both:
        server.process.wait(20)


@pytest.mark.slow
def test_server_shows_the_study_while_it_runs(study: Study, servers: list[Server]) -> None:
    study.listen(TensorBoardTracker(study.paths))
    first = study.start({**PARAMS, "optimizer": "sgd", "momentum": 0.75})
    study.report(first, (1, {"loss": 0.5, "acc": 0.25}), (2, {"loss": 0.25, "acc": 0.5}), (3, {"loss": 0.75, "acc": 1}))
    study.end(first, 0.25)
    second = study.start()
    study.report(second, (1, {"loss": 4.0}), (2, {"loss": 3.0}), (3, {"loss": 2.0}))
    study.tick()
    script_writes(Path(study.paths.trial(second).log_dir, "tb"))
    for server in servers:
        server.until(lambda s=server: {"0", "1", "1/tb"} <= set(s.ask("runs")))  # type: ignore[misc]
        server.until(lambda s=server: s.curve("1", "loss")[-1:] == [(3, 2.0)])  # type: ignore[misc]
        assert server.curve("0", "loss") == [(1, 0.5), (2, 0.25), (3, 0.75)]
        assert server.ask("plugin/scalars/tags")["0"].keys() == {"loss", "acc", "loss (best)"}
        assert server.curve("1/tb", "script/loss") == [(0, 100.0)]

    study.report(second, (4, {"loss": float("nan")}))
    study.end(second, 2.0)
    third = study.start()
    study.end(third)
    for server in servers:
        server.until(lambda s=server: s.sessions()["1"]["sessions"][0]["status"] == "STATUS_SUCCESS")  # type: ignore[misc]
        server.until(lambda s=server: s.sessions()["2"]["sessions"][0]["status"] == "STATUS_FAILURE")  # type: ignore[misc]
        check_hparams_page(server)


def check_hparams_page(server: Server) -> None:
    columns = server.ask("plugin/hparams/experiment", {})
    assert [m["name"] for m in columns["metricInfos"]] == [
        {"tag": tag, "group": ""} for tag in ("loss (best)", "loss", "acc")
    ]
    assert {i["name"]: i["type"].removeprefix("DATA_TYPE_") for i in columns["hparamInfos"]} == {
        "lr": "FLOAT64", "hidden": "FLOAT64", "optimizer": "STRING", "momentum": "FLOAT64",
    }  # fmt: skip
    rows = server.sessions()
    assert rows["0"]["hparams"] == {**PARAMS, "optimizer": "sgd", "momentum": 0.75}
    assert rows["1"]["hparams"] == rows["2"]["hparams"] == PARAMS
    shown = {name: {m["name"]["tag"]: m["value"] for m in row["metricValues"]} for name, row in rows.items()}
    assert shown == {
        "0": {"loss (best)": 0.25, "loss": 0.75, "acc": 1.0},
        "1": {"loss (best)": 2.0, "loss": "NaN"},
        "2": {},
    }
    # what the page sends when somebody filters and sorts: any column of a wrong type would be an error here
    cheap = server.sessions(
        colParams=[
            {"hparam": "lr", "filterInterval": {"minValue": 0, "maxValue": 1}},
            {"hparam": "hidden", "order": "ORDER_DESC"},
            {"hparam": "optimizer", "filterDiscrete": ["adam"], "order": "ORDER_ASC"},
            {"hparam": "momentum", "order": "ORDER_ASC"},
            {"metric": {"tag": "loss (best)"}, "order": "ORDER_ASC", "excludeMissingValues": True},
        ]
    )
    assert list(cheap) == ["1"]


@pytest.mark.slow
def test_curve_that_was_rewritten_shorter_has_no_old_tail(study: Study, servers: list[Server]) -> None:
    study.listen(TensorBoardTracker(study.paths))
    trial = study.start()
    study.report(trial, *[(step, {"loss": 9.0}) for step in range(1, 6)])
    study.tick()
    for server in servers:
        server.until(lambda s=server: len(s.curve("0", "loss")) == 5)  # type: ignore[misc]
    study.report(trial, (1, {"loss": 9.0}), (2, {"loss": 1.0}), replace=True)
    study.end(trial, 1.0)
    for server in servers:
        server.until(lambda s=server: s.curve("0", "loss") == [(1, 9.0), (2, 1.0)])  # type: ignore[misc]


def script_writes(folder: Path) -> None:
    from tensorboard.summary import Writer

    writer = Writer(str(folder))
    writer.add_scalar("script/loss", 100.0, step=0)
    writer.close()
