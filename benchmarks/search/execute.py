"""Computes the runs that are missing, in one or several processes, and writes them as they come."""

from __future__ import annotations

import multiprocessing
import sys
import time
import warnings
from collections.abc import Sequence

import numpy as np

from benchmarks.search import algorithms, store
from benchmarks.search.problems import NAMES, problem
from benchmarks.search.runner import run

_Cell = tuple[str, str, int, int, int]  # algorithm, problem, seed, evaluations, workers


def fill(
    word: str, problems: Sequence[str], seeds: Sequence[int], evaluations: int, workers: int = 1,
    *, jobs: int = 1, label: str | None = None, kept: bool = False,
) -> None:  # fmt: skip
    """Runs an algorithm on all problems and seeds that have no result of this code and this many evaluations yet."""
    key = algorithms.key(word)
    name = f"{word}@{label}" if label else word
    results = store.read(name, workers, key)
    results.version = algorithms.version(word)
    cells = [(word, p, seed, evaluations, workers) for p in problems for seed in results.missing(p, seeds, evaluations)]
    begin = saved = time.monotonic()
    for i, (cell, losses) in enumerate(_computed(cells, jobs), 1):
        results.put(cell[1], cell[2], evaluations, losses)
        now = time.monotonic()
        if now - saved > 20:
            store.write(results, kept=kept)
            saved = now
        if sys.stderr.isatty() or i == len(cells):
            print(f"\r{name}: {i} of {len(cells)} runs, {now - begin:.0f} s", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr) if cells else print(f"{name}: nothing is missing", file=sys.stderr)
    store.write(results, kept=kept)


def check(word: str, problems: Sequence[str], seeds: Sequence[int], workers: int = 1) -> None:
    """Computes runs of the repository again. Their file gets the algorithm's present stamp if all are as they were;
    SystemExit if not."""
    kept, again = store.read_kept(word, workers), store.Results(word, workers)
    cells = [
        (word, p, seed, kept.cells[p][seed][0], workers)
        for p in problems for seed in seeds if seed in kept.cells.get(p, {})
    ]  # fmt: skip
    differ = []
    for _, p, seed, evaluations, _ in cells:
        again.put(p, seed, evaluations, _compute((word, p, seed, evaluations, workers)))
        if again.cells[p][seed] != kept.cells[p][seed]:
            differ.append(f"{p} seed {seed}")
    print(f"{word}, {workers} worker(s): {len(cells) - len(differ)} of {len(cells)} kept runs came out the same")
    if differ or not cells:
        raise SystemExit(f"not the same: {', '.join(differ)}" if differ else "no kept run to compare with")
    kept.version, kept.key = algorithms.version(word), algorithms.key(word)
    store.write(kept, kept=True)


def show() -> None:
    """Prints problems, algorithms, and the runs there are."""
    for name in NAMES:
        p = problem(name)
        kinds = [type(q).__name__.lower() for q in p.space.dimensions]
        mix = ", ".join(f"{kinds.count(k)} {k}" for k in ("float", "int", "choice") if k in kinds)
        some = sum(q.when is not None for q in p.space.dimensions)
        extra = (f", {some} conditional" if some else "") + (f"; curve to {p.levels[-1]}" if p.levels else "")
        print(f"{name:24} {p.family:9} best {p.best:<10.5g} random {p.median:<10.5g} {mix}{extra}")
    for workers in (1, 4, 16):
        for name in store.names(workers):
            found = store.read(name, workers)
            runs = [cell for seeds in found.cells.values() for cell in seeds.values()]
            print(
                f"{name:32} {workers:2} workers: {len(runs):4} runs on {len(found.cells)} problems, {found.version}, "
                f"{min((r[0] for r in runs), default=0)} to {max((r[0] for r in runs), default=0)} evaluations"
            )


def _computed(cells: Sequence[_Cell], jobs: int):  # type: ignore[no-untyped-def]
    if jobs <= 1:
        yield from ((cell, _compute(cell)) for cell in cells)
        return
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(cells) or 1)) as pool:
        size = max(1, min(5, len(cells) // (4 * jobs)))
        yield from pool.imap_unordered(_pair, cells, chunksize=size)


def _pair(cell: _Cell) -> tuple[_Cell, np.ndarray]:
    return cell, _compute(cell)


def _compute(cell: _Cell) -> np.ndarray:
    word, name, seed, evaluations, workers = cell
    warnings.filterwarnings("ignore")
    return run(algorithms.factory(word), problem(name), seed, evaluations, workers)
