"""Trials that are carried on, from every source and with every way to count steps: their rows are those of one training."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.sources.candidates import Candidate
from hpo_engine.contract.sources.lightning_csv import LightningCsv
from hpo_engine.contract.sources.printed import Printed
from hpo_engine.contract.sources.tables import Csv, JsonLines
from hpo_engine.contract.sources.tensorboard.source import TensorBoard
from hpo_engine.contract.sources.trainer_state import TrainerState
from hpo_engine.contract.sources.val_dict_list import ValDictList
from hpo_engine.executors.local.bound import BoundLaunch as Launch
from hpo_engine.study.spec import Budget, Resource
from hpo_engine.study.trial import Exit
from tests.support.doubling import Doubling
from tests.support.eventfiles import VERSION, scalars
from tests.support.loop_bench import Bench

Points = Sequence[tuple[int, float]]
Write = Callable[[Path, Launch, Points], None]


def _append_csv(folder: Path, launch: Launch, points: Points) -> None:
    head = "" if (folder / "log.csv").exists() else "epoch,loss\n"
    with open(folder / "log.csv", "a") as file:
        file.write(head + "".join(f"{step},{loss}\n" for step, loss in points))


def _new_csv(folder: Path, launch: Launch, points: Points) -> None:
    (folder / "log.csv").write_text("epoch,loss\n" + "".join(f"{step},{loss}\n" for step, loss in points))


def _jsonl(folder: Path, launch: Launch, points: Points) -> None:
    with open(folder / "log.jsonl", "a") as file:
        file.writelines(json.dumps({"epoch": step, "loss": loss}) + "\n" for step, loss in points)


def _lightning(folder: Path, launch: Launch, points: Points) -> None:
    version = folder / f"lightning_logs/version_{launch.attempt - 1}"
    version.mkdir(parents=True)
    lines = (f"{step - 1},{10 * step - 1},{loss}\n" for step, loss in points)  # epochs from 0
    (version / "metrics.csv").write_text("epoch,step,loss\n" + "".join(lines))


def _tensorboard(folder: Path, launch: Launch, points: Points) -> None:
    (folder / "runs").mkdir(exist_ok=True)
    name = f"runs/events.out.tfevents.{1_700_000_000 + launch.attempt}.host.{launch.attempt}.0"
    (folder / name).write_bytes(VERSION + b"".join(scalars(step, {"loss": loss}) for step, loss in points))


def _trainer_state(folder: Path, launch: Launch, points: Points) -> None:
    history = [{"epoch": step, "step": 10 * step, "loss": loss} for step, loss in points]
    into = folder / f"out/checkpoint-{launch.values['epochs']}"
    into.mkdir(parents=True, exist_ok=True)
    (into / "trainer_state.json").write_text(json.dumps({"log_history": history, "global_step": 10}))


def _rows(folder: Path, launch: Launch, points: Points) -> None:
    (folder / "val_dict_list.json").write_text(json.dumps([{"step": step, "loss": loss} for step, loss in points]))


def _printed(folder: Path, launch: Launch, points: Points) -> None:
    lines = "".join(f"epoch={step} loss={loss}\n" for step, loss in points)
    Path(launch.paths.attempt(launch.attempt), "output.log").write_text(lines)


SOURCES: dict[str, tuple[Candidate, Write]] = {
    "csv, appended": (Candidate("csv", Csv), _append_csv),
    "csv, a new one": (Candidate("csv", Csv), _new_csv),
    "jsonl": (Candidate("jsonl", JsonLines), _jsonl),
    "lightning_csv": (Candidate("lightning_csv", LightningCsv), _lightning),
    "tensorboard": (Candidate("tensorboard", TensorBoard), _tensorboard),
    "trainer_state": (Candidate("trainer_state", TrainerState), _trainer_state),
    "val_dict_list": (Candidate("val_dict_list", ValDictList, own=True), _rows),
    "stdout": (Candidate("stdout", Printed), _printed),
}
WAYS = ("goes on", "writes all again", "counts from 1", "begins anew")


def loss(epoch: int, run: int = 0) -> float:
    return float(f"{1 + (2 + run / 8) / epoch:.6f}")


@pytest.mark.by_default("goes on]", "csv, appended")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", SOURCES)
def test_rows_of_a_trial_that_is_carried_on_are_those_of_one_training(source: str, way: str, tmp_path: Path) -> None:
    bench, (candidate, write) = Bench(tmp_path), SOURCES[source]
    bench.candidates = [candidate]

    def behave(launch: Launch) -> Exit:
        folder, most = Path(launch.paths.result_dir), launch.values["epochs"]
        state = folder / "checkpoints/last.ckpt"
        had = int(state.read_text()) if "HPO_RESUME_FROM" in launch.env else 0
        added = [(n, loss(n)) for n in range(had + 1, most + 1)]
        points = {
            "goes on": added,
            "writes all again": [(n, loss(n)) for n in range(1, most + 1)],
            "counts from 1": [(n - had, value) for n, value in added],
            "begins anew": [(n, loss(n, launch.attempt)) for n in range(1, most + 1)],
        }[way]
        os.makedirs(state.parent, exist_ok=True)
        state.write_text(str(most))
        write(folder, launch, points)
        return Exit(code=0)

    bench.behave = behave
    parts: dict[str, Any] = {"resource": Resource("epochs", 8, resume="auto"), "budget": Budget(4)}
    engine = bench.open(**parts, trackers=())
    bench.searcher = Doubling(engine.history.spec, begin=4)
    first = bench.run(bench.lead()).trials[0]
    last = first.results[-1]
    assert last.resource is not None and last.resource >= 4 and len(first.attempts) >= 3
    run = len(first.attempts) if way == "begins anew" else 0
    assert [row.values["loss"] for row in first.rows] == pytest.approx(
        [loss(n, run) for n in range(1, last.resource + 1)]
    )
    steps = [row.step for row in first.rows]
    gaps = {b - a for a, b in zip(steps, steps[1:], strict=False)}
    assert len(gaps) == 1, "one step after the other"
    assert [attempt.anew for attempt in first.attempts[1:]] == [way == "begins anew"] * (len(first.attempts) - 1)
