"""Scripts for `hpo-engine check`: broken ones, each with the name of what is wrong, and sound ones of many manners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SPACE = "space: {lr: {float: [0.001, 0.3], log: true}, width: {choice: [8, 16, 32]}}\n"
PARSER = """\
import argparse, json, math, os, signal, subprocess, sys, time
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float, default=0.1)
p.add_argument("--width", type=int, default=8)
a = p.parse_args()
def loss(epoch): return (a.lr * epoch - 1) ** 2 + 1 / a.width
"""
PRINTS = PARSER + "for epoch in (1, 2, 3):\n    print(f'epoch {epoch}: loss={loss(epoch):.6f}', flush=True)\n"


def study(command: str = "python train.py {params}", results: str = "stdout", *more: str) -> str:
    said = f"results: {results}\n" if results else ""
    return f"command: {command}\nobjective: minimize loss\ntrials: 20\n{said}{SPACE}" + "".join(f"{m}\n" for m in more)


@dataclass(frozen=True)
class Case:
    """A script and its study file. `code`: of the finding that must be there ("": no problem, no warning).

    `words`: a part of the finding, or of its advice. `exit`: of `check`. `options`: for it. `quick`: it takes about a
    second.
    """

    name: str
    script: str
    algo: str = field(default_factory=study)
    code: str = ""
    words: str = ""
    exit: int = 0
    options: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    quick: bool = False


CONFIG = """\
import json, os, sys, time
def defaults(path):
    try:
        return json.load(open(path))
    except OSError:
        return {"lr": 0.1, "width": 8}
