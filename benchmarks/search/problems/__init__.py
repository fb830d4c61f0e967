"""The problems, in a neutral form: a space, a loss, the lowest loss, and what a random draw gives. No timing.

`reference.json` beside this holds the lowest loss and the median of 4,096 random draws of each problem;
`python -m benchmarks.search.problems` writes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.search.problems.bbob import FUNCTIONS, Function
from benchmarks.search.problems.spaces import TASKS
from hpo_engine.space.searchspace import SearchSpace

VERSION = 1  # of what the problems answer: a new one makes all results void
REFERENCE = Path(__file__).with_name("reference.json")
FACTS = Path(__file__).with_name("facts.json")
_KNOWN: dict[str, list[float]] = json.loads(REFERENCE.read_text())
ALL: tuple[str, ...] = (*FUNCTIONS, *TASKS)
NAMES: tuple[str, ...] = tuple(name for name in ALL if name in _KNOWN and (name in FUNCTIONS or TASKS[name].league))
CURVES: tuple[str, ...] = tuple(name for name, task in TASKS.items() if name in _KNOWN and len(task.levels) > 1)
_DRAWS = 4096


class Evaluate(Protocol):
    def __call__(self, params: Mapping[str, Any], resource: int | None = None) -> float: ...


@dataclass(frozen=True)
class Problem:
    """`best`: the lowest loss. `median`: that of random draws. `levels`: amounts of the resource that can be given,
    the last is all of it; () where there is no resource. `family`: bbob, mixint or training."""

    name: str
    family: str
    space: SearchSpace
    evaluate: Evaluate
    best: float
    median: float
    levels: tuple[int, ...] = ()

    def regret(self, losses: np.ndarray) -> np.ndarray:
        """0 at the best, 1 at the median of random draws and above it: (loss - best) / (median - best), clipped."""
        return np.clip((np.asarray(losses, dtype=float) - self.best) / (self.median - self.best), 0.0, 1.0)


@cache
def problem(name: str) -> Problem:
    """The problem of this name; a table takes about a second when it is first asked for."""
    family, space, evaluate, levels = _parts(name)
    best, median = _KNOWN[name]
    return Problem(name, family, space, evaluate, best, median, levels)


def chosen(words: list[str]) -> list[str]:
    """Names of problems from the words of a command line: names, families, beginnings of names, or "all"."""
    families = {
        "all": list(NAMES),
        "bbob": [name for name, (suite, *_) in FUNCTIONS.items() if suite == "bbob"],
        "mixint": [name for name in FUNCTIONS if name.startswith("mixint")],
        "training": [name for name in NAMES if name in TASKS],
        "curves": list(CURVES),
    }
    out: list[str] = []
    for word in words:
        found = families.get(word) or [name for name in dict.fromkeys((*NAMES, *CURVES)) if name.startswith(word)]
        if not found:
            raise SystemExit(f"no problem {word!r}; all, {', '.join(k for k in families if k != 'all')}, or a name")
        out += [name for name in found if name not in out]
    return out


def _parts(name: str) -> tuple[str, SearchSpace, Evaluate, tuple[int, ...]]:
    if name in FUNCTIONS:
        function = Function(name)
        return "mixint" if name.startswith("mixint") else "bbob", function.space, function.evaluate, ()
    from benchmarks.search.problems.table import Table

    table = Table(name)
    levels = table.task.levels if len(table.task.levels) > 1 else ()
    return "training", table.task.space, table.evaluate, levels


def pool(name: str, draws: int = 20_000) -> np.ndarray:
    """The normalised regrets of so many random draws."""
    p = problem(name)
    points = np.random.Generator(np.random.PCG64(21)).random((draws, len(p.space.dimensions)))
    if p.family == "training":
        from benchmarks.search.problems.table import Table

        table = Table(name)
        tidy = p.space.tidy(points)
        return p.regret(np.concatenate([table.curves(part)[:, -1] for part in np.array_split(tidy, 20)]))
    return p.regret(np.array([p.evaluate(p.space.decode(point)) for point in points]))


def reference(name: str) -> tuple[float, float]:
    """The lowest loss and the median of random draws, computed."""
    _, space, evaluate, _ = _parts(name)
    rng = np.random.Generator(np.random.PCG64(20))
    median = float(np.median([evaluate(space.sample(rng)) for _ in range(_DRAWS)]))
    if name in FUNCTIONS:
        return Function(name).lowest(), median
    from benchmarks.search.problems.table import Table

    table = Table(name)
    lowest: Callable[[np.ndarray], Any] = np.min
    return float(lowest(table.curves(table.points)[:, -1])), median
