"""The league table: writes the tables of README.md in this folder, and the picture docs/league.svg.

Only results in results/ count. Algorithms that are costly have fewer runs; every table compares runs that all of its
algorithms have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.search import algorithms, fidelity, store, timing
from benchmarks.search.compare import Figures, figures, interval, ranks
from benchmarks.search.picture import draw
from benchmarks.search.problems import FACTS, NAMES, problem

README = Path(__file__).with_name("README.md")
PICTURE = Path(__file__).parents[2] / "docs" / "league.svg"
COUNTS = (20, 50, 100)
SEEDS = 10
_MOST = 10_000  # evaluations of random search


def write() -> None:
    text = README.read_text()
    parts = {
        "sequential": _league(1),
        "all": _costly(),
        "workers": _workers(),
        "times": _times(),
        "fidelity": _fidelity(),
        "problems": _problems(),
        "by problem": _by_problem(),
    }
    for name, table in parts.items():
        pattern = rf"(<!-- {name}: .*?-->\n).*?(<!-- /{name} -->)"
        text, found = re.subn(pattern, r"\1" + table.replace("\\", r"\\") + r"\n\2", text, flags=re.S)
        if found != 1:
            raise SystemExit(f"{README}: no place for the table {name!r}")
    README.write_text(text)
    draw(PICTURE, full(), SEEDS)


def seeds_of(name: str, workers: int = 1, at: int = 100) -> int:
    """On how many seeds an algorithm has run every problem this far."""
    cells = store.read_kept(name, workers).cells
    return min(
        (sum(cell[0] >= at for cell in cells.get(p, {}).values()) for p in NAMES),
        default=0,
    )


def full(workers: int = 1) -> list[str]:
    """The algorithms with all problems, and with two seeds at least."""
    return [n for n in store.kept_names(workers) if seeds_of(n, workers) >= 2]


def random_needs(table: Figures, at: int) -> dict[str, float]:
    """How many times as many evaluations random search needs for the same mean regret; infinite: more than `_MOST`."""
    curves = [known["random"] for known in json.loads(FACTS.read_text()).values()]
    counts = np.array([count for count, _ in curves[0]])
    curve = np.mean([[regret for _, regret in curve] for curve in curves], axis=0)
    out = {}
    for name, mean in zip(table.names, table.means.mean(axis=1), strict=True):
        needs = float(np.exp(np.interp(-mean, -curve, np.log(counts)))) if mean > curve[-1] else float("inf")
        out[name] = needs / at
    return out


def _league(workers: int) -> str:
    names = full(workers)
    tables = {at: figures(names, NAMES, SEEDS, workers, at, kept=True) for at in COUNTS}
    needs = random_needs(tables[100], 100) if workers == 1 else {}
    return _rows(names, tables, needs, workers)


def _rows(names: Sequence[str], tables: dict[int, Figures], needs: dict[str, float], workers: int) -> str:
    head = ["algorithm", "version", *(f"at {at}" for at in tables), "rank at 50", "rank at 100", "worst tenth"]
    rows = []
    for i, name in enumerate(names):
        row = [f"`{name}`", _version(name, workers)]
        for table in tables.values():
            low, high = interval(table.resampled()[:, i].mean(axis=1))
            row.append(f"{table.means[i].mean():.3f} [{low:.3f}, {high:.3f}]")
        for at in (50, 100):
            table = tables[at]
            low, high = interval(ranks(table.resampled())[:, i].mean(axis=1))
            row.append(f"{ranks(table.means)[i].mean():.1f} [{low:.1f}, {high:.1f}]")
        worst = np.mean([np.quantile(r[i], 0.9) for r in tables[100].regrets.values()])
        row.append(f"{worst:.3f}")
        if needs:
            k = needs[name]
            row.append(f"{k:.1f}" if np.isfinite(k) else f"over {_MOST // 100}")
        rows.append((tables[100].means[i].mean(), row))
    if needs:
        head.append("random needs")
    best = tables[100].means.min(axis=0).mean()
    note = (
        f"\n\n{len(tables[100].regrets)} problems, {tables[100].runs // max(len(tables[100].regrets), 1)} seeds each. "
        f"The best of these on each problem at 50 and 100: {tables[50].means.min(axis=0).mean():.3f}, {best:.3f}."
    )
    return _markdown(head, [row for _, row in sorted(rows, key=lambda r: r[0])]) + note


def _costly() -> str:
    """All algorithms, on the runs that the costly ones have."""
    out = []
    for at in (50, 100):
        names = [n for n in store.kept_names(1) if seeds_of(n, 1, at) >= 1]
        if len(names) <= len(full()) and at == 50:
            continue
        tables = {c: figures(names, NAMES, SEEDS, 1, c, kept=True) for c in COUNTS if c <= at}
        head = ["algorithm", "version", "seeds", *(f"at {c}" for c in tables), f"rank at {at}"]
        rows = []
        for i, name in enumerate(names):
            table = tables[at]
            row = [f"`{name}`", _version(name, 1), str(seeds_of(name, 1, at))]
            for c in tables.values():
                low, high = interval(c.resampled()[:, i].mean(axis=1))
                row.append(f"{c.means[i].mean():.3f} [{low:.3f}, {high:.3f}]")
            low, high = interval(ranks(table.resampled())[:, i].mean(axis=1))
            row.append(f"{ranks(table.means)[i].mean():.1f} [{low:.1f}, {high:.1f}]")
            rows.append((table.means[i].mean(), row))
        runs = tables[at].runs
        out.append(
            f"To {at} evaluations, {runs} runs on {len(tables[at].regrets)} problems that all have:\n\n"
            + _markdown(head, [row for _, row in sorted(rows, key=lambda r: r[0])])
        )
    return "\n\n".join(out)


def _workers() -> str:
    head = ["algorithm", "workers", *(f"at {at}" for at in COUNTS), "to sequential at 100"]
    rows = []
    for workers in (4, 16):
        for name in full(workers):
            row = [f"`{name}`", str(workers)]
            for at in COUNTS:
                table = figures([name], NAMES, SEEDS, workers, at, kept=True)
                low, high = interval(table.resampled()[:, 0].mean(axis=1))
                row.append(f"{table.means.mean():.3f} [{low:.3f}, {high:.3f}]")
            if seeds_of(name) >= seeds_of(name, workers):
                alone = figures([name], NAMES, seeds_of(name, workers), 1, 100, kept=True).means.mean()
                row.append(f"{100 * (table.means.mean() / alone - 1):+.0f}%")
            else:
                row.append("")
            rows.append((workers, table.means.mean(), row))
    return _markdown(head, [row for *_, row in sorted(rows, key=lambda r: r[:2])])


def _times() -> str:
    known = timing.read()
    head = ["algorithm", "version", *(f"{n:,} trials" for n in timing.LENGTHS)]
    rows = []
    for name, entry in known.items():
        seconds = entry["seconds"]
        cells = [f"{1000 * seconds[str(n)]:.3g} ms" if str(n) in seconds else "" for n in timing.LENGTHS]
        rows.append([f"`{name}`", entry["version"], *cells])
    return _markdown(head, sorted(rows, key=lambda row: known[row[0].strip("`")]["seconds"].get("100", 9e9)))


def _fidelity() -> str:
    head = ["algorithm", *(f"after {n}" for n in fidelity.AT), "trainings to tpe's end (by problem)"]
    return _markdown(head, fidelity.table())


def _problems() -> str:
    head = ["problem", "what", "dimensions", "best", "random", "surrogate: R2, rank correlation"]
    rows = []
    from benchmarks.search.problems.spaces import TASKS

    facts = json.loads(FACTS.read_text())
    for name in NAMES:
        p = problem(name)
        kinds = [type(q).__name__.lower() for q in p.space.dimensions]
        mix = ", ".join(f"{kinds.count(k)} {k}" for k in ("float", "int", "choice") if k in kinds)
        some = sum(q.when is not None for q in p.space.dimensions)
        what = p.family
        fit = ""
        if name in TASKS:
            task = TASKS[name]
            what = f"{task.rows} trainings" if task.rows else "all configurations"
            if p.levels:
                what += f", after {', '.join(map(str, p.levels))} {task.unit}"
            fit = "{:.2f}, {:.2f}".format(*facts[name]["surrogate"]) if task.rows else "exact"
        mix += f", {some} conditional" if some else ""
        rows.append([f"`{name}`", what, mix, f"{p.best:.5g}", f"{p.median:.5g}", fit])
    return _markdown(head, rows)


def _by_problem() -> str:
    names = full()
    table = figures(names, NAMES, SEEDS, 1, 100, kept=True)
    rows = []
    for name, regrets in table.regrets.items():
        means = regrets.mean(axis=1)
        rows.append([f"`{name}`", *(f"**{m:.3f}**" if m == means.min() else f"{m:.3f}" for m in means)])
    return _markdown(["at 100", *(f"`{n}`" for n in names)], rows)


def _version(name: str, workers: int) -> str:
    if algorithms.parse(name)[0] in algorithms.PEERS:
        return store.read_kept(name, workers).version
    return "this one"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "Nothing has been measured yet."
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
