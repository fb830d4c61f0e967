"""Results on disk: one JSON file for each algorithm and number of workers.

A run is kept as its improvements, [evaluation, loss] from 1 on, with the number of evaluations. What was computed by
other code (the key differs) is dropped when the file is next written. `kept` results are part of the repository;
others are in `.cache`, for work on an algorithm.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
KEPT, CACHE = HERE / "results", HERE / ".cache"


@dataclass
class Results:
    """The runs of one algorithm. `cells`: problem -> seed -> (evaluations, ((evaluation, loss), ...))."""

    name: str
    workers: int = 1
    key: str = ""
    version: str = ""
    cells: dict[str, dict[int, tuple[int, list[tuple[int, float]]]]] = field(default_factory=dict)

    def missing(self, problem: str, seeds: Iterable[int], evaluations: int) -> list[int]:
        have = self.cells.get(problem, {})
        return [s for s in seeds if s not in have or have[s][0] < evaluations]

    def put(self, problem: str, seed: int, asked: int, losses: np.ndarray) -> None:
        """`asked`: the evaluations that were allowed; a search that ended earlier counts as done."""
        steps, best = [], float("inf")
        for i, loss in enumerate(losses.tolist(), 1):
            if loss < best:
                best = loss
                steps.append((i, float(f"{loss:.7g}")))
        self.cells.setdefault(problem, {})[seed] = (asked, steps)

    def best(self, problem: str, seed: int, at: int) -> float | None:
        """The lowest loss of the first `at` evaluations; None where the run is not there or shorter."""
        cell = self.cells.get(problem, {}).get(seed)
        if cell is None or cell[0] < at:
            return None
        return min((loss for i, loss in cell[1] if i <= at), default=None)


def path_of(folder: Path, name: str, workers: int) -> Path:
    return folder / f"{name.replace(':', '+').replace('/', '_')}.w{workers}.json"


def read(name: str, workers: int, key: str | None = None) -> Results:
    """What is known of an algorithm, from the cache and the repository; with a key, only what has this key.

    Without one the cache goes first, whatever code it came from."""
    merged = Results(name, workers, key or "")
    for folder in (CACHE, KEPT):
        found = _load(path_of(folder, name, workers), name, workers)
        if found is None or (key is not None and found.key != key):
            continue
        if not merged.key:
            merged.key = found.key
        if found.key != merged.key:
            continue
        merged.version = merged.version or found.version
        for problem, seeds in found.cells.items():
            for seed, cell in seeds.items():
                known = merged.cells.setdefault(problem, {}).get(seed)
                if known is None or known[0] < cell[0]:
                    merged.cells[problem][seed] = cell
    return merged


def read_kept(name: str, workers: int) -> Results:
    """What the repository has of an algorithm."""
    stamp = path_of(KEPT, name, workers)
    return _kept(name, workers, stamp.stat().st_mtime if stamp.exists() else 0.0)


@lru_cache(maxsize=64)
def _kept(name: str, workers: int, stamp: float) -> Results:
    return _load(path_of(KEPT, name, workers), name, workers) or Results(name, workers)


def kept_names(workers: int = 1) -> list[str]:
    """The algorithms of which the repository has results."""
    return sorted(json.loads(p.read_text())["algorithm"] for p in KEPT.glob(f"*.w{workers}.json"))


def write(results: Results, *, kept: bool) -> None:
    folder = KEPT if kept else CACHE
    folder.mkdir(exist_ok=True)
    lines = [
        f'"{name}": {{'
        + ", ".join(f'"{seed}": {json.dumps(cell, separators=(",", ":"))}' for seed, cell in sorted(seeds.items()))
        + "}"
        for name, seeds in sorted(results.cells.items())
    ]
    head = json.dumps({"algorithm": results.name, "version": results.version, "key": results.key})
    text = head[:-1] + ', "runs": {\n' + ",\n".join(lines) + "\n}}\n"
    path = path_of(folder, results.name, results.workers)
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_text(text)
    os.replace(aside, path)


def names(workers: int = 1) -> list[str]:
    """The algorithms of which there are results."""
    ending = f".w{workers}.json"
    found = {json.loads(p.read_text())["algorithm"] for f in (CACHE, KEPT) for p in sorted(f.glob(f"*{ending}"))}
    return sorted(found)


def _load(path: Path, name: str, workers: int) -> Results | None:
    if not path.exists():
        return None
    data: Mapping[str, Any] = json.loads(path.read_text())
    cells = {
        problem: {int(seed): (cell[0], [(i, loss) for i, loss in cell[1]]) for seed, cell in seeds.items()}
        for problem, seeds in data["runs"].items()
    }
    return Results(name, workers, data["key"], data["version"], cells)
