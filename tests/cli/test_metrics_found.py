"""Scripts that know nothing of the engine: their metrics are found, losers end while they run, the best trial is right.

Each way to report is a script as people write it. It trains three epochs; a loser trains until it is ended.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.support.helpers import wait_until
from tests.support.shell import Shell

HEAD = """\
import argparse, csv, json, os, time
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float, required=True)
x = parser.parse_args().x


def losses():
    for epoch in range(1, 4 if x < 3 else 1000):
        yield epoch, x + 1 / epoch
        time.sleep(0.3 if x >= 3 else 0)


"""
SCRIPTS = {
    "stdout": """\
for epoch, loss in losses():
    print(f"Epoch {epoch}: train_loss={loss / 2:.4f} val_loss={loss:.4f}", flush=True)
""",
    "csv": """\
with open("history.csv", "w", newline="") as file:
    writer = csv.DictWriter(file, ["epoch", "train_loss", "val_loss"])
    writer.writeheader()
    for epoch, loss in losses():
        writer.writerow({"epoch": epoch, "train_loss": loss / 2, "val_loss": loss})
        file.flush()
""",
    "jsonl": """\
os.makedirs("logs", exist_ok=True)
for epoch, loss in losses():
    with open("logs/history.jsonl", "a") as file:
        file.write(json.dumps({"epoch": epoch, "train_loss": loss / 2, "val_loss": loss}) + "\\n")
""",
    "json": """\
history = []
for epoch, loss in losses():
    history.append({"epoch": epoch, "train_loss": loss / 2, "val_loss": loss})
    with open("history.json", "w") as file:
        json.dump(history, file, indent=2)
""",
    "lightning_csv": """\
os.makedirs("lightning_logs/version_0")
with open("lightning_logs/version_0/metrics.csv", "w", newline="") as file:
    writer = csv.DictWriter(file, ["epoch", "step", "train_loss", "val_loss"])
    writer.writeheader()
    for epoch, loss in losses():
        writer.writerow({"epoch": epoch - 1, "step": 50 * epoch - 1, "train_loss": loss / 2})
        writer.writerow({"epoch": epoch - 1, "step": 50 * epoch - 1, "val_loss": loss})
        file.flush()
""",
    "tensorboard": """\
from torch.utils.tensorboard import SummaryWriter

writer = SummaryWriter("runs/exp")
for epoch, loss in losses():
    writer.add_scalar("train_loss", loss / 2, epoch)
    writer.add_scalar("val_loss", loss, epoch)
    writer.flush()
""",
    "trainer_state": """\
history = []
for epoch, loss in losses():
    history.append({"epoch": float(epoch), "loss": loss / 2, "step": 10 * epoch})
    history.append({"epoch": float(epoch), "eval_val_loss": loss, "val_loss": loss, "step": 10 * epoch})
    folder = f"out/checkpoint-{10 * epoch}"
    os.makedirs(folder)
    with open(f"{folder}/trainer_state.json", "w") as file:
        json.dump({"epoch": float(epoch), "global_step": 10 * epoch, "log_history": history}, file, indent=2)
""",
    "mlflow, files": """\
import uuid

run = f"mlruns/0/{uuid.uuid4().hex}"
os.makedirs(f"{run}/metrics")
os.makedirs(f"{run}/tags")
for name, value in json.loads(os.environ["MLFLOW_RUN_CONTEXT"]).items():
    with open(f"{run}/tags/{name}", "w") as file:
        file.write(value)
for epoch, loss in losses():
    for name, value in {"train_loss": loss / 2, "val_loss": loss}.items():
        with open(f"{run}/metrics/{name}", "a") as file:
            file.write(f"{int(time.time() * 1000)} {value} {epoch}\\n")
""",
    "mlflow, SQLite": """\
import sqlite3, uuid

run = uuid.uuid4().hex
store = sqlite3.connect("mlflow.db")
store.executescript(\"\"\"
CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250), status VARCHAR(9), start_time BIGINT);
CREATE TABLE tags (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32), PRIMARY KEY (key, run_uuid));
CREATE TABLE metrics (key VARCHAR(250), value FLOAT, timestamp BIGINT, run_uuid VARCHAR(32), step BIGINT,
    is_nan BOOLEAN, PRIMARY KEY (key, value, timestamp, run_uuid, step, is_nan));
\"\"\")
store.execute("INSERT INTO runs VALUES (?, 'calm-fox-1', 'RUNNING', ?)", (run, int(time.time() * 1000)))
for tag in json.loads(os.environ["MLFLOW_RUN_CONTEXT"]).items():
    store.execute("INSERT INTO tags VALUES (?, ?, ?)", (*tag, run))
store.commit()
for epoch, loss in losses():
    for name, value in {"train_loss": loss / 2, "val_loss": loss}.items():
        now = int(time.time() * 1000)
        with store:
            store.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)", (name, value, now, run, epoch))
""",
}
ALGO = """\
command: python train.py --x {x}
objective: minimize val_loss
early_stopping: {min_rivals: 3}
experiments: [{x: 0}, {x: 1}, {x: 2}, {x: 3}, {x: 0.5}]
"""


def reports(shell: Shell, source: str) -> None:
    """The whole study; what the script says to itself stays as it is."""
    script = shell.write("train.py", HEAD + SCRIPTS[source])
    before = hashlib.sha256(script.read_bytes()).digest()
    shell.write("algo.yaml", ALGO)
    said = shell.run("submit", "algo.yaml")
    trials = shell.json("show", "my-study")["trials"]
    assert [trial["state"] for trial in trials] == ["completed"] * 3 + ["pruned", "completed"], said
    best = shell.json("best", "my-study")
    assert best["trial"] == 0
    assert best["value"] == pytest.approx(1 / 3, abs=1e-3)
    assert "not promising" in trials[3]["reason"]
    (found,) = shell.json("show", "my-study")["metrics_from"]
    assert found["source"] == source.partition(",")[0]
    assert said.count("metrics are read from") == 1
    assert found["steps"] in said
    assert "metrics are read from" in shell.run("show", "my-study")
    assert "metrics are read from" not in shell.run("resume", "my-study", "--trials", "5")
    assert hashlib.sha256(script.read_bytes()).digest() == before
    assert sorted(path.name for path in shell.folder.iterdir()) == ["algo.yaml", "hpo-runs", "train.py"]
    wait_until(lambda: not shell.left())


def test_metrics_of_a_script_that_prints_them(shell: Shell) -> None:
    reports(shell, "stdout")


@pytest.mark.slow
@pytest.mark.parametrize("source", [source for source in SCRIPTS if source != "stdout"])
def test_metrics_wherever_a_script_leaves_them(shell: Shell, source: str) -> None:
    if source == "tensorboard":
        pytest.importorskip("torch.utils.tensorboard")
    reports(shell, source)


def test_old_results_in_the_scripts_folder_are_not_those_of_a_trial(shell: Shell) -> None:
    """A run by hand has left better ones than any trial can reach."""
    shell.write("train.py", HEAD + SCRIPTS["csv"].replace('"history.csv"', '"new.csv"'))
    shell.write("algo.yaml", ALGO.replace("{x: 0}, ", ""))
    shell.write("history.csv", "epoch,val_loss\n1,-100\n")
    Path(shell.folder, "output.log").write_text("val_loss=-100\n")
    shell.run("submit", "algo.yaml", "--trials", "2")
    assert shell.json("best", "my-study")["value"] == pytest.approx(1 + 1 / 3)
