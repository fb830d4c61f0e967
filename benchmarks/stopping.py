"""What ending trials early saves in wall seconds: `python -m benchmarks.stopping [--seeds 5] [--seconds 600]`

The digits example with 27 epochs, once with and once without a stopper, for the same time, one study after the other
and in turns which is first. Both come to the worse of their two best losses; the ratio of the seconds that they need
for it is what counts: below 1, stopping is faster. Only trials that ended by themselves count. Needs the extra
"lightning" and an idle machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.study.history import History
from hpo_engine.study.trial import TrialState

SCRIPT = Path(__file__).parents[1] / "examples" / "digits" / "train.py"
SPACE: dict[str, Any] = {
    "learning_rate": {"float": [5e-4, 0.2], "log": True},
    "hidden": {"int": [16, 256], "log": True},
    "batch_size": {"power": 2, "int": [5, 8]},
    "dropout": {"float": [0, 0.5], "step": 0.05},
    "arch": {"choice": ["mlp", "cnn"]},
    "optimizer": {"choice": ["adam", "sgd"]},
    "momentum": {"float": [0.5, 0.99], "when": {"optimizer": "sgd"}},
}


@dataclass(frozen=True)
class Course:
    """How a study went: (seconds since it began, loss) of each trial that ended by itself, in order; how many were
    ended early; the epochs that all trials trained."""

    ends: tuple[tuple[float, float], ...]
    pruned: int
    epochs: int

    @property
    def best(self) -> float:
        return min((loss for _, loss in self.ends), default=math.inf)

    def seconds_to(self, loss: float) -> float:
        return min((at for at, found in self.ends if found <= loss), default=math.inf)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=600, help="of each study")
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--algorithm", default="tpe")
    parser.add_argument("--stop", default="rank")
    args = parser.parse_args()
    print("| seed | loss | seconds without | with | ratio | best without | with | trials without | with (pruned) |")
    print("| --- " * 9 + "|")
    ratios = []
    for seed in range(args.seeds):
        plain, stopping = _pair(seed, args)
        loss = max(plain.best, stopping.best)
        a, b = plain.seconds_to(loss), stopping.seconds_to(loss)
        ratios.append(b / a)
        print(
            f"| {seed} | {loss:.4g} | {a:.0f} | {b:.0f} | {b / a:.2f} | {plain.best:.4g} | {stopping.best:.4g} | "
            f"{len(plain.ends)} | {len(stopping.ends) + stopping.pruned} ({stopping.pruned}) |",
            flush=True,
        )
    logs = [math.log(ratio) for ratio in ratios if math.isfinite(ratio) and ratio > 0]
    mean = math.exp(sum(logs) / len(logs)) if logs else math.nan
    print(f"\ngeometric mean {mean:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) over {len(ratios)} seeds")


def _pair(seed: int, args: argparse.Namespace) -> tuple[Course, Course]:
    """Without and with stopping; the second one runs first for every other seed."""
    order = (False, True) if seed % 2 == 0 else (True, False)
    found = {stops: _run(seed, stops, args) for stops in order}
    return found[False], found[True]


def _run(seed: int, stops: bool, args: argparse.Namespace) -> Course:
    study = {
        "command": "python train.py",
        "objective": {"metric": "val_loss", "goal": "minimize", "over": "last"},
        "algorithm": args.algorithm,
        "options": {"seed": seed},
        "parallel": args.parallel,
        "time_limit": f"{args.seconds:g}s",
        "trials": 100_000,
        "space": {**SPACE, "epochs": args.epochs},
        **({"stop": args.stop} if stops else {}),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train.py").write_text(SCRIPT.read_text())
        (folder / "algo.yaml").write_text(json.dumps(study))
        argv = [sys.executable, "-m", "hpo_engine.cli", "submit", str(folder / "algo.yaml"), "--name", "s"]
        log = folder / "log"
        with log.open("wb") as out:
            done = subprocess.run([*argv, "--root", str(folder / "runs")], stdout=out, stderr=out, env=dict(os.environ))
        if done.returncode not in (0, 1):
            raise SystemExit(log.read_text())
        return _course(studies.read(StudyPaths(str(folder / "runs" / "s"))))


def _course(history: History) -> Course:
    ended = [t for t in history.trials if t.state is TrialState.COMPLETED and t.loss is not None and t.ended_at]
    ends = sorted((t.ended_at - history.opened_at, t.loss) for t in ended if t.ended_at and t.loss is not None)
    pruned = history.counts.get(TrialState.PRUNED, 0)
    return Course(tuple(ends), pruned, sum(len(t.rows) for t in history.trials))


if __name__ == "__main__":
    main()
