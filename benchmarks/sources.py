"""What reading metrics live costs: 64 running trials for each source, each trial reporting once a second.

    python -m benchmarks.sources [--trials 64] [--seconds 10] [--rounds 3] [--only csv,stdout] [--json]

One process writes for all trials; each value is the time at which it was written. This process reads as the engine
does, every half second. `delay`: from the script's write to the engine's row, median and 95th percentile (seconds).
`core`: processor time of reading, in percent of one core; it holds under load as well. `auto` reads what is printed,
before it is known that nothing else will come, and `auto, known` after that. The sources take turns; medians of the
rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from hpo_engine import assembly
from hpo_engine.contract import layout
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.reports import Reports
from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Named, StudySpec

POLL_S = 0.5  # as in core.loop
METRIC = "at"
AUTO = {"auto": (), "auto, known": ("stdout",)}


class Cost(NamedTuple):
    """`delays`: seconds from the write to the row; `core`: of one core, in percent; `rows`: that were expected."""

    delays: Sequence[float]
    core: float
    rows: int


def measure(source: str, trials: int, seconds: float, folder: Path) -> Cost:
    """One round of one source."""
    study = StudyPaths(str(folder / "study"))
    folder.mkdir()
    Path(study.root).mkdir()
    layout.lay_out_study(study, "bench")
    all_paths = [study.trial(number) for number in range(trials)]
    for paths in all_paths:
        layout.lay_out(paths)
        Path(paths.attempt(1)).mkdir(parents=True, exist_ok=True)
    time.sleep(0.05)  # what is written from here on is younger than the trial's folder
    kind = "stdout" if source in AUTO else source
    spec = StudySpec(
        "bench", SearchSpace((Float("x", 0, 1),)), (Objective(METRIC),), ("true",), str(folder),
        metric_sources=(Named("auto" if source in AUTO else source),),
    )  # fmt: skip
    candidates = assembly.metric_sources(spec)
    nonces = [Path(paths.attempt(1)).name for paths in all_paths]  # with which `reporting` tags runs of MLflow
    named = frozenset([METRIC])
    files = [TrialFiles(p, named=named, nonce=nonce) for p, nonce in zip(all_paths, nonces, strict=True)]
    reports = [Reports(each, candidates, objectives=[METRIC]) for each in files]
    places = [[p.result_dir, p.log_dir, p.attempt(1)] for p in all_paths]
    zero = time.time()
    order = json.dumps({"zero": zero, "kind": kind, "places": places, "seconds": seconds, "metric": METRIC})
    writer = subprocess.Popen([sys.executable, "-m", "benchmarks.reporting"], stdin=subprocess.PIPE, text=True)
    assert writer.stdin is not None
    writer.stdin.write(order)
    writer.stdin.close()
    used = AUTO.get(source, ())
    delays: list[float] = []
    spent, began = 0.0, time.monotonic()
    turn = 0
    while writer.poll() is None or turn * POLL_S < seconds + 1:
        turn += 1
        time.sleep(max(0.0, began + turn * POLL_S - time.monotonic()))
        before = time.process_time()
        fresh = [each.fresh(used) for each in reports]
        spent += time.process_time() - before
        now = time.time() - zero
        for found in fresh:
            if found is not None:
                new = found[0][-1:] if found[1] else found[0]
                delays += [now - row.values[METRIC] for row in new if METRIC in row.values]
    took = time.monotonic() - began
    if writer.wait():
        raise RuntimeError(f"the reports of {source} could not be written")
    return Cost(delays, 100 * spent / took, trials * int(seconds))


def rounds(sources: Sequence[str], trials: int, seconds: float, count: int) -> dict[str, dict[str, float]]:
    """By source: the medians over the rounds, in which they take turns."""
    found: dict[str, list[Cost]] = {source: [] for source in sources}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            for source in sources:
                place = Path(folder, f"{source} {number}".replace(", ", "-"))
                found[source].append(measure(source, trials, seconds, place))
    return {source: _row(costs) for source, costs in found.items()}


def _row(costs: Sequence[Cost]) -> dict[str, float]:
    median: Callable[[Sequence[float]], float] = statistics.median
    each = [sorted(cost.delays) or [float("inf")] for cost in costs]
    return {
        "delay": round(median([median(delays) for delays in each]), 3),
        "delay95": round(median([delays[-1 - len(delays) // 20] for delays in each]), 3),
        "core": round(median([cost.core for cost in costs]), 2),
        "rows": round(median([len(cost.delays) / cost.rows for cost in costs]), 3),
    }


def main() -> None:
    from benchmarks.reporting import KINDS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="some of the sources, by commas")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    known = [*(kind for kind in KINDS if kind in assembly.METRIC_SOURCES.own), *AUTO]
    chosen = [name.strip() for name in args.only.split(";" if ";" in args.only else ",")] if args.only else known
    result = rounds(chosen, args.trials, args.seconds, args.rounds)
    if args.json:
        print(json.dumps(result))
        return
    print(f"{args.trials} trials, a report a second each, medians of {args.rounds} rounds\n")
    print(f"{'source':16} {'delay':>8} {'95 %':>8} {'core':>8}  reports seen")
    for source, row in result.items():
        print(f"{source:16} {row['delay']:6.2f} s {row['delay95']:6.2f} s {row['core']:6.2f} %  {row['rows']:6.1%}")


if __name__ == "__main__":
    main()
