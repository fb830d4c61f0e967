"""Trials that are carried on find their newest checkpoint, in each way in which a script may take it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support import doubling
from tests.support.shell import Shell

SCRIPT = """\
import argparse, json, os
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--x", type=float)
parser.add_argument("--ckpt_path")
parser.add_argument("--again", action="store_true")
args = parser.parse_args()
conf = dict(line.rstrip("\\n").split(": ") for line in open("run.yaml"))
seen = {"option": args.ckpt_path, "again": args.again, "alone": os.environ.get("CKPT"), "part": os.environ.get("ARGS"),
        "from": os.environ.get("HPO_RESUME_FROM"), "step": os.environ.get("HPO_RESUMED_STEP"),
        "key": json.load(open("config.json"))["resume"], "file": conf["ckpt"].strip('"')}
state = json.load(open(os.environ["HPO_RESUME_FROM"])) if "HPO_RESUME_FROM" in os.environ else {"epoch": 0, "of": []}
with open("seen.jsonl", "a") as file:
    file.write(json.dumps({**seen, "epoch": state["epoch"]}) + "\\n")
os.makedirs("checkpoints", exist_ok=True)
for epoch in range(state["epoch"] + 1, args.epochs + 1):
    print(f"epoch={epoch} loss={args.x + 1 / epoch}", flush=True)
    state = {"epoch": epoch, "of": [*state["of"], os.environ["SUBID"]]}
    with open(f"checkpoints/epoch_{epoch}.pt", "w") as file:
        json.dump(state, file)
"""
STUDY = """\
command: python train.py --epochs {epochs} --x {x} --ckpt_path {resume_from} {resume_from?--again}
objective: minimize loss
algorithm: doubling.py:Doubling
resource: {name: epochs, max: 8}
resume_key: resume
trials: 5
parallel: 2
results: stdout
space: {x: {float: [0, 10]}}
env: {CKPT: "{resume_from}", ARGS: "--from {resume_from}"}
files: {run.yaml: {ckpt: resume_from}}
"""


@pytest.fixture
def study(shell: Shell) -> Shell:
    shell.write("train.py", SCRIPT)
    shell.write("run.yaml", "ckpt: none\n")
    shell.write("doubling.py", Path(doubling.__file__).read_text())
    return shell


def seen(shell: Shell, trial: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shell.result(trial, "seen.jsonl").read_text().splitlines()]


@pytest.mark.by_default("auto")
@pytest.mark.parametrize("preload", ["auto", "'off'"])
def test_newest_checkpoint_arrives_in_every_way(study: Shell, preload: str) -> None:
    study.write("algo.yaml", f"{STUDY}trial: {{preload: {preload}}}\n")
    study.run("submit", "algo.yaml")
    nothing = {"option": None, "again": False, "alone": "", "part": None, "from": None, "step": None, "key": None, "file": "none"}  # fmt: skip
    first, *later = seen(study, 0)
    assert first == {**nothing, "epoch": 0}
    for epoch, found in zip((1, 2, 4), later, strict=True):
        path = str(study.result(0, f"checkpoints/epoch_{epoch}.pt"))
        everywhere = {"option": path, "alone": path, "from": path, "key": path, "file": path}
        assert found == {**everywhere, "part": f"--from {path}", "again": True, "step": str(epoch), "epoch": epoch}
    *_, started = seen(study, 4)
    assert (started["from"], started["step"]) == (str(study.result(4, "checkpoints/epoch_4.pt")), "4")
    rows = study.json("show", "my-study", "0")["rows"]
    assert [row["step"] for row in rows] == list(range(1, 9))
    trained = Counter(json.loads(study.result(4, "checkpoints/epoch_8.pt").read_text())["of"])
    assert trained == {"0": 4, "4": 4}


@pytest.mark.slow
def test_dry_run_shows_what_a_promoted_trial_would_be_started_with(study: Shell) -> None:
    study.write("algo.yaml", STUDY)
    out = study.run("submit", "algo.yaml", "--dry-run")
    begun, _, promoted = out.partition("trial 0, if it goes on from its checkpoint to epochs 8\n")
    path = study.result(0, "(its newest checkpoint)")
    assert "--ckpt_path" not in begun and '"resume": null' in begun and "CKPT=''" in begun
    assert f"--epochs 8 --x 0.0 --ckpt_path '{path}' --again\n" in promoted
    assert f"environment  HPO_RESUME_FROM='{path}'\n" in promoted and f'"resume": "{path}"' in promoted
    study.write("algo.yaml", STUDY.replace("max: 8", "max: 8, resume: never"))
    assert "goes on from" not in study.run("submit", "algo.yaml", "--dry-run")


IGNORES = """\
import json
epochs, x = (json.load(open("config.json"))[name] for name in ("epochs", "x"))
for epoch in range(1, epochs + 1):
    print(f"epoch={epoch} loss={x + 1 / epoch + 0.01 / epochs}", flush=True)
    open("last.pt", "w").write(str(epoch))
