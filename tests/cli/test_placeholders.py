"""Scripts that take their parameters from the command line or the environment run unchanged, preloaded and cold."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from tests.support.shell import Shell

ARGPARSE = """\
import argparse, csv, json, os, sys
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--batch-size", type=int, required=True)
parser.add_argument("--optimizer", choices=["sgd", "a dam"], required=True)
parser.add_argument("--momentum", type=float)
parser.add_argument("--amp", action="store_true")
parser.add_argument("--layers", type=int, nargs="+")
parser.add_argument("--seed", type=int)
parser.add_argument("--out", required=True)
args = parser.parse_args()
assert (args.momentum is None) == (args.optimizer == "a dam")
seen = {**vars(args), "argv": sys.argv, "env": {k: v for k, v in os.environ.items() if k.startswith(("LR", "HP_L"))}}
with open(f"{args.out}/seen.json", "w") as file:
    json.dump(seen, file)
with open(f"{args.out}/val_dict_list.json", "w") as file:
    json.dump([{"step": 1, "loss": args.lr}], file)
"""
STUDY = """\
command: >-
  python train.py --lr {{lr}} --optimizer {{optimizer}} --momentum {{momentum}} {{amp?--amp}} --layers {{layers...}}
  --seed {{seed}} --out {{result_dir}} {{params:-}}
objective: minimize loss
algorithm: random
trials: 12
space:
  lr: {{float: [1.0e-6, 0.1], log: true}}
  batch_size: {{choice: [16, 32]}}
  optimizer: {{choice: [sgd, a dam]}}
  momentum: {{float: [0.1, 0.9], when: {{optimizer: sgd}}}}
  amp: {{choice: [true, false]}}
  layers: {{choice: [[8], [16, 4]]}}
