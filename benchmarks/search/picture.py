"""Draws the league as an SVG: regret against evaluations, and average ranks. Text and lines only, no library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from benchmarks.search import algorithms
from benchmarks.search.compare import figures, interval, ranks
from benchmarks.search.problems import NAMES

_OURS = ("#b3261e", "#d9730d", "#8e24aa", "#c2185b", "#5d4037", "#e0a100")
_THEIRS = ("#1f6fb2", "#2e8b57", "#00838f", "#5c6bc0", "#78909c", "#455a64", "#7cb342", "#26a69a")
_WIDTH, _HEIGHT = 880, 400
_SHOWN = (
    "auto", "tpe", "bayesian", "optuna-tpe", "optuna-tpe-independent", "optuna-cmaes", "hyperopt", "nevergrad",
    "random",
)  # fmt: skip


def draw(path: Path, names: Sequence[str], most_seeds: int) -> None:
    """Curves of a handful on the left, ranks of all `names` on the right."""
    shown = [n for n in _SHOWN if n in names]
    colours = _colours(names)
    counts = np.unique(np.geomspace(5, 100, 40).astype(int))
    curves: dict[str, list[Any]] = {n: [] for n in shown}
    for at in counts:
        table = figures(shown, NAMES, most_seeds, 1, int(at), kept=True)
        for name, mean in zip(shown, table.means.mean(axis=1), strict=True):
            curves[name].append(float(mean))
    table = figures(names, NAMES, most_seeds, 1, 100, kept=True)
    own, samples = ranks(table.means).mean(axis=1), ranks(table.resampled()).mean(axis=2)
    bars = sorted((float(own[i]), *interval(samples[:, i]), n) for i, n in enumerate(names))
    seeds = next(iter(table.regrets.values())).shape[1]
    body = [*_curves(counts, curves, colours), *_bars(bars, colours, seeds)]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="Helvetica, Arial, sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _curves(counts: np.ndarray, curves: dict[str, list[float]], colours: dict[str, str]) -> list[str]:
    left, top, width, height = 50, 40, 400, 300
    values = np.array(list(curves.values()))
    low, high = 0.95 * values.min(), 1.02 * values.max()

    def x(n: float) -> float:
        return left + width * float(np.log(n / counts[0]) / np.log(counts[-1] / counts[0]))

    def y(v: float) -> float:
        return top + height * float(np.log(high / v) / np.log(high / low))

    out = [_text(left, 22, "Mean normalised regret after so many evaluations", bold=True)]
    for n in (5, 10, 20, 50, 100):
        out.append(f'<path d="M{x(n):.1f} {top}V{top + height}" stroke="#eceff1"/>')
        out.append(_text(x(n), top + height + 18, str(n), anchor="middle"))
    for v in (0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5):
        if low < v < high:
            out.append(f'<path d="M{left} {y(v):.1f}H{left + width}" stroke="#eceff1"/>')
            out.append(_text(left - 6, y(v) + 4, f"{v:g}", anchor="end"))
    ends = _spread([y(line[-1]) for line in curves.values()], 13)
    for (name, line), end in zip(curves.items(), ends, strict=True):
        points = "L".join(f"{x(n):.1f} {y(v):.1f}" for n, v in zip(counts, line, strict=True))
        ours = algorithms.parse(name)[0] not in algorithms.PEERS and name != "random"
        out.append(f'<path d="M{points}" fill="none" stroke="{colours[name]}" stroke-width="{2.6 if ours else 1.4}"/>')
        out.append(_text(left + width + 6, end + 4, name, colour=colours[name], bold=ours))
    return out


def _bars(bars: Sequence[tuple[float, float, float, str]], colours: dict[str, str], seeds: int) -> list[str]:
    left, top, width = 690, 40, 170
    step = min(24.0, 310 / max(len(bars), 1))
    most = max(high for _, _, high, _ in bars)
    out = [_text(left - 100, 22, "Average rank at 100, with its 90% interval", bold=True)]
    for i, (rank, low, high, name) in enumerate(bars):
        y = top + i * step
        ours = algorithms.parse(name)[0] not in algorithms.PEERS and name != "random"
        out.append(_text(left - 6, y + step / 2 + 4, name, anchor="end", colour=colours[name], bold=ours))
        out.append(
            f'<rect x="{left}" y="{y + 3:.1f}" width="{width * rank / most:.1f}" height="{step - 6:.1f}" '
            f'fill="{colours[name]}" opacity="0.75"/>'
        )
        middle = y + step / 2
        out.append(
            f'<path d="M{left + width * low / most:.1f} {middle:.1f}H{left + width * high / most:.1f}" '
            f'stroke="#212121" stroke-width="1.2"/>'
        )
        out.append(_text(left + 4, y + step / 2 + 4, f"{rank:.1f}", colour="#ffffff", bold=True))
    out.append(_text(left - 100, _HEIGHT - 12, f"{len(NAMES)} problems, {seeds} seeds each; lower is better"))
    return out


def _colours(names: Sequence[str]) -> dict[str, str]:
    ours = [n for n in names if algorithms.parse(n)[0] not in algorithms.PEERS and n != "random"]
    theirs = [n for n in names if n not in ours and n != "random"]
    out = {"random": "#9e9e9e"}
    first = sorted(ours, key=lambda n: (_SHOWN.index(n) if n in _SHOWN else 99, n))
    out.update({n: _OURS[i % len(_OURS)] for i, n in enumerate(first)})
    out.update({n: _THEIRS[i % len(_THEIRS)] for i, n in enumerate(theirs)})
    return out


def _spread(places: Sequence[float], gap: float) -> list[float]:
    """Moves labels apart that would lie on each other."""
    order = np.argsort(places)
    out = list(places)
    for a, b in zip(order, order[1:], strict=False):
        out[b] = max(out[b], out[a] + gap)
    return out


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#37474f", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(text)}</text>'