"""


@pytest.mark.slow
def test_script_that_begins_anew_is_noticed_once_and_its_rows_replace_the_earlier_ones(study: Shell) -> None:
    study.write("train.py", IGNORES)
    study.write("algo.yaml", STUDY.partition("trials: 5")[0].replace(" --ckpt_path {resume_from} {resume_from?--again}", "")
                .replace("resume_key: resume\n", "") + "trials: 5\nparallel: 2\nresults: stdout\nspace: {x: {float: [0, 10]}}\n")  # fmt: skip
    said = study.run("submit", "algo.yaml") + study.err
    assert said.count("but its steps begin anew") == 1 and "--ckpt_path {resume_from}" in said
    rows = study.json("show", "my-study", "0")["rows"]
    assert [(row["step"], row["loss"]) for row in rows] == [(n, 1 / n + 0.01 / 8) for n in range(1, 9)]
    assert "attempt 2, carried on to epochs 2, but it began anew: exit code 0" in study.run("show", "my-study", "0")


FOLDERS = """\
import argparse, json, os, shutil
parser = argparse.ArgumentParser()
parser.add_argument("--num_train_epochs", type=int)
parser.add_argument("--x", type=float)
parser.add_argument("--resume_from_checkpoint")
args = parser.parse_args()
state = {"epoch": 0, "log_history": []}
if args.resume_from_checkpoint:
    state = json.load(open(f"{args.resume_from_checkpoint}/trainer_state.json"))
for epoch in range(state["epoch"] + 1, args.num_train_epochs + 1):
    with open("trained.txt", "a") as file:
        file.write(f"{epoch}\\n")
    state["epoch"] = epoch
    state["log_history"].append({"epoch": epoch, "step": 10 * epoch, "eval_loss": args.x + 1 / epoch})
    folder = f"out/checkpoint-{10 * epoch}"
    os.makedirs(folder)
    for name, content in (("optimizer.pt", "weights"), ("trainer_state.json", json.dumps(state))):
        with open(f"{folder}/{name}", "w") as file:
            file.write(content)
    shutil.rmtree(f"out/checkpoint-{10 * (epoch - 1)}", ignore_errors=True)  # save_total_limit=1
os.makedirs("out", exist_ok=True)
open("out/model.bin", "w").write("the model alone, written last")
"""
RATIONED = """\
command: python -S train.py {params} --resume_from_checkpoint {resume_from}
objective: minimize eval_loss
algorithm: hyperband
options: {seed: 1}
resource: {name: num_train_epochs, max: %d}
trials: %d
parallel: 2
results: trainer_state
space: {x: {float: [0, 10]}}
"""


@pytest.mark.parametrize("most", [9, pytest.param(27, marks=pytest.mark.slow)])
def test_promoted_trials_of_a_script_with_folders_for_checkpoints_train_each_epoch_once(
    shell: Shell, most: int
) -> None:
    shell.write("train.py", FOLDERS)
    shell.write("algo.yaml", RATIONED % (most, most))
    shell.run("submit", "algo.yaml")
    trials = shell.json("show", "my-study")["trials"]
    for trial in trials:
        epochs = shell.result(trial["trial"], "trained.txt").read_text().split()
        assert epochs == [str(n) for n in range(1, trial["params"]["num_train_epochs"] + 1)]
    amounts = Counter(trial["params"]["num_train_epochs"] for trial in trials)
    assert {1, 3, most} <= set(amounts) and sum(amounts.values()) == most
    best = max(trials, key=lambda trial: int(trial["params"]["num_train_epochs"]))
    rows = shell.json("show", "my-study", str(best["trial"]))["rows"]
    assert [row["step"] for row in rows] in ([*range(1, most + 1)], [10 * n for n in range(1, most + 1)])


TORCH = """\
import json, os, torch
config = json.load(open("config.json"))
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
done = 0
if "HPO_RESUME_FROM" in os.environ:
    state = torch.load(os.environ["HPO_RESUME_FROM"])
    model.load_state_dict(state["model"]), optimizer.load_state_dict(state["optimizer"])
    done = state["epoch"]
    assert done == int(os.environ["HPO_RESUMED_STEP"]) == int(os.environ["HPO_RESUME_RESOURCE"])
for epoch in range(done + 1, config["epochs"] + 1):
    loss = (model(torch.ones(1, 1)) - config["x"]).square().mean()
    optimizer.zero_grad(), loss.backward(), optimizer.step()
    with open("trained.txt", "a") as file:
        file.write(f"{epoch}\\n")
    print(json.dumps({"epoch": epoch, "loss": loss.item()}), flush=True)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}, f"epoch_{epoch}.pt")
"""


@pytest.mark.slow
def test_promoted_trials_of_a_torch_script_that_loads_hpo_resume_from_train_each_epoch_once(shell: Shell) -> None:
    pytest.importorskip("torch")
    shell.write("train.py", TORCH)
    shell.write("algo.yaml", "command: python train.py\nobjective: minimize loss\nalgorithm: asha\noptions: {seed: 1}\n"
                "resource: {name: epochs, max: 3}\ntrials: 3\nparallel: 2\nspace: {x: {float: [0, 10]}}\n")  # fmt: skip
    shell.run("submit", "algo.yaml")
    amounts = set()
    for trial in shell.json("show", "my-study")["trials"]:
        epochs = shell.result(trial["trial"], "trained.txt").read_text().split()
        assert epochs == [str(n) for n in range(1, trial["params"]["epochs"] + 1)]
        amounts.add(len(epochs))
    assert amounts == {1, 3}