env: {{LR: "{{lr}}", LR_TWICE: "{{lr}}/{{trial}}"}}
params_env: HP_
trial: {{preload: {preload}}}
"""


@pytest.mark.by_default("auto")
@pytest.mark.parametrize("preload", ["auto", "'off'"])
def test_script_with_argparse_runs_unchanged(shell: Shell, preload: str) -> None:
    script = shell.write("train.py", ARGPARSE)
    shell.write("algo.yaml", STUDY.format(preload=preload))
    shell.run("submit", "algo.yaml", "--parallel", "2")
    trials = shell.json("show", "my-study")["trials"]
    assert [trial["state"] for trial in trials] == ["completed"] * 12
    seeds = set()
    for number, trial in enumerate(trials):
        params = trial["params"]
        seen = json.loads(shell.result(number, "seen.json").read_text())
        assert {name: seen[name] for name in params} == params
        assert seen["argv"][0] == "train.py" and seen["out"] == str(shell.result(number, "seen.json").parent)
        assert float(seen["env"]["LR"]) == params["lr"] and seen["env"]["HP_LAYERS"] == json.dumps(params["layers"])
        assert seen["env"]["LR_TWICE"] == f"{seen['env']['LR']}/{number}"
        seeds.add(seen["seed"])
    assert len(seeds) == 12
    assert shell.result(0, "train.py").read_bytes() == script.read_bytes() == ARGPARSE.encode()
    assert "config.json" not in shell.err, "everything is placed: nobody has to read it"
    best = shell.json("show", "my-study", "--top", "1")["trials"][0]
    shown = re.findall(
        r"(?m)^ *command:? (.*)$", shell.run("show", "my-study", str(best["trial"])) + shell.run("best", "my-study")
    )
    seen = json.loads(shell.result(best["trial"], "seen.json").read_text())["argv"]
    assert [shlex.split(command) for command in shown] == [["python", *seen]] * 2, "to run it again by hand"


@pytest.mark.by_default(1)
@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("--batch_size {batch_size}", "--batch-size"),
        ("{params}", "--batch-size"),
        ("--batch-size {name}", "--batch-size"),
    ],
)
def test_arguments_that_the_script_refuses_are_shown_as_they_were(shell: Shell, words: str, option: str) -> None:
    shell.write(
        "train.py",
        f'import argparse\np = argparse.ArgumentParser()\np.add_argument("{option}", type=int)\np.parse_args()\n',
    )
    shell.write(
        "algo.yaml",
        f"command: python train.py {words}\nobjective: minimize loss\ntrials: 1\n"
        "space: {batch_size: {choice: [16]}, name: {choice: [x y]}}\n",
    )
    out = shell.run("submit", "algo.yaml", code=3)
    assert (
        re.search(r'the command of trial 0 was "python train.py --batch.size', out)
        and "{params:-} writes dashes" in out
    )
    assert "let the script read" not in out


def test_required_option_without_a_value_is_to_be_added(shell: Shell) -> None:
    shell.write(
        "train.py",
        'import argparse\np = argparse.ArgumentParser()\np.add_argument("--name")\n'
        'p.add_argument("--lr", required=True)\np.parse_args()\n',
    )
    value = "long " * 30
    shell.write(
        "algo.yaml",
        f"command: python train.py {{params}}\nobjective: minimize loss\ntrials: 1\nspace: {{name: {{choice: [{value} x]}}}}\n",
    )
    out = " ".join(shell.run("submit", "algo.yaml", code=3).split())
    assert f"the command of trial 0 was \"python train.py --name '{value}x'\": add what it lacks to space" in out


def test_no_value_reaches_a_shell(shell: Shell) -> None:
    shell.write(
        "train.sh", 'printf \'[{"step": 1, "loss": %s}]\' "${#1}" > val_dict_list.json\nprintf %s "$1" > seen\n'
    )
    value = "$(touch hacked) `touch hacked`; touch hacked > 'x' \"y\" && {lr} {{z}} \\n *"
    shell.write(
        "algo.yaml",
        "command: sh train.sh {word}\nobjective: minimize loss\ntrials: 1\nalgorithm: random\n"
        f"space: {{word: {{constant: {json.dumps(value)}}}}}\n",
    )
    shell.run("submit", "algo.yaml")
    assert shell.result(0, "seen").read_text() == value
    assert not list(shell.folder.rglob("hacked"))


def test_a_program_text_has_no_placeholders(shell: Shell) -> None:
    shell.write(
        "algo.yaml",
        'command: [sh, -c, \'echo "{lr}" $0; echo [{\\"step\\": 1, \\"loss\\": $0}] > val_dict_list.json\', "{lr}"]\n'
        "objective: minimize loss\ntrials: 1\nalgorithm: random\nspace: {lr: {float: [0.5, 1.0]}}\n",
    )
    out = shell.json("submit", "algo.yaml")
    assert shell.run("logs", "my-study", "0").split()[0] == "{lr}"
    assert out["best"]["value"] == float(shell.run("logs", "my-study", "0").split()[1])


def test_an_unknown_placeholder_is_refused_before_anything_is_made(shell: Shell) -> None:
    shell.write("algo.yaml", "command: python train.py --lr {lrr}\nobjective: minimize loss\nspace: {lr: 1}\n")
    shell.refuses("submit", "algo.yaml", words='command: {lrr} names no parameter; did you mean "lr"')
    assert not (shell.folder / "hpo-runs").exists()


CONSTANTS = """\
import configparser, json, yaml
LEARNING_RATE = 1e-3   # the rate
class Config:
    width: int = 32
with open("conf/train.yaml") as file:
    conf = yaml.safe_load(file)
ini = configparser.ConfigParser()
ini.read("run.cfg")
with open("filled.txt") as file:
    filled = file.read()
seen = [LEARNING_RATE, conf["optimizer"]["lr"], float(ini["a"]["lr"]), float(filled.split()[0])]
with open("seen.json", "w") as file:
    json.dump({"lr": seen, "width": Config.width, "name": conf["name"], "filled": filled}, file)
with open("val_dict_list.json", "w") as file:
    json.dump([{"step": 1, "loss": LEARNING_RATE}], file)
"""
FILES = """\
command: python train.py
objective: minimize loss
algorithm: random
trials: 6
parallel: 2
space:
  lr: {{float: [1.0e-6, 0.1], log: true}}
  width: {{choice: [16, 64]}}
  decay: {{float: [0, 1], when: {{width: 16}}}}
