"""Computes the runs that are missing, and writes them as they come."""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.multi_fidelity import store
from benchmarks.multi_fidelity.clock import simulate
from benchmarks.multi_fidelity.curves import world
from benchmarks.multi_fidelity.tools import make

BUDGET = 30.0  # full trainings
_Cell = tuple[str, str, int, int, bool, float]  # tool, task, seed, workers, carry, budget


def fill(
    words: Sequence[str], tasks: Sequence[str], seeds: Sequence[int], workers: int, carry: bool,
    *, jobs: int = 1, folder: Path = store.RESULTS, budget: float = BUDGET,
) -> None:  # fmt: skip
    """Runs each tool on all tasks and seeds that have no result yet."""
    for word in words:
        runs = store.read(word, workers, carry, folder)
        cells = [(word, t, s, workers, carry, budget) for t in tasks for s in seeds if s not in runs.get(t, {})]
        begin = saved = time.monotonic()
        for cell, steps in _computed(cells, jobs):
            runs.setdefault(cell[1], {})[cell[2]] = steps
            if time.monotonic() - saved > 20:
                store.write(word, workers, carry, runs, folder)
                saved = time.monotonic()
        if cells:
            store.write(word, workers, carry, runs, folder)
            print(f"{word}: {len(cells)} runs in {time.monotonic() - begin:.0f} s", flush=True)


def _computed(cells: Sequence[_Cell], jobs: int) -> Iterator[tuple[_Cell, store.Steps]]:
    if jobs <= 1:
        yield from map(compute, cells)
        return
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(cells) or 1)) as pool:
        yield from pool.imap_unordered(compute, cells, chunksize=2)


def compute(cell: _Cell) -> tuple[_Cell, store.Steps]:
    word, task, seed, workers, carry, budget = cell
    warnings.filterwarnings("ignore")
    problem = world(task)
    steps = simulate(make(word)(problem, seed, workers, carry), problem, seed, budget, workers)
    return cell, [(round(spent, 3), float(f"{loss:.7g}")) for spent, loss in steps]
