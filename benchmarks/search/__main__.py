"""Compares search algorithms on problems with known answers.

    python -m benchmarks.search --run tpe random --problems all --seeds 10 --evaluations 100 [--workers 4] [--jobs 2]
    python -m benchmarks.search --run "tpe:good_ratio=0.1" --problems training bbob --seeds 5
    python -m benchmarks.search --run tpe --label before       (kept as tpe@before whatever becomes of the code)
    python -m benchmarks.search --compare tpe tpe@before optuna-tpe
    python -m benchmarks.search --fidelity tpe bohb --seeds 5
    python -m benchmarks.search --time tpe bayesian optuna-tpe --lengths 50 100 1000
    python -m benchmarks.search --check tpe --problems net- tree- --seeds 2    (are the kept runs today's?)
    python -m benchmarks.search --league
    python -m benchmarks.search --list

--run computes what is missing: an algorithm of the engine is run again when it proposes something else than before
(stamp.py). --run and --compare may be given together. Peers run where their package is installed.
"""

from __future__ import annotations

import argparse
import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    do = parser.add_argument_group("what to do")
    do.add_argument("--run", nargs="+", metavar="ALGORITHM", default=[], help='as "name" or "name:option=value,..."')
    do.add_argument("--check", nargs="+", metavar="ALGORITHM", default=[], help="compute kept runs again, and compare")
    do.add_argument("--compare", nargs="*", metavar="ALGORITHM", help="print how they do; none named: all there are")
    do.add_argument("--league", action="store_true", help="write the tables of README.md and docs/league.svg")
    do.add_argument("--time", nargs="+", metavar="ALGORITHM", default=[], help="measure an ask; needs a quiet machine")
    do.add_argument("--fidelity", nargs="+", metavar="ALGORITHM", default=[], help="run on learning curves")
    do.add_argument("--list", action="store_true", help="print the problems, the algorithms and what is computed")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--problems", nargs="+", default=["all"], metavar="P",
        help="all, bbob, mixint, training, curves, or beginnings of names",
    )  # fmt: skip
    how.add_argument("--seeds", type=int, default=10, help="seeds 0 to this less one (default 10)")
    how.add_argument("--evaluations", type=int, default=100, help="per run (default 100)")
    how.add_argument("--workers", type=int, default=1, help="asynchronous workers (default 1)")
    how.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    how.add_argument("--label", help="keep the runs as ALGORITHM@LABEL")
    how.add_argument("--keep", action="store_true", help="write to results/, which is part of the repository")
    how.add_argument("--lengths", type=int, nargs="+", default=[50, 100, 1000], help="of the histories for --time")
    how.add_argument("--at", type=int, nargs="+", default=[20, 50, 100], help="evaluations to compare at")
    how.add_argument("--short", action="store_true", help="no table by problem")
    args = parser.parse_args()
    if not (
        args.run or args.check or args.list or args.league or args.time or args.fidelity or args.compare is not None
    ):
        parser.print_help()
        return

    from benchmarks.search import compare, execute
    from benchmarks.search.problems import chosen

    problems = chosen(args.problems)
    if args.list:
        execute.show()
    for word in args.run:
        execute.fill(
            word, problems, range(args.seeds), args.evaluations, args.workers,
            jobs=args.jobs, label=args.label, kept=args.keep,
        )  # fmt: skip
    for word in args.check:
        execute.check(word, problems, range(args.seeds), args.workers)
    if args.fidelity:
        from benchmarks.search import fidelity

        fidelity.fill(args.fidelity, args.seeds)
    if args.time:
        from benchmarks.search import timing

        timing.fill(args.time, args.lengths)
    if args.league:
        from benchmarks.search import league

        league.write()
    if args.compare is not None:
        names = args.compare
        print(compare.report(names, problems, args.seeds, args.workers, args.at, by_problem=not args.short))


if __name__ == "__main__":
    main()
