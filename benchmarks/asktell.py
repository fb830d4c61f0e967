"""What ask and tell cost in one process: `hpo_engine.Optimizer` beside Optuna and Rustuna, interleaved.

    python -m benchmarks.asktell --rounds 5 --trials 200 1000 --parameters 3 10

Processor time per trial (ask, the parameters' values, tell), medians over the rounds, and the ratio of each round to
ours; a ratio above 1 means that we are quicker. In each round all of them run one after the other, in an order that
changes, so that a busy machine is the same for all. Needs `pip install optuna rustuna`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import hpo_engine as hpo

Play = Callable[[str, int, int, int], None]
"""Plays a search: algorithm (random or tpe), trials, parameters, seed."""


def loss(values: Mapping[str, float]) -> float:
    return sum((value - 0.3) ** 2 for value in values.values())


def ours(algorithm: str, trials: int, parameters: int, seed: int) -> None:
    space = hpo.Space({f"x{i}": hpo.float(0, 1) for i in range(parameters)})
    optimizer = hpo.Optimizer(space, algorithm, seed=seed)
    for _ in range(trials):
        trial = optimizer.ask()
        optimizer.tell(trial, loss(trial.params))


def optuna(algorithm: str, trials: int, parameters: int, seed: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler: Any = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}[algorithm]
    study = optuna.create_study(sampler=sampler(seed=seed))
    space: dict[str, Any] = {f"x{i}": optuna.distributions.FloatDistribution(0, 1) for i in range(parameters)}
    for _ in range(trials):
        trial = study.ask(space)
        study.tell(trial, loss(trial.params))


def rustuna(algorithm: str, trials: int, parameters: int, seed: int) -> None:
    import rustuna

    sampler: Any = {"random": rustuna.samplers.RandomSampler, "tpe": rustuna.samplers.TPESampler}[algorithm]
    study = rustuna.create_study(sampler=sampler(seed=seed))
    for _ in range(trials):
        trial = study.ask()
        values = {f"x{i}": trial.suggest_float(f"x{i}", 0, 1) for i in range(parameters)}
        study.tell(trial.number, loss(values))


PLAYERS: dict[str, Play] = {"hpo_engine": ours, "optuna": optuna, "rustuna": rustuna}


def measured(algorithm: str, trials: int, parameters: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds of processor time per trial, by round."""
    found: dict[str, list[float]] = {name: [] for name in PLAYERS}
    names = list(PLAYERS)
    for name in names:  # imports, and what is compiled at first use
        PLAYERS[name](algorithm, 20, parameters, 0)
    for number in range(rounds):
        for name in names[number % 3 :] + names[: number % 3]:
            began = time.process_time()
            PLAYERS[name](algorithm, trials, parameters, number)
            found[name].append((time.process_time() - began) / trials * 1e6)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--parameters", type=int, nargs="+", default=[3, 10])
    parser.add_argument("--algorithms", nargs="+", default=["random", "tpe"])
    args = parser.parse_args()
    times = " | ".join(f"{name}, us" for name in PLAYERS)
    print(f"| algorithm | trials | parameters | {times} | optuna : ours | rustuna : ours |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for algorithm in args.algorithms:
        for trials in args.trials:
            for parameters in args.parameters:
                found = measured(algorithm, trials, parameters, args.rounds)
                own = found["hpo_engine"]
                medians = [f"{statistics.median(times):.0f}" for times in found.values()]
                ratios = [
                    f"{statistics.median(b / a for a, b in zip(own, found[name], strict=True)):.2f}"
                    for name in ("optuna", "rustuna")
                ]
                print(f"| {' | '.join([algorithm, str(trials), str(parameters), *medians, *ratios])} |", flush=True)


if __name__ == "__main__":
    main()
