"""Hostile result files for every source: nothing raises, nothing hangs, and what is seen live is what counts in the end.

A file is made of what real ones hold, then torn, doubled, reordered or filled with what no format allows. 10,000 of
them: `python -m tests.contract.test_hostile_results 10000`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpo_engine import assembly
from hpo_engine.contract.binding import ATTEMPT_TAG
from hpo_engine.contract.layout import lay_out, lay_out_study
from hpo_engine.contract.paths import EMETRICS, RESULT, StudyPaths
from hpo_engine.contract.sources.interface import Reading, TrialFiles
from hpo_engine.contract.sources.reports import Reports
from hpo_engine.contract.sources.verdict import verdict
from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.rows import from_json, same_rows, to_json
from hpo_engine.study.spec import Named, StudySpec
from hpo_engine.trackers import tfevents

METRIC = "val_loss"
NONCE = "mine"  # of the attempt
_RUN = f"mlruns/0/{'a' * 32}/metrics"
SLOW_S = 5.0  # of processor time: no file may take longer
NAMES = (
    METRIC,
    "step",
    "epoch",
    "",
    " ",
    "a" * 5000,
    "naïve",
    "损失",
    "\u202eloss",
    "a,b",
    'q"uote',
    "x\ty",
    "__proto__",
    "0",
)
NUMBERS = (
    "0", "-0.0", "1e308", "1e309", "-1e400", "5e-324", "nan", "NaN", "inf", "-Infinity", "1_000", "0x10", "1" * 400,
    "9" * 5000, "1.5.2", "--3", "+", "1e", "٣", "9007199254740993", "-9223372036854775809", "true", "null", '"0.5"', "",
)  # fmt: skip
JUNK = (
    b"\0", b"\0" * 4096, b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\n" * 500, b"\x1b[2K", b"[" * 3000, b"{" * 3000,
    b'{"a":' * 800, b"]" * 99, b'"', b"\\", b"\\ud800", b"\xed\xa0\x80", b"," * 5000, b";" * 300, b"a" * 70_000, b"#{",
    b"Infinity", b"x=1 " * 3000, b"\x80\x81\x82", b"{}", b"[]", b"[[]]", b"null", b"=" * 9000, b"|" * 9000, b"\x08" * 99,
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """How a source's file is called, in RESULT_DIR unless it begins with a slash, and what it holds."""

    names: Sequence[str]
    text: Callable[[random.Random], bytes]


def _name(rng: random.Random) -> str:
    return METRIC if rng.random() < 0.6 else rng.choice(NAMES)


def _number(rng: random.Random) -> str:
    return repr(rng.uniform(-5, 5)) if rng.random() < 0.6 else rng.choice(NUMBERS)


def _object(rng: random.Random) -> str:
    step = f'"{rng.choice(("step", "epoch", "x"))}": {_number(rng)}, ' if rng.random() < 0.7 else ""
    pairs = ", ".join(f"{json.dumps(_name(rng))}: {_number(rng)}" for _ in range(rng.randint(0, 3)))
    return "{" + (step + pairs).rstrip(", ") + "}"


def _document(rng: random.Random) -> bytes:
    return f"[{', '.join(_object(rng) for _ in range(rng.randint(0, 8)))}]".encode()


def _lines(rng: random.Random) -> bytes:
    return "".join(_object(rng) + rng.choice(("\n", "\r\n", "\n\n")) for _ in range(rng.randint(0, 12))).encode()


def _emetrics(rng: random.Random) -> bytes:
    def one() -> str:
        value = f'{{"type": {rng.choice((2, 3, "x"))}, "value": "{_number(rng).strip(chr(34))}"}}'
        entry = f'"grouplabel": {json.dumps(rng.choice(("test", "train", _name(rng))))}, "etimes": {{"iteration": {_number(rng)}}}'
        return f'{{{entry}, "values": {{{json.dumps(_name(rng))}: {value}}}}}\n'

    return "".join(one() for _ in range(rng.randint(0, 10))).encode()


