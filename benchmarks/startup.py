"""What the short commands cost: `hpo-engine --help` and `list` against a bare `python -c "import rich, yaml"`.

Whole processes, interleaved; medians of the rounds and of the ratios of each round.

    python -m benchmarks.startup [--rounds 15] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = """\
command: [sh, -c, 'echo "[{\\"loss\\": 1}]" > val_dict_list.json']
objective: minimize loss
trials: 3
space: {x: {float: [0, 1]}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = measure(args.rounds)
    if args.json:
        print(json.dumps(result))
    else:
        show(result, args.rounds)


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """By command: milliseconds, and the ratio to the bare interpreter with two imports ("bare")."""
    engine = [sys.executable, "-m", "hpo_engine.cli"]
    commands = {
        "bare": [sys.executable, "-c", "import rich, yaml"],
        "--help": [*engine, "--help"],
        "list": [*engine, "list"],
        "best": [*engine, "best", "a"],
    }
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    took: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "algo.yaml").write_text(STUDY)
        for name in "abc":
            argv = [*engine, "submit", "algo.yaml", "--name", name, "--quiet"]
            subprocess.run(argv, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
        for round_ in range(rounds + 1):
            for name, argv in commands.items():
                begin = time.perf_counter()
                subprocess.run(argv, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
                if round_:  # the first one warms the page cache
                    took[name].append(time.perf_counter() - begin)
    return {
        name: {
            "ms": round(1000 * statistics.median(seconds), 1),
            "ratio": round(statistics.median(s / b for s, b in zip(seconds, took["bare"], strict=True)), 2),
        }
        for name, seconds in took.items()
    }


def show(result: dict[str, dict[str, float]], rounds: int) -> None:
    print(f"\nshort commands, medians of {rounds} rounds")
    for name, row in result.items():
        shown = 'python -c "import rich, yaml"' if name == "bare" else f"hpo-engine {name}"
        print(f"  {shown:32} {row['ms']:7.1f} ms  ratio {row['ratio']:.2f}")


if __name__ == "__main__":
    main()
