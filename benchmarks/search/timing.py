"""Seconds per ask with a history of so many trials: processor time, medians, algorithms by turns.

Histories are random draws of a mixed space (`svm-cancer`: 7 parameters, 3 conditional) and of one with ten numbers
(`rosenbrock-10d`). The first ask on a history is not counted: it may read all of it.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
import warnings
from collections.abc import Sequence
from typing import Any

from benchmarks.search import algorithms
from benchmarks.search.problems import problem
from benchmarks.search.store import KEPT

PATH = KEPT / "times.json"
PROBLEMS = ("svm-cancer", "rosenbrock-10d")
LENGTHS = (50, 100, 200, 1000, 10_000)
_ASKS = 5


def fill(words: Sequence[str], lengths: Sequence[int]) -> None:
    """Measures, prints, and writes the medians to results/times.json."""
    warnings.filterwarnings("ignore")
    known = read()
    for length in lengths:
        took: dict[str, list[float]] = {}
        for name in PROBLEMS:
            p = problem(name)
            askers = {}
            for word in words:
                asker: Any = algorithms.factory(word)(p, 0, length + _ASKS + 1, 1)
                asker.preload(p, length)
                _asked(asker, p)
                askers[word] = asker
            for _ in range(_ASKS):
                for word, asker in askers.items():
                    took.setdefault(word, []).append(_asked(asker, p))
        for word, seconds in took.items():
            entry = known.setdefault(word, {"version": "", "seconds": {}})
            entry["version"] = algorithms.version(word)
            entry["seconds"][str(length)] = float(f"{statistics.median(seconds):.3g}")
            entry["python"] = platform.python_version()
            print(f"{word:24} {length:6} trials: {1000 * statistics.median(seconds):9.2f} ms", flush=True)
        PATH.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in known.items()) + "\n}\n")


def read() -> dict[str, Any]:
    return json.loads(PATH.read_text()) if PATH.exists() else {}


def _asked(asker: Any, p: Any) -> float:
    begin = time.process_time()
    asked = asker.ask(1)
    took = time.process_time() - begin
    for token, params, _ in asked:
        asker.tell(token, p.evaluate(params))
    return took
