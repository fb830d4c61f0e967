"""How much training short runs save: `python -m benchmarks.fidelity [--seeds 10] [--trials 40] [ALGORITHM ...]`

On the tasks with real learning curves: the training (in full trainings) that an algorithm spends until a run with all
of the resource is as good as what full-length TPE reaches with so many trials (the median over seeds of its final
value), divided by TPE's own training. One worker; a run that goes on begins anew and is paid for in full. A search ends
without success when it has spent half as much as TPE (`--most`). Deterministic; writes a table to stdout.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

from benchmarks.search.algorithms import factory  # noqa: E402
from benchmarks.search.problems import Problem, chosen, problem  # noqa: E402

ALGORITHMS = ("hyperband", "asha", "bohb")
_MOST_RUNS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithms", nargs="*", default=list(ALGORITHMS), metavar="ALGORITHM")
    parser.add_argument("--problems", nargs="+", default=["curves"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=40, help="of full-length TPE")
    parser.add_argument("--most", type=float, default=0.5, help="share of TPE's training after which a search ends")
    args = parser.parse_args()
    words = args.algorithms
    print(f"| task | TPE's final value | {' | '.join(words)} |")
    print("| --- | --- |" + " --- |" * len(words))
    shares: dict[str, list[float]] = {word: [] for word in words}
    for name in chosen(args.problems):
        task = problem(name)
        finals = [min(loss for _, loss in runs("tpe", task, seed, args.trials)) for seed in range(args.seeds)]
        target = float(np.median(finals))
        cells = []
        for word in words:
            spent = [training_until(word, task, seed, target, args.most * args.trials) for seed in range(args.seeds)]
            shares[word] += spent
            cells.append(cell(spent, args))
        print(f"| {name} | {target:.4g} | {' | '.join(cells)} |", flush=True)
    print(f"| all | | {' | '.join(cell(shares[word], args) for word in words)} |")


def runs(word: str, task: Problem, seed: int, most: int) -> Iterator[tuple[float, float]]:
    """(share of a full training, loss) of one run after the other."""
    asker = factory(word)(task, seed, most, 1)
    for _ in range(most):
        asked = asker.ask(1)
        if not asked:
            return
        token, params, resource = asked[0]
        loss = task.evaluate(params, resource)
        asker.tell(token, loss)
        yield (1.0 if resource is None else resource / task.levels[-1]), loss


def training_until(word: str, task: Problem, seed: int, target: float, most: float) -> float:
    """Full trainings until a run with all of the resource comes to `target`; infinite after `most`."""
    spent = 0.0
    for share, loss in runs(word, task, seed, _MOST_RUNS):
        spent += share
        if share == 1.0 and loss <= target:
            return spent
        if spent >= most:
            break
    return math.inf


def cell(spent: list[float], args: argparse.Namespace) -> str:
    """The median share of TPE's training, and how many searches got there."""
    middle = float(np.median(spent)) / args.trials
    text = f"{middle:.2f}" if math.isfinite(middle) else f"above {args.most:g}"
    return f"{text} ({sum(map(math.isfinite, spent))}/{len(spent)})"


if __name__ == "__main__":
    main()
