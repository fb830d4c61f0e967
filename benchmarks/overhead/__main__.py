"""What a trial costs on top of its script: the engine, cold and warm, against a bare loop and against other tools.

    python -m benchmarks.overhead noop [--trials 200] [--rounds 5] [--peers PYTHON]
    python -m benchmarks.overhead lightning [--rounds 3] [--peers PYTHON]
    python -m benchmarks.overhead ordinary [--trials 12] [--rounds 3] [--peers PYTHON]
    python -m benchmarks.overhead long [--trials 10000]
    python -m benchmarks.overhead watch
    python -m benchmarks.overhead memory
    python -m benchmarks.overhead all --write      (everything, and the tables of docs/performance.md)

All run the same script the same number of times, the same number at a time, by turns, on the same disk. The bare loop
lays no folder out, keeps no log and can resume nothing: it is the floor. Medians over rounds, and of each round's ratio
to the bare loop. `ordinary` is a script that leaves the threads of its libraries as they are, one and two at a time,
with every tool's defaults. PYTHON: an interpreter that has Optuna, Ray Tune and Syne Tune; default: this one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.overhead import long
from benchmarks.overhead.loops import Bench
from hpo_engine.system import threads

ROOT = Path(__file__).parents[2]
OPTUNA = "Optuna, one process per trial"
PEERS = {
    OPTUNA: ("of_optuna.py",),
    "Ray Tune, actors reused": ("of_ray.py", "reuse"),
    "Ray Tune": ("of_ray.py",),
    "Syne Tune, local backend": ("of_syne_tune.py",),
}
BARE = "bare loop"


def rounds(
    loops: dict[str, Callable[[int, int], float]], trials: dict[str, int], parallel: int, count: int
) -> dict[str, dict[str, float]]:
    """By name: ms a trial, and its ratio to the bare loop. One round before the first warms the page cache."""
    took: dict[str, list[float]] = {name: [] for name in loops}
    for round_ in range(count + 1):
        for name, loop in loops.items():
            if round_ or name == BARE:
                ms = 1000 * loop(trials.get(name, trials[""]), parallel) / trials.get(name, trials[""])
                if round_:
                    took[name].append(ms)
    return {
        name: {
            "ms": statistics.median(ms),
            "ratio": statistics.median(m / b for m, b in zip(ms, took[BARE], strict=True)),
        }
        for name, ms in took.items()
    }


def script(
    bench: Bench, name: str, parallel: int, trials: dict[str, int], count: int, peers: str | None
) -> dict[str, Any]:
    loops: dict[str, Callable[[int, int], float]] = {
        BARE: partial(bench.bare, name),
        "hpo-engine, cold": partial(bench.engine, name, preload="off"),
        "hpo-engine, warm": partial(bench.engine, name, preload="auto"),
    }
    if name == "noop":
        loops["bare fork server"] = partial(bench.fork_server, name)
    bench.between.clear()
    result: dict[str, Any] = rounds(loops, trials, parallel, count)
    if name != "noop":
        ms = 1000 * statistics.median(bench.between["auto"])
        result["hpo-engine, warm, after the import"] = {"ms": ms, "ratio": ms / result[BARE]["ms"]}
    for title, (file, *more) in PEERS.items() if peers else ():
        few = trials.get("peers", trials[""])
        try:
            version, seconds = bench.peer(str(peers), file, name, few, parallel, *more)
        except (RuntimeError, OSError) as error:
            result[title] = {"problem": str(error)}
            continue
        bare_ms = 1000 * bench.bare(name, trials.get(BARE, few), parallel) / trials.get(BARE, few)
        ms = 1000 * seconds / few
        result[f"{title} ({version})"] = {"ms": ms, "ratio": ms / bare_ms}
    return result


def ordinary(bench: Bench, trials: int, count: int, peers: str | None) -> dict[str, Any]:
    """By name: seconds of so many trials, one and two at a time, whole processes and imports included; medians."""
    loops: dict[str, Callable[[int, int], float]] = {
        BARE: partial(bench.bare, "ordinary"),
        "hpo-engine, cold": partial(bench.engine, "ordinary", preload="off", whole=True),
        "hpo-engine, warm": partial(bench.engine, "ordinary", preload="auto", whole=True),
    }
    if peers:
        file, *more = PEERS[OPTUNA]
        loops[OPTUNA] = lambda n, parallel: bench.peer(peers, file, "ordinary", n, parallel, *more)[1]
    took: dict[str, dict[int, list[float]]] = {name: {1: [], 2: []} for name in loops}
    problems: dict[str, str] = {}
    with bench.without(threads.NAMES):
        for _ in range(count):
            for parallel in (1, 2):
                for name, loop in loops.items():
                    try:
                        took[name][parallel].append(loop(trials, parallel))
                    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                        problems[name] = str(error)
    result: dict[str, Any] = {"trials": trials}
    for name, seconds in took.items():
        if name in problems:
            result[name] = {"problem": problems[name]}
        else:
            one, two = (statistics.median(seconds[parallel]) for parallel in (1, 2))
            ratio = statistics.median(b / a for a, b in zip(seconds[1], seconds[2], strict=True))
            result[name] = {"one_s": one, "two_s": two, "ratio": ratio}
    return result


def show_ordinary(result: dict[str, Any]) -> None:
    print(f"\nan ordinary Lightning script, {result['trials']} trials")
    for name, row in result.items():
        if name == "trials":
            continue
        if "problem" in row:
            print(f"  {name:36} does not run here: {row['problem']}")
        else:
            print(
                f"  {name:36} {row['one_s']:7.1f} s one at a time, {row['two_s']:7.1f} s two at a time, "
                f"ratio {row['ratio']:.2f}"
            )
    sys.stdout.flush()


def show(title: str, result: dict[str, Any]) -> None:
    print(f"\n{title}")
    for name, row in result.items():
        if "problem" in row:
            print(f"  {name:36} does not run here: {row['problem']}")
        elif "ratio" in row:
            print(f"  {name:36} {row['ms']:9.2f} ms a trial   ratio {row['ratio']:.3f}")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", nargs="?", default="noop", choices=["noop", "lightning", "ordinary", "long", "watch", "memory", "all"]
    )
    parser.add_argument(
        "--trials",
        type=int,
        help="in a round: of the no-op script (200), warm ones of Lightning (60), of the ordinary script (12); of the "
        "long study (10000)",
    )
    parser.add_argument("--parallel", type=int, choices=[1, 2], help="only this many at a time")
    parser.add_argument("--rounds", type=int, help="5 of the no-op script, 3 of the others")
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter that has the other tools; none: without them")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="write the tables of docs/performance.md")
    args = parser.parse_args()
    asked = lambda what: args.what in (what, "all")  # noqa: E731
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        bench = Bench(Path(name))
        for parallel in (1, 2) if asked("noop") else ():
            if args.parallel in (None, parallel):
                trials = {"": args.trials or 200, "peers": 10}
                key = f"no-op script, {parallel} at a time"
                found[key] = script(bench, "noop", parallel, trials, args.rounds or 5, args.peers)
                show(key, found[key])
        if asked("lightning"):
            trials = {"": args.trials or 60, BARE: 3, "hpo-engine, cold": 3, "peers": 3}
            found["Lightning"] = script(bench, "lightning_digits", 1, trials, args.rounds or 3, args.peers)
            show("Lightning, 3 epochs on digits, one at a time", found["Lightning"])
        if asked("ordinary"):
            count = args.trials if args.what == "ordinary" and args.trials else 12
            found["ordinary"] = ordinary(bench, count, args.rounds or 3, args.peers)
            show_ordinary(found["ordinary"])
        if asked("memory"):
            found["memory"] = {w: long.memory(bench.new(), "lightning_digits", w) for w in ("off", "auto")}
            print("\nmemory of Lightning trials, three at a time (PSS, MB):", json.dumps(found["memory"]))
        if asked("watch"):
            found["watch"] = long.watching(bench.new(), 64, 20)
            print("\nwatching 64 trials that report each second:", json.dumps(found["watch"]))
        if asked("long"):
            found["long"] = long.growth(bench.new(), args.trials if args.what == "long" and args.trials else 10_000)
            print("\na long study:", json.dumps(found["long"]))
    if args.json:
        print(json.dumps(found))
    if args.write:
        from benchmarks.overhead import tables

        tables.write(ROOT / "docs" / "performance.md", found)


if __name__ == "__main__":
    main()