c = defaults("%s")
rows = [{"step": i, "loss": (c["lr"] * i - 1) ** 2 + 1 / c["width"]} for i in (1, 2, 3)]
json.dump(rows, open("val_dict_list.json", "w"))
"""
PLAIN = study("python train.py", "")
BROKEN = (
    Case("reads the wrong folder", CONFIG % "/nowhere/project/config.json", PLAIN, "wrong_folder", "/nowhere/project", 1),
    Case("works in another folder", f"import os, tempfile\nos.chdir('/')\nos.chdir('/usr')\nimport time; time.sleep(0.5)\n{CONFIG % 'config.json'}".replace('open("val', 'open(os.environ["RESULT_DIR"] + "/val'), PLAIN, "wrong_folder", "/usr", 1),
    Case("swallows the missing file", CONFIG % "hyper.json", PLAIN, "missing_file", "hyper.json", 1, quick=True),
    Case("never reads anything", CONFIG.replace('defaults("%s")', '{"lr": 0.1, "width": 8}'), PLAIN, "config_unread", "{params}", 1),
    Case("misspelt option", PRINTS, study("python train.py --learning_rate {lr} --widht {width}"), "argument_refused", "", 1, quick=True),
    Case("option with dashes", PRINTS.replace("--width", "--hidden-width").replace("a.width", "a.hidden_width"), study().replace("width:", "hidden_width:"), "argument_refused", "--hidden-width", 1),
    Case("option accepted and ignored", PRINTS.replace("1 / a.width", "0.5"), study(), "ignored", "width", 0, quick=True),
    Case("all options ignored", PRINTS.replace("(a.lr * epoch - 1) ** 2 + 1 / a.width", "1 / epoch"), study(), "no_effect", "lr, width", 1),
    Case("misspelt metric", PRINTS.replace("loss=", "val_los="), study().replace("minimize loss", "minimize val_loss"), "objective_missing", "val_los", 1),
    Case("another metric", PRINTS.replace("loss=", "accuracy="), study(), "objective_missing", "accuracy", 1),
    Case("string metrics", f"{PARSER}json.dump([{{'step': 1, 'loss': str(loss(1))}}], open('val_dict_list.json', 'w'))\n", study(results=""), "string_metric", "number", 1, quick=True),
    Case("nan", PRINTS.replace("{loss(epoch):.6f}", "{math.nan * a.lr}"), study(), "not_finite", "nan", 1),
    Case("prints only at the end", f"{PARSER}out = []\nfor epoch in range(1, 6):\n    time.sleep(0.5)\n    out.append(f'epoch {{epoch}}: loss={{loss(epoch)}}')\nprint('\\n'.join(out))\n", study("python train.py {params}", "stdout", "early_stopping: rank"), "not_live", "flush", 0),
    Case("the objective only at the end", f"{PARSER}for epoch in range(1, 6):\n    time.sleep(0.5)\n    print(f'epoch {{epoch}}: train_loss={{loss(epoch)}}', flush=True)\nprint('loss:', loss(6))\n", study("python train.py {params}", "stdout", "early_stopping: rank"), "one_row", "report loss after each epoch", 0),
    Case("ignores SIGTERM", f"{PARSER}signal.signal(signal.SIGTERM, signal.SIG_IGN)\nfor epoch in range(1, 9):\n    time.sleep(0.4)\n    print(f'epoch {{epoch}}: loss={{loss(epoch)}}', flush=True)\n", study("python train.py {params}", "stdout", "trial: {grace: 1s}"), "sigterm_ignored", "grace", 0, ("--no-each",)),
    Case("torn result file", f"{PARSER}text = json.dumps([{{'step': 1, 'loss': loss(1)}}])\nopen('val_dict_list.json', 'w').write(text[:20])\n", study(results=""), "results_unreadable", "torn", 1),
    Case("waits for ever", f"{PARSER}time.sleep(600)\n", study(), "waits", "waits for", 1, ("--time-limit", "2s")),
    Case("never ends", f"{PRINTS}time.sleep(600)\n", study(), "never_ends", "does not end", 1, ("--time-limit", "8s", "--no-each")),
    Case("missing module", "import no_such_module_here\n" + PRINTS, study(), "missing_module", "install", 1, quick=True),
    Case("missing data", "open('data/train.csv')\n" + PRINTS, study(), "missing_file", "data/train.csv", 1),
    Case("steps that go back", f"{PARSER}for fold in range(2):\n    for epoch in (1, 2, 3):\n        print(f'epoch {{epoch}}: loss={{loss(epoch)}}')\n", study(), "steps_back", "1 comes after 3", 0),
    Case("two metrics files", f"{PARSER}json.dump([{{'step': 1, 'loss': loss(1)}}], open('val_dict_list.json', 'w'))\nopen('metrics.csv', 'w').write(f'step,loss\\n1,{{loss(1) + 1}}\\n')\n", study(results=""), "two_sources", "metrics.csv", 0),
    Case("writes one file for all", f"{PRINTS}open('../best.txt', 'a').write('x')\n", study("python train.py {params}", "stdout", "parallel: 2"), "shared_file", "best.txt", 1, quick=True),
    Case("writes to an absolute path", PRINTS + "open('%(outside)s/best.ckpt', 'w').write('x')\n", study("python train.py {params}", "stdout", "parallel: 2"), "shared_file", "best.ckpt", 1),
    Case("writes into one folder", PRINTS + "OUT = '%(outside)s'\nopen(OUT + '/best.ckpt', 'w').write('x')\n", study(), "shared_file", "best.ckpt"),
    Case("leaves children", f"{PRINTS}subprocess.Popen(['sleep', '600'])\n", study(), "leftovers", "1 process", 0),
    Case("needs a terminal", f"{PARSER}input('really? ')\n{PRINTS}", study(), "needs_terminal", "no terminal", 1),
    Case("crashes for some values", PRINTS + "assert a.lr < 0.05, 'too fast'\n", study(), "some_fail", "too fast", 0),
    Case("metrics in another place", PRINTS, study(results="val_dict_list"), "other_source", "results: stdout", 1),
    Case("resource without effect", PRINTS.replace("a = p.parse", 'p.add_argument("--epochs", type=int)\na = p.parse'), study("python train.py {params}", "stdout", "algorithm: hyperband", "resource: {name: epochs, min: 1, max: 27}"), "resource_ignored", "epochs", 1),
    Case("a time limit that is too short", PARSER + "for epoch in range(1, 99):\n    time.sleep(0.3)\n    print(f'epoch {epoch}: loss={loss(epoch)}')\n", study("python train.py {params}", "stdout", "trial: {time_limit: 2s}"), "time_limit", "larger time_limit", 1),
    Case("nothing reported", PARSER, study(), "no_results", "loss=", 1),
)  # fmt: skip

LIGHTNING = """\
import argparse, os, warnings, logging
warnings.filterwarnings("ignore"); logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
import torch
import lightning as L
from lightning.pytorch.loggers import CSVLogger
class Net(L.LightningModule):
    def __init__(self, lr, width):
        super().__init__()
        self.lr = lr
        self.net = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.ReLU(), torch.nn.Linear(width, 1))
    def training_step(self, batch, _):
        return torch.nn.functional.mse_loss(self.net(batch[0]), batch[1])
    def validation_step(self, batch, _):
        self.log("loss", torch.nn.functional.mse_loss(self.net(batch[0]), batch[1]))
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)
if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--lr", type=float, default=0.1)
    p.add_argument("--width", type=int, default=8)
    a = p.parse_args()
    L.seed_everything(1, verbose=False)
    x = torch.randn(64, 4)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True)), batch_size=16)
    t = L.Trainer(max_epochs=3, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, logger=CSVLogger(".", name="logs", version=""), enable_checkpointing=False)
    t.fit(Net(a.lr, a.width), data, data)
