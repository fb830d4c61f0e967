"""What unequal trainings save: searchers that give little training to most configurations, on real learning curves.

Time is counted in full trainings. A search has found what its best fully trained configuration shows.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.search import algorithms
from benchmarks.search.problems import chosen, problem
from benchmarks.search.runner import trace
from benchmarks.search.store import KEPT

PATH = KEPT / "fidelity.json"
TRAININGS = 100
AT = (6, 12, 25, 50, 100)


def fill(words: Sequence[str], seeds: int) -> None:
    """Runs what is missing, until `TRAININGS` full trainings are spent."""
    known = read()
    for word in words:
        key = algorithms.key(word)
        entry = known.get(word)
        if entry is None or entry["key"] != key:
            entry = known[word] = {"key": key, "runs": {}}
        for name in chosen(["curves"]):
            runs = entry["runs"].setdefault(name, {})
            for seed in range(seeds):
                if str(seed) not in runs:
                    runs[str(seed)] = _run(word, name, seed)
        KEPT.mkdir(exist_ok=True)
        PATH.write_text(_text(known))
        print(f"{word}: done", flush=True)


def read() -> dict[str, Any]:
    return json.loads(PATH.read_text()) if PATH.exists() else {}


def curves(word: str, name: str, at: Sequence[float] | np.ndarray) -> np.ndarray:
    """Normalised regret (seeds, at) after so many full trainings; 1 before there is a full one."""
    runs = read()[word]["runs"][name]
    p = problem(name)
    out = []
    for _, steps in sorted(runs.items(), key=lambda item: int(item[0])):
        best = [min((loss for spent, loss in steps if spent <= limit + 1e-6), default=p.median) for limit in at]
        out.append(p.regret(np.array(best)))
    return np.array(out)


def table(reference: str = "tpe") -> list[list[str]]:
    """Rows of the league's table: regret after so much training, and the training that equals the reference's end."""
    known = read()
    names = chosen(["curves"])
    grid = np.arange(1, TRAININGS + 1)
    rows = []
    ends = {n: curves(reference, n, [TRAININGS]).mean() for n in names} if reference in known else {}
    for word in known:
        means = {n: curves(word, n, grid).mean(axis=0) for n in names if n in known[word]["runs"]}
        mean = np.mean(list(means.values()), axis=0)
        needs = ""
        if ends:
            overall = np.mean(list(ends.values()))
            below = np.flatnonzero(mean <= overall)
            needs = f"{grid[below[0]]}" if len(below) else f"over {TRAININGS}"
            each = [np.flatnonzero(m <= ends[n]) for n, m in means.items()]
            needs += " (" + ", ".join(str(grid[e[0]]) if len(e) else "-" for e in each) + ")"
        rows.append([f"`{word}`", *(f"{mean[limit - 1]:.4f}" for limit in AT), needs])
    return sorted(rows, key=lambda row: row[3])


def _run(word: str, name: str, seed: int) -> list[list[float]]:
    warnings.filterwarnings("ignore")
    p = problem(name)
    full = p.levels[-1]
    rationed = algorithms.parse(word)[0] in ("hyperband", "asha", "bohb")
    runs = TRAININGS * 12 if rationed else TRAININGS
    spent, best = 0.0, float("inf")
    steps = []
    for done in trace(algorithms.factory(word), p, seed, runs, training=TRAININGS):
        spent += (done.resource or full) / full
        if (done.resource or full) >= full and done.loss < best:
            best = done.loss
            steps.append([round(spent, 3), float(f"{best:.7g}")])
    return steps


def _text(known: dict[str, Any]) -> str:
    lines = []
    for word, entry in known.items():
        runs = ",\n".join(f'  "{n}": {json.dumps(r, separators=(",", ":"))}' for n, r in entry["runs"].items())
        lines.append(f'{json.dumps(word)}: {{"key": {json.dumps(entry["key"])}, "runs": {{\n{runs}\n}}}}')
    return "{\n" + ",\n".join(lines) + "\n}\n"
