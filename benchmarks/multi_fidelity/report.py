"""What the results say: regret of the incumbent at full length against epochs trained, ranks, and how sure that is.

Only seeds that all tools have on a task are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.multi_fidelity import store
from benchmarks.multi_fidelity.curves import NAMES, World, world
from benchmarks.multi_fidelity.execute import BUDGET
from benchmarks.multi_fidelity.tasks import TASKS
from benchmarks.search.compare import interval, ranks

AT = (10.0, 20.0, BUDGET)
_RESAMPLES = 2000
Key = tuple[str, int, bool]
"""A tool, the number of workers, whether promoted runs carry on."""


def label(key: Key) -> str:
    word, _, carry = key
    return f"`{word}`" + (", carrying on" if carry else "")


def regrets(problem: World, runs: Sequence[store.Steps], at: Sequence[float]) -> np.ndarray:
    """(seeds, at): of the incumbent after so many full trainings' worth of epochs; 1 before there is one. Runs that
    were under way when the budget was given out count at its end."""
    out = np.ones((len(runs), len(at)))
    for i, steps in enumerate(runs):
        for j, limit in enumerate(at):
            losses = [loss for spent, loss in steps if spent <= limit + 1e-6 or limit >= BUDGET]
            out[i, j] = problem.regret(min(losses)) if losses else 1.0
    return out


class Table:
    """The regrets (tools, seeds, at) of the tools by task."""

    def __init__(self, keys: Sequence[Key], tasks: Sequence[str], at: Sequence[float], folder: Path) -> None:
        self.keys, self.at, self.blocks = list(keys), list(at), dict[str, np.ndarray]()
        found = [store.read(*key, folder) for key in keys]
        for task in tasks:
            seeds = set.intersection(*(set(runs.get(task, {})) for runs in found))
            if seeds:
                each = [regrets(world(task), [runs[task][s] for s in sorted(seeds)], at) for runs in found]
                self.blocks[task] = np.stack(each)

    @property
    def means(self) -> np.ndarray:  # (tools, tasks, at)
        return np.stack([block.mean(axis=1) for block in self.blocks.values()], axis=1)

    def resampled(self) -> np.ndarray:  # (resamples, tools, at): means over tasks, seeds drawn anew within each
        rng = np.random.default_rng(0)
        draws = []
        for block in self.blocks.values():
            picks = rng.integers(block.shape[1], size=(_RESAMPLES, block.shape[1]))
            draws.append(block[:, picks].mean(axis=2).transpose(1, 0, 2))
        return np.mean(draws, axis=0)


def summary(keys: Sequence[Key], tasks: Sequence[str], folder: Path = store.RESULTS) -> list[str]:
    """A Markdown table, the best at the end first."""
    table = Table(keys, tasks, AT, folder)
    if not table.blocks:
        return ["No runs in common."]
    means, draws = table.means, table.resampled()
    places = ranks(means[:, :, -1]).mean(axis=1)
    lines = ["| tool | after 10 | after 20 | after 30 | rank |", "| --- | --- | --- | --- | --- |"]
    for i in np.argsort(means[:, :, -1].mean(axis=1), kind="stable"):
        low, high = interval(draws[:, i, -1])
        early = " | ".join(f"{v:.3f}" for v in means[i, :, :-1].mean(axis=0))
        end = f"{means[i, :, -1].mean():.3f} [{low:.3f}, {high:.3f}]"
        lines.append(f"| {label(table.keys[i])} | {early} | {end} | {places[i]:.1f} |")
    counts = {block.shape[1] for block in table.blocks.values()}
    lines += ["", f"{len(table.blocks)} tasks, {' to '.join(map(str, sorted({min(counts), max(counts)})))} seeds each."]
    return lines


def by_task(keys: Sequence[Key], tasks: Sequence[str], folder: Path = store.RESULTS) -> list[str]:
    """A Markdown table of the regret at the end."""
    table = Table(keys, tasks, AT, folder)
    lines = ["| task | " + " | ".join(map(label, keys)) + " |", "| --- |" + " --- |" * len(keys)]
    for task, block in table.blocks.items():
        ends = block[:, :, -1].mean(axis=1)
        cells = [f"**{v:.3f}**" if v == ends.min() else f"{v:.3f}" for v in ends]
        lines.append(f"| {task} | {' | '.join(cells)} |")
    return lines


def split(tuning: bool) -> list[str]:
    """The tasks that were seen while searchers were tuned, or the others."""
    return [name for name in NAMES if (name not in TASKS or TASKS[name].tuning) is tuning]


def picture(keys: Sequence[Key], tasks: Sequence[str], path: Path, folder: Path = store.RESULTS) -> None:
    """An SVG of the mean regret against the epochs trained, in full trainings."""
    grid = np.arange(1, BUDGET + 0.5, 0.5)
    table = Table(keys, tasks, grid.tolist(), folder)
    means = table.means.mean(axis=1)  # (tools, at)
    width, height, left, top = 760, 440, 60, 20
    inner_w, inner_h = 480, 370
    low, high = 0.9 * max(means.min(), 1e-3), 1.0

    def at(x: float, y: float) -> str:
        across = left + inner_w * x / BUDGET
        down = top + inner_h * (np.log(high) - np.log(max(y, low))) / (np.log(high) - np.log(low))
        return f"{across:.1f},{down:.1f}"

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for y in (1, 0.5, 0.3, 0.2, 0.1, 0.05):
        if y >= low:
            begin, end = at(0, y), at(BUDGET, y)
            out.append(f'<polyline points="{begin} {end}" stroke="#ddd" fill="none"/>')
            out.append(f'<text x="{left - 8}" y="{float(begin.split(",")[1]) + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in range(0, int(BUDGET) + 1, 5):
        out.append(
            f'<text x="{left + inner_w * x / BUDGET:.1f}" y="{top + inner_h + 18}" text-anchor="middle">{x}</text>'
        )
    out.append(f'<text x="{left}" y="{top + inner_h + 38}">epochs trained, in full trainings; mean regret</text>')
    order = np.argsort(means[:, -1])
    for place, i in enumerate(order.tolist()):
        colour = f"hsl({360 * i / len(keys):.0f},70%,{35 + 15 * (i % 2)}%)"
        points = " ".join(at(x, y) for x, y in zip(grid.tolist(), means[i].tolist(), strict=True))
        thick = 3 if keys[i][0] == "auto+resource" else 1.5
        out.append(f'<polyline points="{points}" stroke="{colour}" stroke-width="{thick}" fill="none"/>')
        name = f"{label(keys[i]).replace('`', '')} {means[i, -1]:.3f}"
        out.append(f'<text x="{left + inner_w + 12}" y="{top + 14 + 18 * place}" fill="{colour}">{name}</text>')
    path.write_text("\n".join([*out, "</svg>"]) + "\n")
