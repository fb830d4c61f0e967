"""Trainings by `tune_main` in processes of their own: signals, several processes, and a study that promotes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import command

pytest.importorskip("lightning")
pytest.importorskip("sklearn")
pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "lightning_any"
SLOW_VALIDATION = """
import time
from data import Digits
from model import LitMLP
from hpo_trainees.tune import tune_main

class Slow(LitMLP):
    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        open("validating", "w").close()
        time.sleep(1)

class Many(Digits):
    def val_dataloader(self):
        return __import__("torch").utils.data.DataLoader(self.val, batch_size=20)

if __name__ == "__main__":
    tune_main(Slow, Many, link={"data.num_classes": "model.num_classes"})
"""
EPOCHS = """
import os
from data import Digits
from model import LitMLP
from hpo_trainees.tune import tune_main

class Counted(LitMLP):
    def on_train_epoch_end(self):
        with open(os.path.join(os.environ["EPOCHS"], os.environ["SUBID"]), "a") as file:
            file.write(f"{self.current_epoch + 1}\\n")

if __name__ == "__main__":
    tune_main(Counted, Digits, link={"data.num_classes": "model.num_classes"})
"""


def project(folder: Path, script: str | None = None) -> Path:
    for name in ("model.py", "data.py", "train.py", "algo.yaml"):
        (folder / name).write_text((EXAMPLE / name).read_text())
    if script is not None:
        (folder / "train.py").write_text(script)
    return folder


def start(folder: Path, settings: dict[str, Any], **env: str) -> subprocess.Popen[str]:
    (folder / "config.json").write_text(json.dumps(settings))
    more = {"RESULT_DIR": str(folder), "LOG_DIR": str(folder / "logs"), "SUBID": "0", **env}
    return subprocess.Popen(
        [sys.executable, "train.py"], cwd=folder, env={**os.environ, **more}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def rows(folder: Path) -> list[dict[str, float]]:
    return json.loads((folder / "val_dict_list.json").read_text())


def test_sigterm_in_a_validation_leaves_a_checkpoint_that_is_gone_on_from(tmp_path: Path) -> None:
    project(tmp_path, SLOW_VALIDATION)
    process = start(tmp_path, {"max_epochs": 2, "trainer.num_sanity_val_steps": 0})
    wait_for(tmp_path / "validating", process)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=300)[0]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["stopped"]["cause"] == "signal", output
    (tmp_path / "train.py").write_text((EXAMPLE / "train.py").read_text())
    again = start(tmp_path, {"max_epochs": 2}, HPO_RESUME_FROM=str(tmp_path / "stopped.ckpt"))
    assert "Traceback" not in again.communicate(timeout=300)[0] and again.returncode == 0
    assert rows(tmp_path)[-1]["step"] == 2


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    project(tmp_path)
    process = start(tmp_path, {"max_epochs": 10**6})
    wait_for(tmp_path / "last.ckpt", process)
    process.kill()
    process.communicate()
    import torch

    done = torch.load(tmp_path / "last.ckpt", weights_only=False)["epoch"] + 1
    again = start(tmp_path, {"max_epochs": done + 2}, HPO_RESUME_FROM=str(tmp_path / "last.ckpt"))
    assert again.communicate(timeout=300) and again.returncode == 0
    assert [row["step"] for row in rows(tmp_path)] == [done + 1, done + 2]


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn", "ddp_fork"])
def test_two_processes_report_once(tmp_path: Path, strategy: str) -> None:
    settings = {"accelerator": "cpu", "devices": 2, "strategy": strategy, "max_epochs": 2}
    process = start(project(tmp_path), settings)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [row["step"] for row in rows(tmp_path)] == [1, 2] and summary["devices"] == 2
    assert summary["steps"] == 2 * 12 and output.count("best val_loss") == 1  # 1,438 images, batches of 2 * 64
    assert Path(summary["best"]["checkpoint"]).exists()


@pytest.mark.parametrize("preload", ["auto", "off", "[lightning, torch]"])
def test_two_processes_as_a_trial(tmp_path: Path, preload: str) -> None:
    project(tmp_path)
    (tmp_path / "algo.yaml").write_text(
        "command: python train.py\nobjective: minimize val_loss\ntrials: 1\nparallel: 1\nalgorithm: random\n"
        f"trial: {{preload: {preload}}}\n"
        "space: {lr: {float: [0.001, 0.01]}, max_epochs: 2, accelerator: cpu, devices: 2, strategy: ddp}\n"
    )
    done = command.run(
        "submit", "algo.yaml", "--root", str(tmp_path / "runs"), "--json", cwd=tmp_path, env={**os.environ}, timeout=500
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(next((tmp_path / "runs").rglob("summary.json")).read_text())
    assert summary["devices"] == 2 and summary["epochs"] == 2


def test_a_study_that_promotes_trains_every_epoch_once(tmp_path: Path) -> None:
    project(tmp_path, EPOCHS)
    (epochs := tmp_path / "epochs").mkdir()
    env = {**os.environ, "EPOCHS": str(epochs)}
    done = command.run(
        "submit", "algo.yaml", "--root", str(tmp_path / "runs"), "--json", cwd=tmp_path, env=env, timeout=900
    )
    assert done.returncode == 0, done.stderr
    trained = [path.read_text().split() for path in epochs.iterdir()]
    assert all(found == [str(epoch) for epoch in range(1, len(found) + 1)] for found in trained)
    assert sorted({len(found) for found in trained}) == [1, 3, 9]
