"""The measurements, each of which returns the rows of its table: what, measured, aim."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.service import client
from benchmarks.service.served import Server, cpu_s
from hpo_engine.store.journal import read_history
from hpo_engine.store.lock import who_leads

Rows = list[tuple[str, str, str]]
HYPERSEARCH = "/platform/rest/deeplearning/v1/hypersearch"
V1 = "/api/v1/studies"
SCRIPT = """\
import json, os, time
config = json.load(open("config.json"))
time.sleep(config["sleep"])
json.dump([{"step": 1, "loss": (config["x"] - 0.3) ** 2}], open("val_dict_list.json", "w"))
"""


@dataclass(frozen=True)
class Size:
    """How much is done: `connections` at once, `seconds` of load, `kills`, `studies` at once, `browsers`, `trials` of
    the large study."""

    connections: int = 1000
    seconds: float = 15.0
    kills: int = 50
    studies: int = 50
    share_s: float = 60.0
    browsers: int = 100
    trials: int = 10_000


SHORT = Size(connections=50, seconds=2.0, kills=2, studies=4, share_s=6.0, browsers=5, trials=300)


def task(name: str, trials: int = 2, parallel: int = 1, sleep: float = 0.0) -> str:
    return json.dumps({
        "hpoName": name,
        "modelSpec": {"args": "--exec-start PyTorch --model-main train.py"},
        "algoDef": {
            "algorithm": "Random", "maxJobNum": trials, "maxParalleJobNum": parallel, "objectiveMetric": "loss",
            "objective": "minimize",
        },
        "hyperParams": [
            {"name": "x", "type": "Range", "dataType": "double", "minDbVal": 0, "maxDbVal": 1},
            {"name": "sleep", "type": "Fix", "dataType": "double", "fixedVal": sleep},
        ],
    })  # fmt: skip


def posts(folder: Path, size: Size) -> Rows:
    """Durable submissions: one study runs (it sleeps), all others wait."""
    with Server(folder / "posts", 1) as server:
        _submit(server, [task("sleeper", sleep=3600.0)])
        request = partial(_post, server)
        used = server.cpu_s()
        found = asyncio.run(client.load(server.port, size.connections, size.seconds, request))
        used = server.cpu_s() - used
        count = _count(server.root)
        good = found.statuses.get(200, 0)
        return [
            (f"POST {HYPERSEARCH}, {size.connections} connections, per second", f"{found.rate(200):.0f}", ">= 500"),
            ("  99th percentile, s", f"{found.quantile(0.99):.2f}", "<= 2"),
            ("  median, s", f"{found.quantile(0.5):.2f}", ""),
            ("  other statuses, broken connections", f"{_others(found)}, {found.failed}", "none, 0"),
            ("  processor time of the service per POST, ms", f"{1000 * used / max(1, good):.2f}", ""),
            ("  acknowledged and not in the database", str(max(0, good + 1 - count)), "0"),
        ]


def gets(folder: Path, size: Size) -> Rows:
    """One study that has ended, polled; and a list of many studies."""
    with Server(folder / "gets", 4) as server:
        _submit(server, [task("done", trials=20, parallel=4)])
        _await_end(server, ["done"], 120)
        rows: Rows = []
        for what, path in (("of a task of 20 trials", f"{HYPERSEARCH}/done"), ("of a study", f"{V1}/done")):
            request = client.get(server.port, server.token, path)
            used = server.cpu_s()
            found = asyncio.run(client.load(server.port, size.connections, size.seconds, partial(_same, request)))
            used = server.cpu_s() - used
            rows += [
                (f"GET {what}, {size.connections} connections, per second", f"{found.rate(200):.0f}", ">= 2000"),
                ("  99th percentile, s", f"{found.quantile(0.99):.2f}", ""),
                ("  other statuses, broken connections", f"{_others(found)}, {found.failed}", "none, 0"),
                (
                    "  processor time of the service per GET, ms",
                    f"{1000 * used / max(1, len(found.latencies)):.2f}",
                    "",
                ),
            ]
    return rows


def listing(folder: Path, size: Size) -> Rows:
    """The list of as many studies as there are connections, all of them waiting but one."""
    with Server(folder / "list", 1) as server:
        _submit(server, [task("sleeper", sleep=3600.0), *[task(f"s{number}") for number in range(size.connections)]])
        request = client.get(server.port, server.token, V1)
        took = []
        for _ in range(5):
            began = time.perf_counter()
            client.run(server.port, [request])
            took.append(time.perf_counter() - began)
        return [(f"GET {V1}, {size.connections} studies, s", f"{statistics.median(took):.3f}", "")]


def kills(folder: Path, size: Size) -> Rows:
    """kill -9 of the service in the middle of a load of submissions, again and again."""
    server = Server(folder / "kills", 1)
    random_s = random.Random(7)
    acknowledged: dict[str, str] = {}  # key -> name
    unanswered: dict[str, str] = {}  # key -> text of what was sent without an answer
    starts = []
    try:
        for round_number in range(size.kills):
            starts.append(server.start())
            if not round_number:
                _submit(server, [task("sleeper", sleep=3600.0)])
            asyncio.run(
                _submit_until_killed(
                    server,
                    round_number,
                    min(200, size.connections),
                    random_s.uniform(0.2, 1.5),
                    acknowledged,
                    unanswered,
                )
            )
        starts.append(server.start())
        again = [
            client.post(server.port, server.token, V1, text, SCRIPT, key) for key, text in sorted(unanswered.items())
        ]
        for key, (status, answer) in zip(sorted(unanswered), client.run(server.port, again), strict=True):
            if status == 201 and isinstance(answer, dict):
                acknowledged[key] = answer["study"]
        with closing(sqlite3.connect(f"file:{server.root}/.service/service.db?mode=ro", uri=True)) as db:
            found = dict(db.execute("SELECT key, name FROM submissions WHERE key IS NOT NULL"))
        lost = [key for key, name in acknowledged.items() if found.get(key) != name]
        names = Counter(found.values())
        return [
            (f"kill -9 of the service under load, {size.kills} times: acknowledged", str(len(acknowledged)), ""),
            ("  sent again with their keys, as their answers were lost", str(len(again)), ""),
            ("  lost", str(len(lost)), "0"),
            ("  twice", str(sum(count - 1 for count in names.values()) + len(set(found) - set(acknowledged))), "0"),
            ("  from the start to the first request, median, s", f"{statistics.median(starts):.2f}", ""),
        ]
    finally:
        server.end()


async def _submit_until_killed(
    server: Server, number: int, connections: int, after_s: float, done: dict[str, str], open_ones: dict[str, str]
) -> None:
    async def run(which: int) -> None:
        connection, count = client.Connection(server.port), 0
        while True:
            key = f"{number}-{which}-{count}"
            count += 1
            text = task(f"k{key}")
            open_ones[key] = text
            try:
                status, body = await connection.ask(client.post(server.port, server.token, V1, text, SCRIPT, key))
            except (OSError, asyncio.IncompleteReadError):
                return
            if status == 201:
                done[key] = json.loads(body)["study"]
            del open_ones[key]

    tasks = [asyncio.create_task(run(which)) for which in range(connections)]
    await asyncio.sleep(after_s)
    await asyncio.to_thread(server.kill)
    await asyncio.gather(*tasks)


def shares(folder: Path, size: Size) -> Rows:
    """Studies of one kind, all at once: how the machine is shared between them."""
    with Server(folder / "shares", size.studies) as server:
        names = [f"share{number}" for number in range(size.studies)]
        _submit(server, [task(name, trials=100_000, parallel=2, sleep=0.2) for name in names])
        locks = [str(server.root / name / "engine.lock") for name in names]
        begin = time.time() + 300
        while time.time() < begin and not all(who_leads(lock) for lock in locks):
            time.sleep(0.1)
        begin = time.time()
        time.sleep(size.share_s)
        end = time.time()
        ran = [_running_s(server.root / name, begin, end) for name in names]
        jain = sum(ran) ** 2 / (len(ran) * sum(each**2 for each in ran)) if any(ran) else 0.0
        least = min(ran)
        return [
            (
                f"{size.studies} studies at once for {size.share_s:g} s: Jain's index of running time",
                f"{jain:.4f}",
                ">= 0.95",
            ),
            ("  most / least", f"{max(ran) / least:.2f}" if least else "one had none", "<= 2"),
            ("  running time of all, trials at a time", f"{sum(ran) / (end - begin):.2f}", ""),
        ]


def _running_s(folder: Path, begin: float, end: float) -> float:
    """For how long trials of the study ran, in seconds within the window."""
    history, total = read_history(str(folder / "study.db")), 0.0
    for trial in history.trials:
        for attempt in trial.attempts:
            if attempt.started_at is not None:
                ended = attempt.ended_at if attempt.ended_at is not None else end
                total += max(0.0, min(end, ended) - max(begin, attempt.started_at))
    return total


def browsers(folder: Path, size: Size) -> Rows:
    """The engine of a large study, with and without browsers that look at it once a second."""
    root = folder / "browsers"
    with Server(root, 1) as server:
        _submit(server, [task("large", trials=1, parallel=1)])
        _await_end(server, ["large"], 120)
        _grow(root / "large", size.trials)
        client.run(server.port, [_resume(server, "large", size.trials + 100_000)])
        engine = _engine(root / "large")
        rows: Rows = []
        for what, count in (("nobody looks", 0), (f"{size.browsers} browsers look", size.browsers)):
            rate, cost, seen = asyncio.run(_stepping(server, root / "large", engine, count, size.seconds))
            rows += [
                (f"study of {size.trials} trials, {what}: trials per second", f"{rate:.1f}", "the same"),
                ("  processor time of the engine per trial, ms", f"{1000 * cost:.2f}", "the same"),
            ]
            if seen is not None:
                rows.append(
                    (
                        "  answers per second; 99th percentile, s",
                        f"{seen.rate(200, 304):.0f}; {seen.quantile(0.99):.2f}",
                        "",
                    )
                )
        return rows


async def _stepping(
    server: Server, study: Path, engine: int, count: int, seconds: float
) -> tuple[float, float, client.Load | None]:
    before, used, began = _ended(study), cpu_s(engine), time.monotonic()
    seen = None
    if count:
        seen = await _looking(server, count, seconds)
    else:
        await asyncio.sleep(seconds)
    took = time.monotonic() - began
    trials = max(1, _ended(study) - before)
    return trials / took, (cpu_s(engine) - used) / trials, seen


async def _looking(server: Server, count: int, seconds: float) -> client.Load:
    result, end = client.Load(), time.monotonic() + seconds
    paths = ["/api/v1/studies/large", "/api/v1/studies/large/trials?limit=100"]

    async def run(number: int) -> None:
        connection, turn = client.Connection(server.port), number
        await asyncio.sleep(number / count)
        while time.monotonic() < end:
            at = time.perf_counter()
            path = paths[turn % 2]
            turn += 1
            try:
                status, _ = await connection.ask(client.get(server.port, server.token, path))
            except (OSError, asyncio.IncompleteReadError):
                result.failed += 1
                continue
            result.add(status, time.perf_counter() - at)
            await asyncio.sleep(max(0.0, 1.0 - (time.perf_counter() - at)))
        connection.close()

    began = time.perf_counter()
    await asyncio.gather(*[run(number) for number in range(count)])
    result.seconds = time.perf_counter() - began
    return result


def _grow(study: Path, trials: int) -> None:
    """Adds ended trials to a study that no engine runs."""
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.control.requests import record
    from hpo_engine.study.events import AttemptEnded, AttemptIntended, Event, MetricsSeen, TrialEnded, TrialProposed
    from hpo_engine.study.history import History
    from hpo_engine.study.objective import Row

    def events(history: History, now: float) -> Sequence[Event]:
        found: list[Event] = []
        for number in range(history.next_id, trials):
            value = (number % 997) / 997
            found += [
                TrialProposed(now, number, {"x": value, "sleep": 0.0}),
                AttemptIntended(now, number, 1, f"grown-{number}"),
                MetricsSeen(now, number, (Row(1, {"loss": value}),), False),
                AttemptEnded(now, number, 1, {"code": 0}, ""),
                TrialEnded(now, number, "completed", value),
            ]
        return found

    record(StudyPaths(str(study)), events)


def _engine(study: Path) -> int:
    """The process of the study's engine, once it leads."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        holder = who_leads(str(study / "engine.lock"))
        if holder is not None and holder.pid:
            return holder.pid
        time.sleep(0.05)
    raise SystemExit(f"no engine leads {study}")


