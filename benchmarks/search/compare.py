"""What the results say: normalised regret, ranks, and how sure that is. Only runs that all have are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.search import algorithms, store
from benchmarks.search.problems import NAMES, problem

_RESAMPLES = 2000


@dataclass(frozen=True)
class Figures:
    """`regrets`: by problem an array (algorithms, seeds) for the runs that all algorithms have."""

    names: Sequence[str]
    regrets: dict[str, np.ndarray]

    @property
    def means(self) -> np.ndarray:  # (algorithms, problems)
        return np.column_stack([r.mean(axis=1) for r in self.regrets.values()])

    @property
    def runs(self) -> int:
        return sum(r.shape[1] for r in self.regrets.values())

    def resampled(self, seed: int = 0) -> np.ndarray:  # (resamples, algorithms, problems)
        """Means by problem with problems drawn anew, and within each its seeds."""
        rng = np.random.default_rng(seed)
        blocks = list(self.regrets.values())
        draws = []
        for r in blocks:
            picks = rng.integers(r.shape[1], size=(_RESAMPLES, r.shape[1]))
            draws.append(r[:, picks].mean(axis=2))  # (algorithms, resamples)
        means = np.stack(draws, axis=2).transpose(1, 0, 2)
        which = rng.integers(len(blocks), size=(_RESAMPLES, 1, len(blocks)))
        return np.take_along_axis(means, np.broadcast_to(which, means.shape), axis=2)


def figures(
    names: Sequence[str], problems: Sequence[str], seeds: int, workers: int, at: int, *, kept: bool = False
) -> Figures:
    """The normalised regrets after `at` evaluations. `kept`: of the results in the repository alone."""
    results = [(store.read_kept if kept else store.read)(name, workers) for name in names]
    regrets = {}
    for p in problems:
        cells = []
        for seed in range(seeds):
            losses = [r.best(p, seed, at) for r in results]
            if None not in losses:
                cells.append(losses)
        if cells:
            regrets[p] = problem(p).regret(np.array(cells, dtype=float).T)
    return Figures(names, regrets)


def ranks(means: np.ndarray) -> np.ndarray:  # (..., algorithms, problems) -> same
    """Rank 1 is the lowest; equals share the mean of their ranks."""
    below = (means[..., None, :, :] < means[..., :, None, :]).sum(axis=-2)
    equal = (means[..., None, :, :] == means[..., :, None, :]).sum(axis=-2)
    return below + (equal + 1) / 2


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The middle 90%."""
    low, high = np.quantile(samples, [0.05, 0.95])
    return float(low), float(high)


def expected(regrets: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """What the best of so many independent draws from `regrets` (n,) is on average."""
    n = len(regrets)
    above = np.arange(n, -1, -1) / n  # the share of draws that are no better than the i-th lowest
    shares = above[:, None] ** counts  # (n + 1, counts): how likely all of them are
    return np.asarray(np.sort(regrets) @ (shares[:-1] - shares[1:]))


def report(
    names: Sequence[str], problems: Sequence[str], seeds: int, workers: int, counts: Sequence[int],
    *, by_problem: bool = True,
) -> str:  # fmt: skip
    """The tables, as text."""
    names = list(names) or store.names(workers)
    for name in names:
        if not store.read(name, workers).cells:
            return f"no results of {name} with {workers} workers; --list shows what there is"
    lines = []
    tables = {at: figures(names, problems, seeds, workers, at) for at in counts}
    tables = {at: table for at, table in tables.items() if table.regrets}
    if not tables:
        return "these algorithms have no runs in common; compare fewer, or run more"
    width = max(map(len, names)) + 2
    last = max(tables)
    lines.append(
        f"mean normalised regret (0 the best known, 1 the median random draw), [90% interval]; {workers} worker(s); "
        + "; ".join(f"at {at}: {len(t.regrets)} problems, {t.runs} runs" for at, t in tables.items())
    )
    lines.append(
        "".ljust(width) + "".join(f"at {at}".ljust(24) for at in tables) + f"rank at {last}".ljust(20) + "p90 seed"
    )
    rows = {}
    for i, name in enumerate(names):
        text = name.ljust(width)
        for table in tables.values():
            low, high = interval(table.resampled()[:, i].mean(axis=1))
            text += f"{table.means[i].mean():.4f} [{low:.3f} {high:.3f}]".ljust(24)
        table = tables[last]
        low, high = interval(ranks(table.resampled())[:, i].mean(axis=1))
        text += f"{ranks(table.means)[i].mean():.2f} [{low:.2f} {high:.2f}]".ljust(20)
        worst = np.mean([np.quantile(r[i], 0.9) for r in table.regrets.values()])
        rows[name] = (
            table.means[i].mean(),
            text + f"{worst:.4f}" + ("  (of other code)" if _stale(name, workers) else ""),
        )
    lines += [text for _, text in sorted(rows.values())]
    best = tables[last].means.min(axis=0).mean()
    lines.append(f"the best of these on each problem: {best:.4f}")
    if by_problem:
        lines += ["", *_by_problem(tables[last], last)]
    return "\n".join(lines)


def _by_problem(table: Figures, at: int) -> list[str]:
    width = max(map(len, NAMES)) + 2
    columns = [max(len(name), 7) + 2 for name in table.names]
    lines = [f"at {at}".ljust(width) + "".join(n.rjust(w) for n, w in zip(table.names, columns, strict=True))]
    families: dict[str, list[np.ndarray]] = {}
    for name, regrets in table.regrets.items():
        means = regrets.mean(axis=1)
        families.setdefault(problem(name).family, []).append(means)
        lines.append(name.ljust(width) + _marked(means, columns))
    for family, rows in families.items():
        lines.append(f"all {family}".ljust(width) + _marked(np.mean(rows, axis=0), columns))
    return lines


def _marked(means: np.ndarray, columns: Sequence[int]) -> str:
    lowest = means.min()
    return "".join(f"{'*' if m == lowest else ''}{m:.4f}".rjust(w) for m, w in zip(means, columns, strict=True))


def _stale(name: str, workers: int) -> bool:
    word, at, _ = name.partition("@")
    if at or algorithms.parse(word)[0] in algorithms.PEERS:
        return False
    try:
        return store.read(name, workers).key != algorithms.key(word)
    except SystemExit:
        return True