files:
  conf/train.yaml: {{optimizer.lr: lr, name: "run {{trial}}"}}
  run.cfg: {{a.lr: lr}}
  train.py: {{LEARNING_RATE: lr, Config.width: width}}
  filled.txt: {{template: filled.in}}
trial: {{preload: {preload}}}
"""
OWN = {
    "train.py": CONSTANTS,
    "conf/train.yaml": "# mine\noptimizer:\n  lr: 0.1  # rate\nname: x\n",
    "run.cfg": "[a]\n; mine\nlr = 1\n",
    "filled.in": "{lr} {decay}| {{lr}} {}\n",
}


@pytest.mark.by_default("auto")
@pytest.mark.parametrize("preload", ["auto", "'off'"])
def test_values_arrive_in_the_script_s_own_files(shell: Shell, preload: str) -> None:
    written = {name: shell.write(name, text) for name, text in OWN.items()}
    shell.write("algo.yaml", FILES.format(preload=preload))
    shell.run("submit", "algo.yaml")
    assert "config.json" not in shell.err
    for number, trial in enumerate(shell.json("show", "my-study")["trials"]):
        params = trial["params"]
        seen = json.loads(shell.result(number, "seen.json").read_text())
        assert seen["lr"] == [params["lr"]] * 4 and seen["width"] == params["width"]
        decay = str(params.get("decay", ""))
        assert seen["name"] == f"run {number}" and seen["filled"] == f"{params['lr']} {decay}| {{lr}} {{}}\n"
        conf = shell.result(number, "conf/train.yaml").read_text()
        assert conf == f"# mine\noptimizer:\n  lr: {conf.split('lr: ')[1].split()[0]}  # rate\nname: run {number}\n"
        assert (shell.result(number, "train.py").stat().st_mode & 0o777) == written["train.py"].stat().st_mode & 0o777
    frozen = shell.folder / "hpo-runs" / "my-study" / "model"
    for name, path in written.items():
        assert path.read_text() == (frozen / name).read_text() == OWN[name], "the user's file and the copy never change"


PRINTS = """\
import argparse, time
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--epochs", type=int, default=3)
args = parser.parse_args()
print(f"lr={args.lr}")
for epoch in range(args.epochs):
    time.sleep(0.1)
    print(f"Epoch {epoch + 1}/{args.epochs}: val_loss={args.lr + 1 / (epoch + 1):.6f} - acc: {epoch / 10}", flush=True)
"""


@pytest.mark.slow
def test_script_that_takes_arguments_and_prints_needs_nothing(shell: Shell) -> None:
    shell.write("train.py", PRINTS)
    shell.write(
        "algo.yaml",
        "command: python train.py {params}\nobjective: minimize val_loss\nresults: stdout\n"
        "space: {lr: {float: [0.001, 0.1], log: true}}\ntrials: 4\nparallel: 2\n",
    )
    shell.run("submit", "algo.yaml")
    for trial in shell.json("show", "my-study")["trials"]:
        assert trial["state"] == "completed" and abs(trial["value"] - (trial["params"]["lr"] + 1 / 3)) < 1e-6
    rows = shell.json("show", "my-study", "0")["rows"]
    assert [row["step"] for row in rows][-3:] == [1, 2, 3] and rows[-1]["acc"] == 0.2


@pytest.mark.slow
def test_dry_run_shows_what_the_first_trials_run_and_makes_nothing(shell: Shell) -> None:
    for name, text in OWN.items():
        shell.write(name, text)
    shell.write("algo.yaml", FILES.format(preload="auto").replace("python train.py", "python train.py --lr {lr}"))
    out = shell.run("submit", "algo.yaml", "--dry-run", "--seed", "4")
    assert not (shell.folder / "hpo-runs").exists()
    assert [line for line in out.splitlines() if line.startswith("trial ")] == ["trial 0", "trial 1", "trial 2"]
    shell.run("submit", "algo.yaml", "--seed", "4")
    for trial in shell.json("show", "my-study")["trials"][:3]:
        assert f"  command      python train.py --lr {trial['params']['lr']}\n" in out
        assert f"  config.json  {json.dumps(trial['params'])}\n" in out
        assert f"    +   lr: {yaml_text(trial['params']['lr'])}  # rate\n" in out


def yaml_text(value: float) -> str:
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text
