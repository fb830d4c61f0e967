"""The slowest proposal over random spaces and histories, and whether any of them raised.

    python -m benchmarks.random_studies [--cases 10000] [--algorithms tpe bayesian ...]

The cases are those of tests/support/random_studies.py: conditions on conditions, NaN, ties, failures, running trials,
constants, one point, losses of 1e308. Every algorithm has its part of the cases. Processor time, one thread at best
(OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from hpo_engine import assembly
from tests.support.random_studies import ALGORITHMS, case, study_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS)
    args = parser.parse_args()
    print(f"{'algorithm':12} {'cases':>6} {'median ms':>10} {'worst ms':>10}  errors")
    for name in args.algorithms:
        took, errors = [], []
        for k in range(ALGORITHMS.index(name), args.cases, len(ALGORITHMS)):
            spec, history = case(k)
            spec = study_of(spec, name)
            searcher = assembly.searcher(spec)
            begin = time.process_time()
            try:
                proposals = searcher.ask(replace(history, spec=spec), 1)
                errors += [f"{k}: {p}" for proposal in proposals if (p := spec.space.problem_with(proposal.params))]
            except Exception as error:  # whatever it is, it is counted
                errors.append(f"{k}: {type(error).__name__}: {error}")
            took.append(time.process_time() - begin)
        ms = 1e3 * np.array(took)
        said = f"{len(errors)} {errors[:1] or ''}"
        print(f"{name:12} {len(ms):6} {np.median(ms):10.1f} {ms.max():10.1f}  {said}", flush=True)


if __name__ == "__main__":
    main()