def _ended(study: Path) -> int:
    return read_history(str(study / "study.db")).ended_count


def _resume(server: Server, name: str, trials: int) -> bytes:
    body = json.dumps({"trials": trials})
    return (
        f"POST {V1}/{name}/resume HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nX-Auth-Token: {server.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _same(request: bytes, number: int) -> bytes:
    return request


def _post(server: Server, number: int) -> bytes:
    return client.post(server.port, server.token, HYPERSEARCH, task(f"n{number}"), SCRIPT)


def _submit(server: Server, texts: Sequence[str]) -> None:
    answers = client.run(
        server.port, [client.post(server.port, server.token, HYPERSEARCH, text, SCRIPT) for text in texts]
    )
    if refused := [answer for answer in answers if answer[0] != 200]:
        raise SystemExit(f"refused: {refused[0]}")


def _await_end(server: Server, names: Sequence[str], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        answers = client.run(server.port, [client.get(server.port, server.token, f"{V1}/{name}") for name in names])
        if all(_state(answer) in ("finished", "failed", "stopped") for _, answer in answers):
            return
        time.sleep(0.1)
    raise SystemExit(f"{', '.join(names)} did not end within {patience_s:g} s")


def _state(answer: Any) -> str:
    return str(answer.get("state")) if isinstance(answer, dict) else ""


def _count(root: Path) -> int:
    with closing(sqlite3.connect(f"file:{root}/.service/service.db?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM submissions").fetchone()[0])


def _others(found: client.Load) -> str:
    others = {status: count for status, count in found.statuses.items() if status != 200}
    return ", ".join(f"{count} x {status}" for status, count in sorted(others.items())) or "none"


MEASURES = {"posts": posts, "gets": gets, "list": listing, "kills": kills, "shares": shares, "browsers": browsers}


def measured(name: str, folder: Path, size: Size) -> Rows:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return MEASURES[name](folder, size)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
