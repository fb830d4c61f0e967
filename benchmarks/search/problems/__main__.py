"""Writes reference.json and, with `--facts`, facts.json: `python -m benchmarks.search.problems`.

Facts are what the league table says of the problems: the mean normalised regret of random search after so many
evaluations (from 20,000 draws), and how well a table's surrogate foretells rows that it has not seen.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from benchmarks.search.problems import ALL, FACTS, REFERENCE, pool, reference
from benchmarks.search.problems.spaces import TASKS

COUNTS = sorted({int(n) for n in np.geomspace(1, 10_000, 80)})


def facts(name: str) -> dict[str, Any]:
    from benchmarks.search.compare import expected
    from benchmarks.search.problems.table import quality

    curve = expected(pool(name), np.array(COUNTS))
    out: dict[str, Any] = {"random": [[n, float(f"{r:.4g}")] for n, r in zip(COUNTS, curve.tolist(), strict=True)]}
    if name in TASKS and TASKS[name].rows:
        out["surrogate"] = [round(v, 3) for v in quality(name)]
    return out


def lines(known: dict[str, Any]) -> str:
    rows = ",\n".join(f'"{k}": {json.dumps(v, separators=(",", ":"))}' for k, v in known.items())
    return "{\n" + rows + "\n}\n"


if __name__ == "__main__":
    if "--facts" in sys.argv:
        FACTS.write_text(lines({name: facts(name) for name in ALL}))
    else:
        REFERENCE.write_text(lines({name: reference(name) for name in ALL}))