def _table(rng: random.Random) -> bytes:
    sep, end = rng.choice((",", ";", "\t", ", ")), rng.choice(("\n", "\r\n"))
    names = ["epoch", "step"][: rng.randint(0, 2)] + [_name(rng) for _ in range(rng.randint(1, 4))]
    lines = [sep.join(names)]
    for _ in range(rng.randint(0, 10)):
        if rng.random() < 0.1:  # the columns change
            names = [*names, _name(rng)] if rng.random() < 0.5 else names[:-1]
            lines.append(sep.join(names))
        lines.append(
            sep.join(rng.choice((_number(rng), "")) for _ in range(max(0, len(names) + rng.choice((0, 0, 0, 1, -1)))))
        )
    return (end.join(lines) + end * rng.randint(0, 2)).encode()


def _printed(rng: random.Random) -> bytes:
    def one() -> str:
        begin = rng.choice(
            ("", f"Epoch {rng.randint(0, 9)}/9 ", f"[{_number(rng)}] ", "2026-11-27 10:00:00 INFO ", "\x1b[1m")
        )
        pairs = " ".join(
            f"{_name(rng)}{rng.choice(('=', ': ', ' = '))}{_number(rng)}" for _ in range(rng.randint(0, 4))
        )
        return begin + pairs + rng.choice(("\n", "\r", "\r\n"))

    return "".join(one() for _ in range(rng.randint(0, 15))).encode()


def _state(rng: random.Random) -> bytes:
    history = _document(rng).decode()
    return f'{{"epoch": {_number(rng) or 1}, "global_step": 3, "log_history": {history}}}'.encode()


def _events(rng: random.Random) -> bytes:
    out = tfevents.header(1e9)
    for _ in range(rng.randint(0, 10)):
        names = [_name(rng) for _ in range(rng.randint(0, 3))]
        values = [tfevents.scalar(name, rng.choice((0.5, -1e38, float("nan"), float("inf")))) for name in names]
        out += tfevents.summary(1e9, rng.choice((0, 1, 2, 2**40)), values)
    return out


def _run(rng: random.Random) -> bytes:
    return "".join(
        f"{rng.choice((1700000000000, _number(rng)))} {_number(rng)} {_number(rng)}\n" for _ in range(9)
    ).encode()


def _database(rng: random.Random) -> bytes:
    """A file of SQLite with MLflow's tables, columns of any type, and values that these do not have."""
    with tempfile.NamedTemporaryFile(suffix=".db") as file:
        with closing(sqlite3.connect(file.name)) as store, store:
            typed = rng.choice(("", " FLOAT", " BLOB"))
            store.execute("CREATE TABLE runs (run_uuid, start_time BIGINT)")
            store.execute("CREATE TABLE tags (key, value, run_uuid)")
            store.execute(f"CREATE TABLE metrics (key, value{typed}, timestamp, run_uuid, step{typed}, is_nan)")
            store.execute("INSERT INTO runs VALUES ('r', ?)", (rng.choice((2**62, 0, "x", None)),))
            if rng.random() < 0.5:
                store.execute(
                    "INSERT INTO tags VALUES (?, ?, 'r')", (ATTEMPT_TAG, rng.choice((NONCE, "other", b"\xff")))
                )
            odd = (None, b"\xff\0", "nan", "x" * 5000, 2**63 - 1, 1e308, -0.0, 0.5)
            for _ in range(rng.randint(0, 8)):
                values = [rng.choice(odd) if rng.random() < 0.2 else rng.randint(0, 9) for _ in range(4)]
                row = (_name(rng), values[0], values[1], "r", values[2], values[3] == 9)
                store.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", row)
        return Path(file.name).read_bytes()


KINDS = {
    "val_dict_list": Kind((RESULT,), _document),
    "emetrics": Kind((f"/log/{EMETRICS}",), _emetrics),
    "lightning_csv": Kind(("lightning_logs/version_0/metrics.csv", "metrics.csv", "a/b c/metrics.csv"), _table),
    "tensorboard": Kind(("runs/a/events.out.tfevents.1.x.0", "/log/events.out.tfevents.2.x.0"), _events),
    "csv": Kind(("history.csv", "/log/x.tsv", "a b/results.csv"), _table),
    "jsonl": Kind(("log.jsonl", "/log/é.jsonl"), _lines),
    "json": Kind(("history.json", "a/metrics.json"), _document),
    "trainer_state": Kind(("out/checkpoint-1/trainer_state.json", "trainer_state.json"), _state),
    "stdout": Kind(("/out/output.log",), _printed),
    "mlflow": Kind((*(f"{_RUN}/{name}" for name in (METRIC, f"a/{METRIC}", f"../tags/{ATTEMPT_TAG}")),), _run),
    "mlflow, SQLite": Kind(("mlflow.db", "/log/a b/é.sqlite"), _database),
}


