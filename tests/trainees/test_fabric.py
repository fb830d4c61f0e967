"""Elastic training's stand-in: workers train alike, whatever their number, and what fails says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import command

pytest.importorskip("torch")
ROOT = Path(__file__).parents[2]
HOME = ROOT / "trainees" / "hpo_trainees" / "fabric_home"
SCRIPT = """
import json, math, os, sys
sys.path.insert(0, os.environ["FABRIC_HOME"] + "/libs/fabric.zip")
import torch, torch.nn.functional as F
from torch.utils.data import TensorDataset
from fabric_model import FabricModel
from callbacks import Callback, LoggerCallback
import fabric_team

torch.manual_seed(3)
x = torch.randn(205, 6)
y = (x[:, 0] + x[:, 1] > 0).long() + (x[:, 2] > 1).long()
def get_datasets():
    return TensorDataset(x[:150], y[:150]), TensorDataset(x[150:], y[150:])
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)
        self.unused = torch.nn.Linear(2, 2)  # has no gradient: weight decay must leave it alone
    def forward(self, inputs):
        return self.last(torch.tanh(self.first(inputs)))
def made(**more):
    torch.manual_seed(4)
    net = Net()
    sgd = torch.optim.SGD(net.parameters(), 0.3, momentum=0.9, weight_decay=0.01)
    return net, FabricModel(net, get_datasets, F.cross_entropy, sgd, **more)
def weights(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()]).double()
"""


def run(body: str, folder: Path, workers: int = 4, code: int = 0) -> str:
    (folder / "train.py").write_text(SCRIPT + body)
    env = {**os.environ, "FABRIC_HOME": str(HOME), "HPO_WORKERS": str(workers), "RESULT_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_workers_train_as_one_does(tmp_path: Path) -> None:
    """3 workers with 7 samples each: the last step has 3 samples, none for two of them."""
    run(
        """
class Halve(Callback):
    def on_epoch_begin(self, epoch):
        if epoch: self.params["optimizer"].param_groups[0]["lr"] /= 2
seen = []
for workers, batch, forks in ((1, 21, True), (3, 7, True), (3, 7, False)):
    if not forks:
        fabric_team._forks_can_train = lambda: False
    net, fabric = made(user_callback=Halve())
    fabric.train(2, batch, workers)
    seen.append(weights(net))
    print(workers, fabric.evaluate())
assert torch.allclose(seen[0], seen[1], atol=1e-5) and torch.allclose(seen[0], seen[2], atol=1e-5), seen
assert not torch.allclose(seen[0], weights(made()[0]), atol=1e-2)
""",
        tmp_path,
    )
    rows = json.loads((tmp_path / "val_dict_list.json").read_text())
    assert [row["step"] for row in rows] == [1, 2] and 0.4 < rows[-1]["accuracy"] <= 1
    assert (tmp_path / "model" / "model_epoch_final.pth").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "said"), [("1 / 0", "ZeroDivisionError"), ("os.kill(os.getpid(), 9)", "a worker of 3 failed")]
)
def test_worker_that_fails_ends_the_training(act: str, said: str, tmp_path: Path) -> None:
    body = f"""
class Bad(Callback):
    def on_batch_end(self, batch):
        if self.params["rank"] == 2: {act}
made(user_callback=[Bad()])[1].train(5, 7, 3)
"""
    assert said in run(body, tmp_path, code=1)


@pytest.mark.slow
def test_functions_of_a_script_and_both_generations_of_loggers(tmp_path: Path) -> None:
    run(
        """
def step(fabric, data, eva, train_loader, fn_args):
    inputs, labels = data
    fabric.get_optimizer().zero_grad()
    outputs = fabric(inputs)
    loss = fabric.get_loss_function()(outputs, labels)
    loss.backward()
    return eva(outputs, labels), loss
def test(fabric, test_loader, fn_args):
    return sum(fabric.get_loss_function()(fabric(a), b).item() for a, b in test_loader) / len(test_loader)
class First(LoggerCallback):
    train, test = [], []
    def log_train_metrics(self, loss, acc, completed_batch, worker=0): self.train.append((loss, acc, completed_batch, worker))
    def log_test_metrics(self, loss, acc, completed_batch, worker=0): self.test.append(loss)
net, fabric = made(driver_logger=First(), fn_step_train=step, fn_test=test, enable_onnx=False)
fabric.train(2, 25, 2, num_dataloader_threads=4, validation_freq=10, checkpoint_freq=1)
assert [row[2:] for row in First.train] == [(2 * i, 2) for i in range(1, 7)], First.train
assert 0 < First.train[-1][1] <= 100 and len(First.test) == 2 and First.test[1] < First.test[0]
plain, other = made()
other.train(2, 25, 2)
assert torch.allclose(weights(net), weights(plain), atol=1e-6)

class Second:
    def __init__(self): self.rows = []
    def on_train_begin(self): self.rows.append("begin")
    def log_train_metrics(self, metrics, iteration, epoch, workers): self.rows.append((sorted(metrics), iteration, epoch, workers))
    def log_test_metrics(self, metrics, iteration, epoch): self.rows.append(metrics["wrong"])
    def on_train_end(self): json.dump(self.rows, open("second.json", "w"))
def wrong(outputs, labels): return (outputs.argmax(1) != labels).float().mean()
logger = Second()
made(metrics=[wrong], driver_logger_callback=logger, fn_batch_collate=lambda batch: tuple(map(torch.stack, zip(*batch))))[1].train(1, 50, 3)
assert logger.rows[:2] == ["begin", (["accuracy", "loss", "wrong"], 3, 0, 3)] and 0 < logger.rows[2] < 1, logger.rows
""",
        tmp_path,
    )
    assert (tmp_path / "model" / "model_epoch_1.pth").exists() and (tmp_path / "second.json").exists()


@pytest.mark.slow
def test_request_gives_its_trials_workers(tmp_path: Path) -> None:
    text = (
        (ROOT / "examples" / "wmla_elastic" / "algo.yaml")
        .read_text()
        .replace("maxParalleJobNum: 2", "maxParalleJobNum: 1")
    )
    for name in ("train.py", "edtcallback.py"):
        (tmp_path / name).write_text((ROOT / "examples" / "wmla_elastic" / name).read_text())
    (tmp_path / "algo.yaml").write_text(text.replace("maxJobNum: 6", "maxJobNum: 2"))
    env = dict(os.environ)
    done = command.run("submit", "algo.yaml", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    log = command.run("logs", "wmla_elastic", "1", cwd=tmp_path, env=env).stdout
    workers = min(2, len(os.sched_getaffinity(0)))
    assert f"fabric: {workers} worker(s), 32 samples each, 3 epoch(s)" in log
    rows = json.loads((tmp_path / "hpo-runs/wmla_elastic/results/1/val_dict_list.json").read_text())
    assert [row["step"] for row in rows] == [1, 2, 3]
