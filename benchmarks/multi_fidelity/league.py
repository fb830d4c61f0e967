"""Writes the tables of multi_fidelity.md between their marks, and the picture, from the results in the repository."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.multi_fidelity import report, store
from benchmarks.multi_fidelity.curves import NAMES
from benchmarks.multi_fidelity.report import Key
from benchmarks.multi_fidelity.tasks import TASKS, data_path

PAGE = Path(__file__).parent.parent / "multi_fidelity.md"
PICTURE = Path(__file__).parent / "regret.svg"


def tasks() -> list[str]:
    return [name for name in NAMES if name not in TASKS or data_path(name).exists()]


def kept() -> list[Key]:
    """What there are results of."""
    out: list[Key] = []
    for path in sorted(store.RESULTS.glob("*.json")):
        if found := re.search(r"\.w(\d+)\.(carry|anew)\.json$", path.name):
            out.append((store.name_of(path), int(found[1]), found[2] == "carry"))
    return out


def write() -> None:
    one = [key for key in kept() if key[1] == 1]
    text = PAGE.read_text()
    text = _put(text, "tuning", report.summary(one, report.split(True)))
    text = _put(text, "held out", report.summary(one, report.split(False)))
    main = [
        key for key in one if key[0] in ("tpe", "auto", "auto+resource", "asha", "bohb", "optuna-hyperband", "random")
    ]
    text = _put(text, "by task", report.by_task(main, tasks()))
    several = [key for key in kept() if key[1] > 1]
    rows: list[str] = []
    for workers in sorted({key[1] for key in several}):
        rows += [f"{workers} workers:", "", *report.summary([k for k in several if k[1] == workers], tasks()), ""]
    text = _put(text, "workers", rows)
    PAGE.write_text(text)
    report.picture(one, tasks(), PICTURE)


def _put(text: str, name: str, lines: Sequence[str]) -> str:
    begin, end = f"<!-- {name}: written by --league -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    body = "\n".join(lines).strip()
    return f"{before}{begin}\n{body}\n{end}{after}"
