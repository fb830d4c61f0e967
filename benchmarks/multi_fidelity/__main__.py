"""Compares tools that let short runs decide, on real learning curves.

    python -m benchmarks.multi_fidelity                      (a small version, in about a minute)
    python -m benchmarks.multi_fidelity --run auto+resource tpe asha --seeds 10 [--workers 4] [--carry] [--jobs 2]
    python -m benchmarks.multi_fidelity --run "tpe+rank:keep=0.3" optuna-hyperband syne-tune-asha
    python -m benchmarks.multi_fidelity --league             (writes the tables of multi_fidelity.md and its picture)
    python -m benchmarks.multi_fidelity.tables TASK          (makes a table of real trainings anew)

Runs that are there are not computed again; delete the file in results/ when what a searcher proposes has changed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

_SMALL_TOOLS = ("random", "tpe", "auto", "auto+resource", "asha")
_SMALL_TASKS = ("trees-cancer", "sgd-digits", "crossing-toy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs="+", metavar="TOOL", default=[])
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="default: all with a table")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--carry", action="store_true", help="promoted runs carry on, and pay the difference")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--league", action="store_true")
    args = parser.parse_args()

    from benchmarks.multi_fidelity import league, report
    from benchmarks.multi_fidelity.execute import fill

    if args.run:
        fill(args.run, args.tasks or league.tasks(), range(args.seeds), args.workers, args.carry, jobs=args.jobs)
    if args.league:
        league.write()
    if not (args.run or args.league):
        with tempfile.TemporaryDirectory() as name:
            fill(_SMALL_TOOLS, _SMALL_TASKS, range(2), 1, False, jobs=args.jobs, folder=Path(name))
            print("\n".join(report.summary([(tool, 1, False) for tool in _SMALL_TOOLS], _SMALL_TASKS, Path(name))))


if __name__ == "__main__":
    main()
