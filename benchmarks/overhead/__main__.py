"""What a trial costs on top of its script: the engine, cold and warm, against a bare loop and against other tools.

    python -m benchmarks.overhead noop [--trials 200] [--rounds 5] [--peers PYTHON]
    python -m benchmarks.overhead lightning [--rounds 3] [--peers PYTHON]
    python -m benchmarks.overhead ordinary [--trials 12] [--rounds 3] [--peers PYTHON]
    python -m benchmarks.overhead long [--trials 10000]
    python -m benchmarks.overhead watch
    python -m benchmarks.overhead memory
    python -m benchmarks.overhead commands
    python -m benchmarks.overhead all --write      (everything, and the tables of docs/performance.md)
    python -m benchmarks.overhead all --smoke --write FILE     (does it run? The figures mean nothing)

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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import adoption, startup
from benchmarks.overhead import long
from benchmarks.overhead.loops import Bench
from hpo_engine.system import threads

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
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
    args = _arguments()
    amounts = SMOKE if args.smoke else Amounts()
    if args.trials and args.what in AMOUNT_OF:
        amounts = replace(amounts, **{AMOUNT_OF[args.what]: args.trials})
    if args.rounds:
        amounts = replace(amounts, noop_rounds=args.rounds, rounds=args.rounds)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        bench = Bench(Path(name))
        for part, measure in PARTS.items():
            if args.what in (part, "all"):
                found |= measure(bench, amounts, args)
    if args.json:
        print(json.dumps(found))
    if args.write:
        from benchmarks.overhead import tables

        tables.write(Path(args.write), found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="noop", choices=[*PARTS, "all"])
    parser.add_argument(
        "--trials",
        type=int,
        help="in a round: of the no-op script (200), warm ones of Lightning (60), of the ordinary script (12); of the "
        "long study (10000)",
    )
    parser.add_argument("--parallel", type=int, choices=[1, 2], help="only this many at a time")
    parser.add_argument("--rounds", type=int, help="5 of the no-op script, 3 of the others")
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter that has the other tools; none: without them")
    parser.add_argument("--smoke", action="store_true", help="as few trials and rounds as possible")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--write", nargs="?", const=str(PAGE), metavar="FILE", help="write the tables of FILE [docs/performance.md]"
    )
    return parser.parse_args()


# -- the parts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Amounts:
    """How much is measured: trials of a round or a study, rounds, and seconds."""

    noop: int = 200
    noop_peers: int = 10
    lightning: int = 60
    lightning_cold: int = 3
    ordinary: int = 12
    long: int = 10_000
    running: int = 64  # trials that report, or that a new engine takes over
    watched_s: int = 20
    noop_rounds: int = 5
    rounds: int = 3
    command_rounds: int = 15


SMOKE = Amounts(
    noop=4, noop_peers=2, lightning=2, lightning_cold=1, ordinary=2, long=210, running=4, watched_s=4, noop_rounds=1,
    rounds=1, command_rounds=1,
)  # fmt: skip
AMOUNT_OF = {"noop": "noop", "lightning": "lightning", "ordinary": "ordinary", "long": "long"}
"""What --trials means for a part."""


def _noop(bench: Bench, amounts: Amounts, args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for parallel in (1, 2):
        if args.parallel in (None, parallel):
            trials = {"": amounts.noop, "peers": amounts.noop_peers}
            key = f"no-op script, {parallel} at a time"
            found[key] = script(bench, "noop", parallel, trials, amounts.noop_rounds, args.peers)
            show(key, found[key])
    return found


def _lightning(bench: Bench, amounts: Amounts, args: argparse.Namespace) -> dict[str, Any]:
    few = amounts.lightning_cold
    trials = {"": amounts.lightning, BARE: few, "hpo-engine, cold": few, "peers": few}
    found = script(bench, "lightning_digits", 1, trials, amounts.rounds, args.peers)
    show("Lightning, 3 epochs on digits, one at a time", found)
    return {"Lightning": found}


def _ordinary(bench: Bench, amounts: Amounts, args: argparse.Namespace) -> dict[str, Any]:
    found = ordinary(bench, amounts.ordinary, amounts.rounds, args.peers)
    show_ordinary(found)
    return {"ordinary": found}


def _memory(bench: Bench, amounts: Amounts, args: argparse.Namespace) -> dict[str, Any]:
    found = {how: long.memory(bench.new(), "lightning_digits", how) for how in ("off", "auto")}
    print("\nmemory of Lightning trials, three at a time (PSS, MB):", json.dumps(found))
    return {"memory": found}


def _watch(bench: Bench, amounts: Amounts, args: argparse.Namespace) -> dict[str, Any]:
    found = long.watching(bench.new(), amounts.running, amounts.watched_s)
    print(f"\nwatching {amounts.running} trials that report each second:", json.dumps(found))
    return {"watch": found}


def _long(bench: Bench, amounts: Amounts, args: argparse.Namespace) -> dict[str, Any]:
    found = long.growth(bench.new(), amounts.long)
    print("\na long study:", json.dumps(found))
    return {"long": found}


def _commands(bench: Bench, amounts: Amounts, args: argparse.Namespace) -> dict[str, Any]:
    found = startup.measure(amounts.command_rounds)
    startup.show(found, amounts.command_rounds)
    command_s, _ = adoption.measure(amounts.running, amounts.rounds)
    print(f"\na new engine has taken over {amounts.running} running trials {command_s:.2f} s after its start")
    return {"commands": {"startup": found, "adopted": amounts.running, "adopted_s": command_s}}


PARTS: dict[str, Callable[[Bench, Amounts, argparse.Namespace], dict[str, Any]]] = {
    "noop": _noop, "lightning": _lightning, "ordinary": _ordinary, "memory": _memory, "watch": _watch, "long": _long,
    "commands": _commands,
}  # fmt: skip


if __name__ == "__main__":
    main()