def source_of(kind: str) -> str:
    """The source that reads files of a kind."""
    return kind.partition(",")[0]


def _spoilt(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        at = rng.randint(0, len(data))
        end = rng.randint(at, len(data))
        data = rng.choice(
            (
                data[:at],
                data[:at] + rng.choice(JUNK) + data[at:],
                data[:at] + rng.choice(JUNK) + data[end:],
                data[:at] + data[at:end] * 3 + data[end:],
                data[at:] + data[:at],
                data[:at] + bytes(rng.randrange(256) for _ in range(40)) + data[end:],
            )
        )
    return data[: 1 << 20]


class Case:
    """One trial whose script misbehaves."""

    def __init__(self, root: Path, number: int, kind: str, rng: random.Random) -> None:
        self.rng, self.kind = rng, kind
        study = StudyPaths(str(root / f"s{number}"))
        os.makedirs(study.root)
        lay_out_study(study, "fuzz")
        self.paths = study.trial(0)
        lay_out(self.paths)
        os.makedirs(self.paths.attempt(1), exist_ok=True)
        self.secret = root / f"secret{number}"
        self.secret.write_text('[{"step": 1, "val_loss": -7700770077}]\n')

    def place(self, name: str) -> Path:
        for begin, folder in (("/log/", self.paths.log_dir), ("/out/", self.paths.attempt(1))):
            if name.startswith(begin):
                return Path(folder, name.removeprefix(begin))
        return Path(self.paths.result_dir, name)

    def write(self, *, odd: bool) -> None:
        """One more thing that the script does to its files. `odd`: the file may become something else."""
        kind = KINDS[self.kind]
        path = self.place(self.rng.choice(kind.names))
        what = self.rng.random()
        try:
            if odd and what < 0.15:
                self._put_something_else(path)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            data = _spoilt(kind.text(self.rng), self.rng)
            if what < 0.6 and path.is_file() and not path.is_symlink():
                with open(path, "ab") as file:
                    file.write(data)
            elif what < 0.8:
                aside = path.with_name(".aside")
                aside.write_bytes(data)
                os.replace(aside, path)
            elif not path.exists() or path.is_file():
                path.write_bytes(data)
        except (OSError, ValueError):
            pass  # what was put there before is in the way

    def _put_something_else(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        make = self.rng.choice(
            (
                os.mkfifo,
                os.mkdir,
                lambda at: os.symlink(self.secret, at),
                lambda at: os.link(self.secret, at),
                lambda at: os.symlink("/dev/zero", at),
                lambda at: os.symlink(at, at),
                lambda at: None,
            )
        )
        make(path)


def run(root: Path, number: int, kind: str, rng: random.Random, auto: bool) -> str:
    """One case. Returns "" or what went wrong."""
    case = Case(root, number, kind, rng)
    spec = StudySpec(
        "fuzz", SearchSpace((Float("x", 0, 1),)), (Objective(METRIC),), ("true",), str(root),
        metric_sources=(Named("auto" if auto else source_of(kind)),),
    )  # fmt: skip
    candidates = assembly.metric_sources(spec)

    def reports() -> Reports:
        return Reports(TrialFiles(case.paths, named=frozenset([METRIC]), nonce=NONCE), candidates, objectives=[METRIC])

    live = reports()
    began = time.process_time()
    seen: Sequence[object] = ()
    looks = rng.randint(1, 4)
    for _ in range(looks):
        case.write(odd=rng.random() < 0.5)
        live._not_before = 0.0
        found = live.fresh()
        if found is not None:
            seen = [*found[0]] if found[1] else [*seen, *found[0]]
            from_json(json.loads(json.dumps(to_json(found[0]), allow_nan=False)))
    reading = reports().final(cut=rng.random() < 0.5)
    values, text = verdict(reading, [Objective(METRIC)], 0)
    took = time.process_time() - began
    problem = _wrong(reading, text)
    if took > SLOW_S:
        problem = f"took {took:.1f} s"
    if not problem and any("7700770077" in repr(row) for row in reading.rows):
        problem = "followed a link"
    if not problem and not same_rows(again := reports().final(cut=False).rows, reports().final(cut=False).rows):
        problem = f"two readings differ: {again}"
    shutil.rmtree(case.paths.study.root, ignore_errors=True)
    case.secret.unlink()
    return problem


def settled(root: Path, number: int, kind: str, rng: random.Random) -> str:
    """What is seen live, after as many looks as it takes, is what counts in the end. Returns "" or what differs."""
    case = Case(root, number, kind, rng)
    spec = StudySpec(
        "fuzz", SearchSpace((Float("x", 0, 1),)), (Objective(METRIC),), ("true",), str(root),
        metric_sources=(Named(source_of(kind)),),
    )  # fmt: skip
    candidates = assembly.metric_sources(spec)
    path = case.place(KINDS[kind].names[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "emetrics":  # without the group `test` another one has the plain names, which shows in the end only
        path.write_text(f'{{"grouplabel": "test", "etimes": {{}}, "values": {{"{METRIC}": 1.0}}}}\n')
    live = Reports(TrialFiles(case.paths, named=frozenset([METRIC]), nonce=NONCE), candidates, objectives=[METRIC])
    rows: list[Row] = []
    binary = kind in ("tensorboard", "mlflow, SQLite")
    for _ in range(1 if kind == "mlflow, SQLite" else rng.randint(1, 3)):  # nobody puts another database in its place
        data = KINDS[kind].text(rng)
        whole = data if binary else data.rstrip(b"\n") + b"\n"
        if kind in ("val_dict_list", "json", "trainer_state", "mlflow, SQLite"):
            path.write_bytes(whole)
        else:
            with open(path, "ab") as file:
                file.write(whole if not (kind == "tensorboard" and file.tell()) else b"")
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            live._not_before = 0.0
            found = live.fresh()
            if found is not None:
                rows = [*found[0]] if found[1] else [*rows, *found[0]]
            if found is None and time.monotonic() > deadline - 0.1:
                break
            time.sleep(0.01)
    final = Reports(
        TrialFiles(case.paths, named=frozenset([METRIC]), nonce=NONCE), candidates, objectives=[METRIC]
    ).final()
    one, two = _reported(rows), _reported(final.rows)
    # What cannot be read as a whole in the end, or is empty then, may have been seen before.
    problem = "" if one == two or not final.rows else f"live {one}, in the end {two}"
    problem = problem and f"{problem} ({path.read_bytes()[:300]!r})"
    shutil.rmtree(case.paths.study.root, ignore_errors=True)
    return problem


def _reported(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Steps and values of the rows that have the metric, as texts, by which NaN equals NaN."""
    return [(repr(row.step), repr(row.values[METRIC])) for row in rows if METRIC in row.values]


def _wrong(reading: Reading, text: str) -> str:
    if not reading.rows and not reading.problem:
        return "no rows and no reason"
    if "\n" in text or len(text) > 5000 or not text.isprintable():
        return f"not one line: {text!r:.300}"
    return ""


def known() -> list[str]:
    return [kind for kind in KINDS if source_of(kind) in assembly.METRIC_SOURCES.own]


def fuzz(count: int, seed: int, root: Path) -> tuple[Counter[str], list[str]]:
    """So many files of each source in turn; returns how many there were of each, and what went wrong."""
    done: Counter[str] = Counter()
    wrong: list[str] = []
    kinds = known()
    for number in range(count):
        kind = kinds[number % len(kinds)]
        rng = random.Random(f"{seed} {number}")
        try:
            problem = run(root, number, kind, rng, auto=number // len(kinds) % 3 == 0)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        done[kind] += 1
        if problem:
            wrong.append(f"{kind}, file {number} of seed {seed}: {problem}")
    return done, wrong


def test_hostile_files_of_every_source(tmp_path: Path) -> None:
    done, wrong = fuzz(150, random.randrange(1 << 30), tmp_path)
    assert not wrong
    assert set(done) == set(known())


@pytest.mark.slow
@pytest.mark.parametrize("kind", known())
def test_what_is_seen_live_is_what_counts(kind: str, tmp_path: Path) -> None:
    for number in range(20):
        rng = random.Random(f"{kind} {number}")
        assert not settled(tmp_path, number, kind, rng), number


@pytest.mark.slow
def test_many_hostile_files_of_every_source(tmp_path: Path) -> None:
    assert not fuzz(10_000, 1, tmp_path)[1]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        counts, problems = fuzz(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1, Path(folder))
        print(dict(counts))
        print("\n".join(problems) or "nothing wrong")
        sys.exit(bool(problems))
