"""Streams of events over a real server: what came is never lost or doubled, whoever connects when."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
import requests

from hpo_engine.service.v1.feeds import BROKEN, WAITING, Feeds, Message
from tests.support.helpers import wait_until
from tests.support.service import Served, served

GATED = """\
import json, os, time
c = json.load(open("config.json"))
rows = []
for i in range(1, 6):
    rows.append({"step": i, "loss": c["x"] / i})
    json.dump(rows, open("val_dict_list.json", "w"))
    print("step", i, flush=True)
    while i == 3 and not os.path.exists(os.environ["GATE"]):
        time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("root")) as service:
        yield service


def submitted(service: Served, name: str, folder: Path) -> Path:
    """A study whose trials wait for a file, which is returned."""
    (folder / "train.py").write_text(GATED)
    gate = folder / "go"
    fields = {
        "name": name, "command": f"{sys.executable} {folder}/train.py", "objective": "minimize loss", "algorithm": "random",
        "options": {"seed": 1}, "trials": 3, "parallel": 2, "space": {"x": {"float": [0, 2]}}, "env": {"GATE": str(gate)},
    }  # fmt: skip
    assert service.post("/api/v1/studies", json={"text": json.dumps(fields)}).status_code == 201
    return gate


class Events:
    """A client of server-sent events."""

    def __init__(self, service: Served, path: str, **headers: str) -> None:
        self._answer = requests.get(f"{service.url}/api/v1{path}", stream=True, timeout=60, headers=headers)
        assert self._answer.status_code == 200, self._answer.text
        assert self._answer.headers["content-type"].startswith("text/event-stream")
        self.last_id = ""

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        kind, data = "", ""
        for raw in self._answer.iter_lines():
            line = raw.decode()
            field, _, text = line.partition(": ")
            if field == "event":
                kind = text
            elif field == "id":
                self.last_id = text
            elif field == "data":
                data = text
            elif not line and data:
                yield kind, json.loads(data)
                kind, data = "", ""

    def close(self) -> None:
        self._answer.close()


class Mirror:
    """What a page knows of a study, from events alone."""

    def __init__(self) -> None:
        self.trials: dict[int, dict[str, Any]] = {}
        self.rows: dict[int, list[Any]] = {}
        self.events = 0
        self.state = ""

    def take(self, kind: str, data: dict[str, Any]) -> None:
        assert kind == "update" and data["after"] == self.events, "nothing is missing, nothing comes twice"
        self.events, self.state = data["events"], data["state"]
        self.trials |= {trial["trial"]: trial for trial in data["trials"]}
        for one in data["rows"]:
            self.rows[one["trial"]] = (
                one["rows"] if one["replace"] else [*self.rows.get(one["trial"], []), *one["rows"]]
            )


def test_a_study_is_followed_across_broken_connections(service: Served, tmp_path: Path) -> None:
    gate = submitted(service, "followed", tmp_path)
    mirror, first = Mirror(), Events(service, "/studies/followed/events?after=0")
    with closing(first):
        for kind, data in first:
            mirror.take(kind, data)
            if sum(len(rows) >= 3 for rows in mirror.rows.values()) == 2:
                break
    gate.touch()
    second = Events(service, "/studies/followed/events?after=0", **{"Last-Event-ID": first.last_id})
    with closing(second):
        for kind, data in second:
            mirror.take(kind, data)
            if mirror.state == "finished":
                break
    page = service.get("/api/v1/studies/followed/trials").json()
    assert page["events"] == mirror.events
    assert {t["trial"]: (t["state"], t["value"]) for t in page["trials"]} == {
        number: (t["state"], t["value"]) for number, t in mirror.trials.items()
    }
    for number, rows in mirror.rows.items():
        reported = service.get(f"/api/v1/studies/followed/trials/{number}/rows").json()["rows"]
        assert [[row["step"], {"loss": row["loss"]}] for row in reported] == rows
    with closing(Events(service, "/studies/followed/events", **{"Last-Event-ID": "1.000000-3"})) as other:
        assert next(iter(other))[0] == "reset", "of another study of that name"


