"""Several objectives: the hypervolume of each searcher after 50 and 100 trials, against Optuna's and random search.

    python -m benchmarks.objectives [--seeds 5] [--problems zdt1,forest] [--searchers tpe,bayesian]

writes a table to stdout and one line a run to stderr; `benchmarks/objectives.md` holds the latest. Figures are shares
of the largest hypervolume of all runs of a problem. No timing is in any objective.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from hpo_engine import assembly
from hpo_engine.maths import pareto
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.study.events import EngineStarted, StudyOpened, TrialEnded, TrialProposed, apply
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Named, StudySpec

TRIALS = (50, 100)
Params = Mapping[str, Any]


class Problem:
    """`losses` of parameters, all minimised; `reference` for the hypervolume."""

    def __init__(
        self, space: SearchSpace, losses: Callable[[Params], tuple[float, ...]], reference: tuple[float, ...]
    ) -> None:
        self.space, self.losses, self.reference = space, losses, reference


# -- test functions ----------------------------------------------------------------------------------------------------


def cube(d: int) -> SearchSpace:
    return SearchSpace(tuple(Float(f"x{i}", 0.0, 1.0) for i in range(d)))


def _zdt(kind: int) -> Callable[[Params], tuple[float, ...]]:
    """Zitzler, Deb, Thiele, Evol. Comput. 8 (2000): convex, concave and disconnected fronts."""

    def losses(params: Params) -> tuple[float, ...]:
        first, *rest = (params[f"x{i}"] for i in range(len(params)))
        g = 1.0 + 9.0 * sum(rest) / len(rest)
        ratio = first / g
        shape = {1: 1.0 - math.sqrt(ratio), 2: 1.0 - ratio**2}.get(
            kind, 1.0 - math.sqrt(ratio) - ratio * math.sin(10.0 * math.pi * first)
        )
        return first, g * shape

    return losses


def _dtlz2(params: Params) -> tuple[float, ...]:
    """Deb et al. (2002), three objectives: an eighth of a sphere."""
    a, b, *rest = (params[f"x{i}"] for i in range(len(params)))
    g = 1.0 + sum((x - 0.5) ** 2 for x in rest)
    a, b = a * math.pi / 2, b * math.pi / 2
    return g * math.cos(a) * math.cos(b), g * math.cos(a) * math.sin(b), g * math.sin(a)


# -- real trainings ----------------------------------------------------------------------------------------------------


@lru_cache
def _digits() -> tuple[Any, ...]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    split: tuple[Any, ...] = tuple(train_test_split(x / 16, y, test_size=0.5, random_state=0, stratify=y))
    return split


def _forest(params: Params) -> tuple[float, ...]:
    """Error of a random forest, and the logarithm of its number of nodes."""
    from sklearn.ensemble import RandomForestClassifier

    x, x_test, y, y_test = _digits()
    forest = RandomForestClassifier(**params, random_state=0).fit(x, y)
    return 1 - forest.score(x_test, y_test), math.log10(sum(t.tree_.node_count for t in forest.estimators_))


def _network(params: Params) -> tuple[float, ...]:
    """Error of a small network after ten epochs, and the logarithm of its number of weights."""
    from sklearn.neural_network import MLPClassifier

    x, x_test, y, y_test = _digits()
    kept = np.argsort(-x.var(axis=0), kind="stable")[: params["pixels"]]
    layers = [params["hidden"], *([params["hidden2"]] if params["layers"] == 2 else [])]
    net = MLPClassifier(
        layers, learning_rate_init=params["rate"], alpha=params["decay"], activation=params["act"], random_state=0
    )
    for _ in range(10):
        net.partial_fit(x[:, kept], y, classes=np.arange(10))
    size = sum(part.size for part in [*net.coefs_, *net.intercepts_])
    return 1 - net.score(x_test[:, kept], y_test), math.log10(size)


FOREST = SearchSpace(
    (
        Int("n_estimators", 1, 40, log=True),
        Int("max_depth", 1, 14),
        Int("min_samples_leaf", 1, 20, log=True),
        Float("max_features", 0.05, 1.0),
        Choice("criterion", ("gini", "entropy", "log_loss")),
        Choice("bootstrap", (True, False)),
    )
)
NETWORK = SearchSpace(
    (
        Choice("layers", (1, 2)),
        Int("hidden", 2, 96, log=True),
        Int("hidden2", 2, 48, log=True, when={"layers": 2}),
        Int("pixels", 4, 64),
        Float("rate", 1e-3, 0.1, log=True),
        Float("decay", 1e-6, 0.1, log=True),
        Choice("act", ("relu", "tanh", "logistic")),
    )
)
PROBLEMS: dict[str, Problem] = {
    "zdt1": Problem(cube(6), _zdt(1), (1.1, 6.0)),
    "zdt2": Problem(cube(6), _zdt(2), (1.1, 6.0)),
    "zdt3": Problem(cube(6), _zdt(3), (1.1, 6.0)),
    "dtlz2": Problem(cube(6), _dtlz2, (1.5, 1.5, 1.5)),
    "forest": Problem(FOREST, _forest, (0.9, 4.5)),
    "network": Problem(NETWORK, _network, (0.9, 4.2)),
}


# -- who searches ------------------------------------------------------------------------------------------------------


def ours(name: str) -> Callable[[Problem, int, int], list[tuple[float, ...]]]:
    def run(problem: Problem, trials: int, seed: int) -> list[tuple[float, ...]]:
        aims = tuple(Objective(f"f{i}", over="last") for i in range(len(problem.reference)))
        spec = StudySpec(
            "b",
            problem.space,
            aims,
            ("true",),
            "/",
            algorithm=Named(name),
            budget=Budget(trials),
            seed=seed,
        )
        history = apply(apply(None, StudyOpened(0.0, spec.to_json())), EngineStarted(0.0, 1))
        searcher = assembly.searcher(spec)
        for i in range(trials):
            params = searcher.ask(history, 1)[0].params
            values = problem.losses(params)
            history = apply(history, TrialProposed(0.0, i, params))
            history = apply(history, TrialEnded(0.0, i, "completed", values[0], exit={"code": 0}, values=values))
        return [t.losses for t in history.trials]

    return run


def optunas(name: str) -> Callable[[Problem, int, int], list[tuple[float, ...]]]:
    def run(problem: Problem, trials: int, seed: int) -> list[tuple[float, ...]]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        samplers = optuna.samplers
        makers: dict[str, Callable[[], Any]] = {
            "tpe": lambda: samplers.TPESampler(seed=seed),
            "mtpe": lambda: samplers.TPESampler(seed=seed, multivariate=True),
            "nsga2": lambda: samplers.NSGAIISampler(seed=seed, population_size=20),
        }
        sampler = makers[name]()
        study = optuna.create_study(sampler=sampler, directions=["minimize"] * len(problem.reference))
        out: list[tuple[float, ...]] = []

        def objective(trial: Any) -> tuple[float, ...]:
            params: dict[str, Any] = {}
            for p in problem.space.params:
                if p.when is not None and not all(params.get(k) == v for k, v in p.when.items()):
                    continue
                if isinstance(p, Choice):
                    params[p.name] = trial.suggest_categorical(p.name, p.choices)
                elif isinstance(p, Int):
                    params[p.name] = trial.suggest_int(p.name, p.low, p.high, log=p.log)
                elif isinstance(p, Float):
                    params[p.name] = trial.suggest_float(p.name, p.low, p.high, log=p.log)
            out.append(problem.losses(params))
            return out[-1]

        study.optimize(objective, n_trials=trials)
        return out

    return run


SEARCHERS: dict[str, Callable[[Problem, int, int], list[tuple[float, ...]]]] = {
    "random": ours("random"),
    "tpe": ours("tpe"),
    "bayesian": ours("bayesian"),
    "optuna tpe": optunas("tpe"),
    "optuna multivariate tpe": optunas("mtpe"),
    "optuna nsga2": optunas("nsga2"),
}


def volumes(problem: Problem, found: list[tuple[float, ...]]) -> list[float]:
    return [pareto.hypervolume(found[:n], problem.reference) for n in TRIALS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--searchers", default=",".join(SEARCHERS))
    asked = parser.parse_args()
    problems, searchers = asked.problems.split(","), asked.searchers.split(",")
    results: dict[tuple[str, str], list[list[float]]] = {}
    seconds: dict[str, float] = dict.fromkeys(searchers, 0.0)
    for problem in problems:
        for name in searchers:
            for seed in range(asked.seeds):
                begin = time.process_time()
                got = volumes(PROBLEMS[problem], SEARCHERS[name](PROBLEMS[problem], TRIALS[-1], seed))
                seconds[name] += time.process_time() - begin
                results.setdefault((problem, name), []).append(got)
                print(problem, name, seed, *(f"{v:.4f}" for v in got), file=sys.stderr, flush=True)
    print(table(problems, searchers, results))


def table(problems: list[str], searchers: list[str], results: dict[tuple[str, str], list[list[float]]]) -> str:
    """Shares of the best volume seen, the mean over seeds; after 50 / 100 trials; and the mean rank after 100."""
    best = {p: max(max(v) for name in searchers for v in results[p, name]) for p in problems}
    means = {key: np.mean(v, axis=0) / best[key[0]] for key, v in results.items()}
    ranks = {p: np.argsort(np.argsort([-means[p, name][-1] for name in searchers])) + 1 for p in problems}
    lines = [f"| searcher | {' | '.join(problems)} | mean rank |", "| --- " * (len(problems) + 2) + "|"]
    for i, name in enumerate(searchers):
        cells = [f"{means[p, name][0]:.3f} / {means[p, name][-1]:.3f}" for p in problems]
        lines.append(f"| {name} | {' | '.join(cells)} | {np.mean([ranks[p][i] for p in problems]):.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
