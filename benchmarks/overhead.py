"""What a trial costs on top of its script: the engine against a bare `subprocess` loop over the same script.

Both run the same no-op script (imports json and os, reads config.json, writes val_dict_list.json) the same number of
times, the same number at a time, interleaved round by round, on the same disk. The bare loop lays no folder out, keeps
no log and can resume nothing: it is the floor.

    python -m benchmarks.overhead [--trials 200] [--parallel 2] [--rounds 5] [--json]

Prints medians over the rounds: milliseconds a trial of each, the difference, and the ratio of each pair. `study` is the
time from the engine's start to the study's close; `command` is the whole process `hpo-engine submit`, interpreter
start and imports included.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SCRIPT = """\
import json
import os

with open("config.json") as file:
    config = json.load(file)
with open(os.path.join(os.environ["RESULT_DIR"], "val_dict_list.json"), "w") as file:
    json.dump([{"step": 1, "loss": config["x"] ** 2}], file)
"""
STUDY = """\
command: [{python}, train.py]
objective: minimize loss
algorithm: random
options: {{seed: 1}}
trials: {trials}
parallel: {parallel}
space:
  x: {{float: [-1, 1]}}
"""


def bare(folder: Path, trials: int, parallel: int, round_: int) -> float:
    """Seconds of the loop that anybody would write: a thread a slot, a process a trial, a folder a trial."""
    script, results = str(folder / "model" / "train.py"), folder / f"bare{round_}"

    def one(number: int) -> None:
        cwd = results / str(number)
        cwd.mkdir(parents=True)
        (cwd / "config.json").write_text('{"x": 0.5}')
        subprocess.run(
            [sys.executable, script], cwd=cwd, env={**os.environ, "RESULT_DIR": str(cwd)}, check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    begin = time.perf_counter()
    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(one, range(trials)))
    return time.perf_counter() - begin


def engine(folder: Path, trials: int, parallel: int, round_: int) -> tuple[float, float]:
    """Seconds of (the study, the whole command)."""
    (folder / "model" / "algo.yaml").write_text(
        STUDY.format(python=json.dumps(sys.executable), trials=trials, parallel=parallel)
    )
    argv = [
        sys.executable,
        "-m",
        "engine.cli",
        "submit",
        "model/algo.yaml",
        "--name",
        f"round{round_}",
        "--root",
        "runs",
    ]
    argv.append("--json")
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    begin = time.perf_counter()
    done = subprocess.run(
        argv,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.perf_counter() - begin
    result = json.loads(done.stdout.splitlines()[-1])
    if result["counts"] != {"completed": trials}:
        raise SystemExit(f"the study did not do its work: {result}")
    return result["seconds"], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        (folder / "model").mkdir()
        (folder / "model" / "train.py").write_text(SCRIPT)
        # Round 0 warms the page cache. Nothing is deleted before the end: on ext4, making files is slow for half a
        # minute after many were deleted, and that is no cost of either.
        for round_ in range(args.rounds + 1):
            floor = bare(folder, args.trials, args.parallel, round_)
            row = (floor, *engine(folder, args.trials, args.parallel, round_))
            if round_:
                rows.append(row)
    ms = [[1000 * seconds / args.trials for seconds in row] for row in rows]
    floor_ms, study_ms, command_ms = (statistics.median(column) for column in zip(*ms, strict=True))
    result = {
        "trials": args.trials,
        "parallel": args.parallel,
        "rounds": args.rounds,
        "bare_ms": round(floor_ms, 3),
        "study_ms": round(study_ms, 3),
        "command_ms": round(command_ms, 3),
        "study_added_ms": round(statistics.median(study - floor for floor, study, _ in ms), 3),
        "study_ratio": round(statistics.median(study / floor for floor, study, _ in ms), 3),
        "command_ratio": round(statistics.median(command / floor for floor, _, command in ms), 3),
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"{args.trials} trials of a no-op script, {args.parallel} at a time; medians of {args.rounds} rounds")
    print(f"  bare subprocess loop  {result['bare_ms']:7.2f} ms a trial")
    print(f"  hpo-engine, study     {result['study_ms']:7.2f} ms a trial  ratio {result['study_ratio']:.2f}"
          f"  added {result['study_added_ms']:.2f} ms")  # fmt: skip
    print(f"  hpo-engine, command   {result['command_ms']:7.2f} ms a trial  ratio {result['command_ratio']:.2f}"
          "  (interpreter start and imports included)")  # fmt: skip


if __name__ == "__main__":
    main()