"""
CLICK = """\
import click
@click.command()
@click.option("--lr", default=0.1)
@click.option("--width", default=8)
def main(lr, width):
    for epoch in (1, 2, 3):
        click.echo(f"Epoch {epoch}/3 - loss: {(lr * epoch - 1) ** 2 + 1 / width:.5f}")
main()
"""
BINARY = """\
#!/bin/sh
for i in 1 2 3; do
  awk -v i=$i -v lr="$1" -v w="$2" 'BEGIN { printf "iteration %d loss=%.6f\\n", i, (lr * i - 1) ^ 2 + 1 / w }'
done
"""
HYDRA = """\
import sys
cfg = {"optimizer.lr": 0.1, "model.width": 8}
for word in sys.argv[1:]:
    key, _, value = word.partition("=")
    if key not in cfg:
        sys.exit(f"Could not override '{key}'.")
    cfg[key] = float(value)
for epoch in range(3):
    print(f"epoch={epoch} loss={(cfg['optimizer.lr'] * epoch - 1) ** 2 + 1 / cfg['model.width']:.6f}")
"""
CONSTANTS = """\
LR = 0.1
WIDTH = 8
for epoch in range(1, 4):
    print("epoch", epoch, "loss:", round((LR * epoch - 1) ** 2 + 1 / WIDTH, 5))
"""
ROUNDS = PARSER + "for i in range(20):\n    print(f'[{i}]\\ttrain-rmse:{loss(i):.5f}\\tloss:{loss(i) + 0.1:.5f}')\n"
EMETRICS = """\
import json, os
c = json.load(open("config.json"))
with open(os.environ["LOG_DIR"] + "/evaluation-metrics.txt", "a") as log:
    for i in (1, 2, 3):
        values = {"loss": {"type": 3, "value": str((c["lr"] * i - 1) ** 2 + 1 / c["width"])}}
        entry = {"meta": {"version": 0}, "grouplabel": "test", "etimes": {"iteration": {"type": 2, "value": str(i)}}, "values": values}
        log.write(json.dumps(entry) + "\\n")
"""
NOISY = (
    PARSER
    + "import random\nfor epoch in (1, 2, 3):\n    print(f'epoch {epoch}: loss={loss(epoch) + random.random():.6f}')\n"
)
CONDITIONAL = PARSER.replace("a = p.parse", 'p.add_argument("--opt", default="sgd")\np.add_argument("--momentum", type=float)\na = p.parse').replace("1 / a.width", "1 / a.width + (a.momentum or 0)") + (
    "assert (a.momentum is None) == (a.opt == 'adam')\nfor epoch in (1, 2, 3):\n    print(f'epoch {epoch}: loss={loss(epoch)}')\n"
)  # fmt: skip
LIVE = PARSER + "for epoch in range(1, 8):\n    time.sleep(0.3)\n    print(f'epoch {epoch}: loss={loss(epoch)}')\n"
WMLA = """\
{"hpoName": "my-study", "modelSpec": {"args": "--exec-start pytorch --model-main train.py --model-dir ."},
 "algoDef": {"algorithm": "Random", "maxJobNum": 6, "maxParalleJobNum": 2, "objectiveMetric": "loss", "objective": "minimize"},
 "hyperParams": [{"name": "lr", "type": "Range", "dataType": "DOUBLE", "minDbVal": 0.001, "maxDbVal": 0.3, "userDefined": false},
  {"name": "width", "type": "Discrete", "dataType": "INT", "discreteIntVal": [8, 16, 32], "userDefined": false}]}
