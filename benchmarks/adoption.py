"""How soon a restarted engine has its running trials back: N sleeping trials, engine killed, engine started again.

    python -m benchmarks.adoption [--trials 64] [--rounds 3]

Prints medians: seconds from the start of the new process to its line "took over N running trials" (interpreter start
and imports included), and of that the taking over alone (reading the log, adopting every trial), measured in process.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hpo_engine import assembly
from hpo_engine.contract.paths import StudyPaths


def one_round(folder: Path, trials: int) -> tuple[float, float]:
    study = {
        "command": ["sh", "-c", 'echo >> "$COUNTS"; exec sleep 600'],
        "objective": "minimize loss",
        "trials": trials,
        "parallel": trials,
        "env": {"COUNTS": str(folder / "counts")},
        "space": {"x": {"float": [0, 1]}},
        "trial": {"grace": "5s"},
    }
    (folder / "algo.yaml").write_text(json.dumps(study))
    argv = [sys.executable, "-m", "hpo_engine.cli", "submit", str(folder / "algo.yaml"), "--root", str(folder / "runs")]
    first = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    counts = folder / "counts"
    while not counts.exists() or len(counts.read_text()) < trials:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    begin = time.perf_counter()
    second = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert second.stdout is not None
    while f"took over {trials} running trials" not in second.stdout.readline():
        if second.poll() is not None:
            raise SystemExit("the trials were not taken over")
    command_s = time.perf_counter() - begin
    second.send_signal(signal.SIGKILL)
    second.wait()
    begin = time.perf_counter()
    with assembly.open_study(StudyPaths(str(folder / "runs" / folder.name))) as opened:
        engine = assembly.engine_for(opened, time.time)
        adopted = engine.resume(time.time())
        adopt_s = time.perf_counter() - begin
        if adopted != trials or len(counts.read_text()) != trials:
            raise SystemExit(f"{adopted} of {trials} adopted, {len(counts.read_text())} starts")
        engine.interrupt("benchmark over", time.time(), kill=True)
        while engine.step(time.time()):
            engine.executor.wait(0.1)
        engine.close()
    return command_s, adopt_s


def measure(trials: int, rounds: int) -> tuple[float, float]:
    """Seconds until `trials` running trials are taken over: from the start of the process, and the last step alone."""
    os.environ["PYTHONPATH"] = os.getcwd()
    rows = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            rows.append(one_round(Path(name), trials))
    command_s, adopt_s = (statistics.median(column) for column in zip(*rows, strict=True))
    return command_s, adopt_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    command_s, adopt_s = measure(args.trials, args.rounds)
    print(f"{args.trials} running trials taken over, none restarted; medians of {args.rounds} rounds")
    print(f"  from the start of the process  {command_s:.2f} s")
    print(f"  the taking over alone          {adopt_s:.2f} s")


if __name__ == "__main__":
    main()
