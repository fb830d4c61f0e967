"""A study of an unchanged script that logs to TensorBoard, run by the real engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.shell import Shell

SCRIPT = """
import argparse, os, time
from tests.support.eventfiles import NAME, VERSION, scalars
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
lr = parser.parse_args().lr
os.makedirs("runs/Nov27_18-00-00_host")
with open(f"runs/Nov27_18-00-00_host/{NAME}", "wb", buffering=0) as file:
    file.write(VERSION)
    batch = 0
    for epoch in range(1, 9):
        for _ in range(20):
            batch += 1
            file.write(scalars(batch, {"Loss/train": float(batch)}, at=1.7e9 + batch))
        file.write(scalars(epoch, {"Loss/val": lr + (8 - epoch) / 64}, at=1.7e9 + batch + 0.5))
        time.sleep(0.1 if lr < 0.7 or epoch < 5 else 60)  # a loser is ended long before
"""
STUDY = """
name: my-study
command: python train.py --lr {lr}
objective: minimize Loss/val
space: {lr: {float: [0.1, 1.0]}}
algorithm: random
options: {seed: 4}
points: [{lr: 0.25}, {lr: 0.5}, {lr: 0.75}, {lr: 1.0}]
trials: 4
parallel: 2
early_stopping: {rule: rank, min_rivals: 1}
"""


@pytest.mark.slow
def test_losers_are_ended_by_what_their_event_files_say_while_they_run(shell: Shell) -> None:
    shell.write("train.py", SCRIPT)
    shell.write("algo.yaml", STUDY)
    output = shell.run("submit", "algo.yaml")
    assert "(tensorboard); a step is the global step that is logged with the objective" in output
    ended = [json.loads(shell.run("show", "my-study", str(i), "--json")) for i in range(4)]
    assert ended[0]["state"] == "completed" and ended[0]["value"] == 0.25
    rows = [{"step": i, "Loss/train": 20.0 * i, "Loss/val": 0.25 + (8 - i) / 64} for i in range(1, 9)]
    assert ended[0]["rows"] == rows
    assert [trial["state"] for trial in ended[2:]] == ["pruned", "pruned"]
    assert all(len(trial["rows"]) < 8 for trial in ended[2:])
    assert Path(shell.folder, "train.py").read_text() == SCRIPT
    assert not Path(shell.folder, "runs").exists()