"""
SOUND = (
    Case("argparse and prints", PRINTS, quick=True),
    Case("config.json", CONFIG % "config.json", PLAIN, quick=True),
    Case("Lightning with its CSV logger", LIGHTNING, study(results="{name: csv, file: logs/metrics.csv, step: epoch}")),
    Case("click", CLICK),
    Case("a pipeline of a shell", PRINTS, study("[sh, -c, 'python train.py --lr \"$0\" --width \"$1\" | tee train.log | grep --line-buffered loss', '{lr}', '{width}']")),
    Case("a program", BINARY, study("sh train.py {lr} {width}")),
    Case("Hydra's overrides", HYDRA, study("python train.py optimizer.lr={lr} model.width={width}")),
    Case("constants", CONSTANTS, study("python train.py", "stdout", "files: {train.py: {LR: lr, WIDTH: width}}"), quick=True),
    Case("rounds of boosting", ROUNDS),
    Case("the best round again", PRINTS + "print('Early stopping, best iteration is:')\nprint(f'epoch 2: loss={loss(2):.6f}')\n", study()),
    Case("batches of the training between epochs", f"{PARSER}for epoch in (1, 2, 3):\n    print(f'step {{epoch * 100}}: train_loss=1')\n    print(f'step {{epoch}}: loss={{loss(epoch)}}')\n", study()),
    Case("emetrics", EMETRICS, study("python train.py", "")),
    Case("noisy", NOISY),
    Case("conditional parameters", CONDITIONAL, study().replace("width: {", "opt: {choice: [sgd, adam]}, momentum: {float: [0, 0.9], when: {opt: sgd}}, width: {")),
    Case("a tiny effect", PRINTS.replace(":.6f", "").replace("1 / a.width", "1e-9 * a.width")),
    Case("an effect at one end only", PRINTS.replace("1 / a.width", "round(a.lr * a.width)"), study()),
    Case("one step", PRINTS.replace("(1, 2, 3)", "(1,)"), study("python train.py {params}", "stdout", "early_stopping: rank")),
    Case("several objectives", PRINTS.replace("loss={", "size={a.width} loss={"), study().replace("objective: minimize loss", "objectives: [{metric: loss, goal: minimize}, {metric: size, goal: minimize}]")),
    Case("longer than the limit", LIVE.replace("range(1, 8)", "range(1, 800)"), study("python train.py {params}", "stdout", "early_stopping: rank"), options=("--time-limit", "3s")),
    Case("live", LIVE, study("python train.py {params}", "stdout", "early_stopping: rank", "parallel: 2")),
    Case("a seed from the engine", PRINTS.replace("a = p.parse", 'p.add_argument("--seed", type=int)\na = p.parse').replace("1 / a.width", "1 / a.width + a.seed % 97"), study("python train.py {params} --seed {seed}")),
    Case("a request of WMLA", (CONFIG % "config.json").replace("for i in (1, 2, 3)]", "for i in (1, 2, 3)]\nprint('loss', 1)"), WMLA),
    Case("more and more epochs", PARSER.replace("a = p.parse", 'p.add_argument("--epochs", type=int)\na = p.parse') + "for epoch in range(a.epochs):\n    print(f'epoch {epoch}: loss={loss(epoch)}')\n", study("python train.py {params}", "stdout", "algorithm: hyperband", "resource: {name: epochs, min: 1, max: 27}")),
)  # fmt: skip
