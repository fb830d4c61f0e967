"""What `hpo-engine init` says on the terminal: what it found in a script, what it guessed, and what it did not find."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from hpo_engine.studyfile.starter.findings import Findings
from hpo_engine.text.quoting import listed
from hpo_engine.text.tables import counted

_LABEL = 13
_LEAST = 20


def summary(found: Findings, width: int | None) -> Iterator[str]:
    """Lines of `width` columns; None: of 80."""
    for label, text in _rows(found):
        lines = textwrap.wrap(text, max(_LEAST, (width or 80) - _LABEL), break_on_hyphens=False)
        for number, line in enumerate(lines):
            yield f"  {label if number == 0 else '':<{_LABEL - 2}}{line}"


def _rows(found: Findings) -> Iterator[tuple[str, str]]:
    plan, metrics = found.plan, found.metrics
    count = len(found.reading.parameters)
    if count:
        manner = found.reading.manner or "its text"
        yield "found", f"{counted(count, 'parameter')} in {manner}"
    else:
        yield "not found", "parameters"
    for label, entries in (
        ("searched", [e for e in plan.searched if not e.constant]),
        ("constant", [e for e in plan.searched if e.constant]),
    ):
        if entries:
            yield label, ", ".join(e.parameter.name for e in entries)
    if guesses := [e.parameter.name for e in plan.searched if e.guessed]:
        yield "guessed", f"the range{'s' * (len(guesses) != 1)} of {', '.join(guesses)}"
    for parameter, value in plan.given:
        yield "guessed", f"{parameter.option or parameter.name} {value}"
    left = len(plan.fixed) + len(plan.more)
    if left:
        names = [*(e.parameter.name for e in plan.more), *(p.name for p in plan.fixed)]
        yield "left alone", listed(names, 8)
    if metrics.known:
        where = "in its output" if metrics.printed else f"in {metrics.elsewhere}" if metrics.elsewhere else ""
        objectives = [(metrics.objective, metrics.goal), *found.reading.further]
        text = ", ".join(f"{goal} {name}" for name, goal in objectives)
        yield "objective", f"{text} ({where})" if where else text
    else:
        yield (
            "not found",
            f"metrics; the objective is a guess: {metrics.objective}; hpo-engine check shows what there is",
        )
