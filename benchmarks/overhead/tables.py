"""The tables of docs/performance.md, between their marks.

Rows that were not measured this time are left out; a table of which nothing was measured stays as it is.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- overhead -->", "<!-- /overhead -->"
ORDINARY, ORDINARY_END = "<!-- ordinary -->", "<!-- /ordinary -->"
COMMANDS, COMMANDS_END = "<!-- commands -->", "<!-- /commands -->"


def write(path: Path, found: dict[str, Any]) -> None:
    text = path.read_text()
    if found.keys() - {"ordinary", "commands"}:
        text = _between(text, BEGIN, END, table(found))
    if "ordinary" in found:
        text = _between(text, ORDINARY, ORDINARY_END, ordinary(found["ordinary"]))
    if "commands" in found:
        text = _between(text, COMMANDS, COMMANDS_END, commands(found["commands"]))
    path.write_text(text)


def _between(text: str, begin: str, end: str, new: str) -> str:
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n{new}{end}{tail}"


def ordinary(found: dict[str, Any]) -> str:
    rows = [[f"seconds of {found['trials']} trials", "1 at a time", "2 at a time", "ratio"]]
    for name, row in found.items():
        if name != "trials" and "problem" in row:
            rows.append([name, "does not run here", "", ""])
        elif name != "trials":
            rows.append([name, f"{row['one_s']:.1f}", f"{row['two_s']:.1f}", f"{row['ratio']:.2f}"])
    return f"{_rows(rows)}\n{_machine()}"


def commands(found: dict[str, Any]) -> str:
    rows = [["command", "ms", 'ratio to `python -c "import rich, yaml"`']]
    for name, row in found["startup"].items():
        if name != "bare":
            rows.append([f"`hpo-engine {name}`", f"{row['ms']:.0f}", f"{row['ratio']:.1f}"])
    adopted = (
        f"A new engine has taken over {found['adopted']} running trials {found['adopted_s']:.1f} s after the start of "
        "its process, imports\nincluded.\n"
    )
    return f"{_rows(rows)}\n{adopted}\n{_machine()}"


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}.\n"


def table(found: dict[str, Any]) -> str:
    blocks = []
    scripts = [title for title in found if title.startswith("no-op") or title == "Lightning"]
    if scripts:
        names: list[str] = []
        for title in scripts:
            names += [name for name in found[title] if name not in names]
        head = ["ms per trial (ratio to the bare loop)", *(_TITLES.get(title, title) for title in scripts)]
        blocks.append(_rows([head, *([name, *(_cell(found[t].get(name)) for t in scripts)] for name in names)]))
    facts = []
    if "memory" in found:
        cold, warm = found["memory"]["off"], found["memory"]["auto"]
        facts.append([
            "memory of a Lightning trial (proportional set size), cold and warm",
            f"{cold['trial_mb']:.0f} and {warm['trial_mb']:.0f} MB; three of them with what starts them "
            f"{cold['all_mb']:.0f} and {warm['all_mb']:.0f} MB",
        ])  # fmt: skip
    if "long" in found:
        long = found["long"]
        facts += [
            [
                f"trials 1 to 100 and the last 100 of {long['trials']:,}, two at a time",
                f"{long['first_ms']:.1f} and {long['last_ms']:.1f} ms per trial, ratio {long['ratio']:.2f}",
            ],
            [f"memory of the engine after {long['trials']:,} trials", f"{long['engine_mb']:.0f} MB"],
            [
                f"`list`, `show`, `best` of {long['trials']:,} trials",
                ", ".join(f"{long[f'{verb}_s']:.2f} s" for verb in ("list", "show", "best")),
            ],
        ]
    if "watch" in found:
        watch = found["watch"]
        facts.append(
            [f"the engine, while {watch['trials']} trials report each second", f"{watch['percent']:.1f}% of a core"]
        )
    if facts:
        blocks.append(_rows([["", ""], *facts]))
    return "\n".join([*blocks, _machine()])


_TITLES = {"Lightning": "Lightning, 3 epochs on digits"}


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if "problem" in row:
        return "does not run here"
    return f"{row['ms']:,.1f} ({row['ratio']:.2f})" if row["ms"] < 1000 else f"{row['ms']:,.0f} ({row['ratio']:.2f})"


def _rows(rows: list[list[str]]) -> str:
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
