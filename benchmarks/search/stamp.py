"""What identifies an algorithm of the engine: the proposals that it makes, not the text of its code.

Code is moved, renamed and reworded without a change of what it finds. So an algorithm is run on small problems with
fixed seeds, and what it proposed is hashed. A change that shows only after more than 40 trials, or in spaces of another
kind, escapes; `--check` computes kept runs again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from benchmarks.search.problems import Problem
from benchmarks.search.runner import ours, trace
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace

LEVELS = (1, 3, 9)  # of the resource, for algorithms that ration one
DIGITS = 4  # of a proposed number: further ones may depend on the processor
RUNS = (("numbers", 40, 1), ("mixed", 40, 1), ("mixed", 20, 4))  # problem, evaluations, workers


@cache
def stamp(algorithm: str, options: str = "{}") -> str:
    """Twelve hexadecimal digits. `options`: a JSON object."""
    out = hashlib.sha256()
    for name, evaluations, workers in RUNS:
        problem = Problem(name, "stamp", SPACES[name], _loss, 0.0, 1.0, LEVELS)
        for done in trace(ours(algorithm, json.loads(options)), problem, 0, evaluations, workers):
            out.update(json.dumps([_rounded(done.params), done.resource], sort_keys=True).encode())
    return out.hexdigest()[:12]


SPACES = {
    "numbers": SearchSpace(
        (Float("a", 0, 1), Float("b", -5, 5), Float("c", 1e-5, 1, log=True), Int("d", 1, 64, log=True))
    ),
    "mixed": SearchSpace(
        (
            Choice("kind", ("x", "y", "z")),
            Float("a", 0, 1),
            Int("n", 1, 9, when={"kind": ["x", "y"]}),
            Choice("flag", (True, False)),
            Float("step", 0, 1, step=0.1),
        )
    ),
}


def _loss(params: Mapping[str, Any], resource: int | None = None) -> float:
    """A valley and some steps, from exact operations only; less of the resource shows it blurred."""
    numbers = [float(v) for v in params.values() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    others = [v for v in params.values() if isinstance(v, (str, bool))]
    near = sum((v - 0.3) ** 2 / (1 + v * v) for v in numbers) + sum(0.5 for v in others if v in ("y", True))
    return near + len(others) / (8 * (resource or LEVELS[-1]))


def _rounded(params: Mapping[str, Any]) -> dict[str, Any]:
    return {k: float(f"{v:.{DIGITS}g}") if isinstance(v, float) and math.isfinite(v) else v for k, v in params.items()}
