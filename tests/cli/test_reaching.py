"""The resource and the seed reach a script in each way that parameters do, whatever starts its attempts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import doubling
from tests.support.shell import Shell

SCRIPT = """\
import json, os, sys
conf = [line.split(": ") for line in open("conf/run.yaml")]
seen = {"argv": sys.argv[1:], "env": os.environ["EPOCHS"], "all": os.environ.get("HP_EPOCHS"),
        "file": int(dict(conf)["epochs"]), "config": json.load(open("config.json"))["epochs"],
        "text": open("run.txt").read(), "trial": os.environ["SUBID"], "resumed": os.environ.get("HPO_RESUME_FROM")}
with open("seen.jsonl", "a") as file:
    file.write(json.dumps(seen) + "\\n")
first = int(os.environ.get("HPO_RESUME_RESOURCE", 0)) + 1
rows = [{"step": step, "loss": float(sys.argv[2]) + 1 / step} for step in range(first, int(sys.argv[1]) + 1)]
with open("val_dict_list.json", "w") as file:
    json.dump(rows, file)
"""
STUDY = """\
command: python train.py {{epochs}} {{x}} --seed {{seed}}
objective: minimize loss
algorithm: {algorithm}
resource: {{name: epochs, max: {most}}}
trials: {trials}
parallel: 2
space: {{x: {{float: [0, 10]}}}}
env: {{EPOCHS: "{{epochs}}"}}
params_env: HP_
files:
  conf/run.yaml: {{epochs: epochs}}
  run.txt: {{template: run.in}}
trial: {{preload: {preload}}}
"""


@pytest.fixture
def study(shell: Shell) -> Shell:
    shell.write("train.py", SCRIPT)
    shell.write("conf/run.yaml", "epochs: 1\n")
    shell.write("run.in", "{epochs} epochs")
    shell.write("doubling.py", Path(doubling.__file__).read_text())
    return shell


def attempts(shell: Shell, trial: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shell.result(trial, "seen.jsonl").read_text().splitlines()]


def same_everywhere(seen: dict[str, Any]) -> int:
    epochs: int = seen["config"]
    assert int(seen["argv"][0]) == int(seen["env"]) == int(seen["all"]) == seen["file"] == epochs
    assert seen["text"] == f"{epochs} epochs"
    return epochs


@pytest.mark.by_default("asha-auto")
@pytest.mark.parametrize("preload", ["auto", "'off'"])
@pytest.mark.parametrize("algorithm", ["hyperband", "asha"])
def test_resource_is_the_same_in_command_variables_files_and_config(study: Shell, algorithm: str, preload: str) -> None:
    study.write("algo.yaml", STUDY.format(algorithm=algorithm, most=9, trials=8, preload=preload))
    study.run("submit", "algo.yaml")
    trials = study.json("show", "my-study")["trials"]
    assert {trial["state"] for trial in trials} == {"completed"}
    given = {trial["trial"]: trial["params"]["epochs"] for trial in trials}
    assert len(set(given.values())) > 1, "short trainings and longer ones"
    for trial, epochs in given.items():
        (seen,) = attempts(study, trial)
        assert same_everywhere(seen) == epochs


@pytest.mark.by_default("auto")
@pytest.mark.parametrize("preload", ["auto", "'off'"])
def test_resource_of_a_trial_that_is_carried_on_is_the_new_one(study: Shell, preload: str) -> None:
    study.write("algo.yaml", STUDY.format(algorithm="doubling.py:Doubling", most=4, trials=4, preload=preload))
    study.run("submit", "algo.yaml")
    carried = [seen for trial in range(4) for seen in attempts(study, trial) if seen["resumed"] is not None]
    assert carried and max(map(same_everywhere, carried)) == 4
    for trial in range(4):
        own = [seen for seen in attempts(study, trial) if seen["trial"] == str(trial)]
        assert len({seen["argv"][3] for seen in own}) == 1
        assert {seen["resumed"] for seen in own} <= {None, str(study.result(trial, "")).rstrip("/")}


def test_seed_is_the_trials_own_and_the_same_after_a_resume(study: Shell) -> None:
    """The study has no seed of its own in the file: the one that was drawn for it counts, also in later engines."""
    text = STUDY.format(algorithm="random", most=2, trials=3, preload="auto")
    study.write("algo.yaml", text)
    study.write(
        "train.py", f"import os\nif os.path.exists({str(study.folder / 'stop')!r}): raise SystemExit(1)\n{SCRIPT}"
    )
    (study.folder / "stop").touch()
    study.run("submit", "algo.yaml", code=3)
    shown = [study.run("show", "my-study", str(trial)) for trial in range(3)]
    (study.folder / "stop").unlink()
    study.run("retry", "my-study", "--failed")
    study.run("resume", "my-study", "--trials", "6")
    seeds = [attempts(study, trial)[0]["argv"][3] for trial in range(6)]
    assert len(set(seeds)) == 6
    assert all(f"--seed {seed}" in text for seed, text in zip(seeds, shown, strict=False)), "those of the first engine"