def test_the_list_and_the_output_are_followed_and_a_removed_study_ends_its_stream(
    service: Served, tmp_path: Path
) -> None:
    gate = submitted(service, "listed", tmp_path)
    with closing(Events(service, "/events")) as events, closing(Events(service, "/studies/listed/events")) as one:
        arriving = iter(events)
        kind, data = next(arriving)
        assert kind == "studies" and data["all"] and "listed" in [study["study"] for study in data["studies"]]
        output = ""
        wait_until(lambda: service.get("/api/v1/studies/listed/trials/0").status_code == 200)
        with closing(Events(service, "/studies/listed/trials/0/log/events")) as log:
            for kind, data in log:
                output += data["text"] if kind == "output" else ""
                if "step 3" in output:
                    gate.touch()
                if kind == "end":
                    assert data["state"] == "completed"
                    break
        assert output.split("\n")[:5] == [f"step {i}" for i in range(1, 6)]
        assert any(s["study"] == "listed" and s["state"] == "finished" for _, d in arriving for s in d["studies"])
        assert service.delete("/api/v1/studies/listed?force=true").status_code == 204
        assert any("listed" in data["removed"] for _, data in arriving)
        assert list(one)[-1][0] == "removed"
    assert requests.get(f"{service.url}/api/v1/studies/listed/events", timeout=60).status_code == 404


def test_trials_are_paused_stopped_retried_and_resumed_while_they_run(service: Served, tmp_path: Path) -> None:
    gate, base = submitted(service, "acted", tmp_path), "/api/v1/studies/acted"

    def state(number: int) -> str:
        answer = service.get(f"{base}/trials/{number}").json()
        return str(answer.get("state"))

    def act(number: int, what: str) -> dict[str, Any]:
        answer = service.post(f"{base}/trials/{number}/{what}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    wait_until(lambda: (state(0), state(1)) == ("running", "running"))
    assert act(0, "pause")["trial"] == 0
    wait_until(lambda: state(0) == "paused")
    assert act(0, "pause")["text"] == "trial 0 is paused already"
    assert service.post(f"{base}/trials/1/stop", json={"kill": True}).status_code == 200
    wait_until(lambda: state(1) == "stopped")
    assert act(1, "retry")["text"] == "trial 1 begins anew"
    assert act(0, "retry")["text"] == "trial 0 is paused; resume it"
    assert act(0, "resume")["state"] in ("pending", "running")
    gate.touch()
    wait_until(lambda: service.get(base).json()["state"] == "finished")
    page = service.get(f"{base}/trials").json()["trials"]
    assert [trial["state"] for trial in page] == ["completed"] * 3 and page[1]["attempts"] == 2


class Counting:
    """A source that counts how often it is read, and has one message each time."""

    def __init__(self) -> None:
        self.reads, self.threads = 0, set[str]()

    def position(self) -> int:
        return self.reads

    def news(self) -> list[Message]:
        self.reads += 1
        self.threads.add(threading.current_thread().name)
        return [Message("tick", str(self.reads), last=self.reads == 2 * WAITING)]


def test_a_hundred_listeners_cost_one_reader_and_a_slow_one_is_cut_off() -> None:
    source, feeds, got = Counting(), Feeds(), dict[int, list[int]]()

    async def listen(number: int) -> None:
        async with feeds.listening("x", lambda: source, 0.0) as (listener, _):
            got[number] = []
            while (message := await listener.next()) is not None:
                got[number].append(int(message.data))
                if number == 0:  # as a client that does not take what it is sent
                    while source.reads < 2 * WAITING:
                        await anyio.sleep(0.001)
                if message.last:
                    return

    async def all_of_them() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(listen, number)

    anyio.run(all_of_them)
    assert source.reads == 2 * WAITING and len(source.threads) == 1
    for number, seen in got.items():
        assert seen == list(range(seen[0], seen[0] + len(seen))), "nothing is missing in what one has got"
        assert (seen[-1] == 2 * WAITING) is (number != 0)
    assert len(got[0]) <= WAITING + 1 and feeds.count == 0


class Failing(Counting):
    def news(self) -> list[Message]:
        if self.reads == 2:
            raise RuntimeError("nobody expects it")
        return super().news()


def test_a_stream_whose_source_fails_ends_and_the_next_listener_gets_a_new_one() -> None:
    feeds, made = Feeds(), list[Failing]()

    def source() -> Failing:
        made.append(Failing())
        return made[-1]

    async def listen() -> list[Message | None]:
        found: list[Message | None] = []
        async with feeds.listening("x", source, 0.0) as (listener, _):
            while not found or (found[-1] is not None and not found[-1].last):
                found.append(await listener.next())
        return found

    async def twice() -> list[list[Message | None]]:
        return [await listen(), await listen()]

    assert anyio.run(twice) == [[Message("tick", "1"), Message("tick", "2"), BROKEN]] * 2 and len(made) == 2
