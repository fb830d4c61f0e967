"""Which of a script's parameters a study searches, which it leaves alone, and what the script needs anyway."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hpo_engine.studyfile.starter.interface import Parameter, Project, Reading
from hpo_engine.studyfile.starter.kinds import Kind, kind_of
from hpo_engine.studyfile.starter.ranges import GUESS, propose

MOST_SEARCHED = 8
"""Of the parameters that a script has defaults for: twenty trials say little about more."""

_MOST_VALUES = 12
_RESULTS = re.compile(
    r"(?i)(^|[._-])(out|output|save|log|result|checkpoint|ckpt|run|work|model)s?_?(dir|path|folder)?$"
)
_WIDTHS = re.compile(r"(?i)(^|[._])(n_?embd?|d_?model|hidden(_(dim|size))?|emsize|emb(ed|edding)?_?(dim|size))$")
_HEADS = re.compile(r"(?i)heads?$")


@dataclass(frozen=True)
class Entry:
    """A parameter with its entry in the space, and why it is that."""

    parameter: Parameter
    entry: Any
    why: str

    @property
    def guessed(self) -> bool:
        return self.why == GUESS or self.why.startswith("CHECK")

    @property
    def constant(self) -> bool:
        return not isinstance(self.entry, dict) or "constant" in self.entry


@dataclass(frozen=True)
class Plan:
    """What becomes of the parameters of a reading.

    Attributes:
        searched: those in the space, in the order of the script.
        more: those that could be searched too, with the entries that they would have.
        given: those that the script must get, with a word of the command as the value: (parameter, value).
        fixed: those that keep the script's own values.
        missing: those that the script must get, and no value is known.
    """

    searched: tuple[Entry, ...] = ()
    more: tuple[Entry, ...] = ()
    given: tuple[tuple[Parameter, str], ...] = ()
    fixed: tuple[Parameter, ...] = ()
    missing: tuple[Parameter, ...] = ()


def placed(parameter: Parameter) -> bool:
    """Whether the script gets it elsewhere than from config.json."""
    return bool(parameter.option or parameter.word or parameter.key or parameter.variable)


def plan(reading: Reading, project: Project) -> Plan:
    """All that is read from config.json is written there; of what a script has defaults for, the promising part."""
    here = [p for p in reading.parameters if not placed(p)]
    ranked = [p for p in reading.parameters if placed(p)]
    order = _in_order_of_promise(ranked)
    needed = {p.name for p in order if p.required or p.entry is not None}
    free = [p.name for p in order if p.name not in needed]
    chosen = needed | set(free[: max(0, MOST_SEARCHED - len(needed))]) | {p.name for p in here}
    entries = {p.name: Entry(p, *propose(p)) for p in [*here, *order]}
    rest = [p for p in ranked if p.name not in entries]
    values = {p.name: value for p in rest if p.required and (value := _value_for(p, project)) is not None}
    return Plan(
        searched=tuple(entries[p.name] for p in reading.parameters if p.name in chosen),
        more=tuple(entries[p.name] for p in order if p.name not in chosen),
        given=tuple((p, values[p.name]) for p in rest if p.name in values),
        fixed=tuple(p for p in rest if not p.required),
        missing=tuple(p for p in rest if p.required and p.name not in values),
    )


def worth_searching(parameters: Iterable[Parameter]) -> bool:
    return any(not placed(p) for p in parameters) or bool(_in_order_of_promise(list(parameters)))


def _in_order_of_promise(parameters: list[Parameter]) -> list[Parameter]:
    bound = _bound_by_heads(parameters)
    ranked = [(rank, p) for p in parameters if p.name not in bound and (rank := _rank(p)) is not None]
    known = [rank for rank, _ in ranked if rank < Kind.OTHER.rank]
    # Whole numbers of unknown meaning often are sizes and limits: searched only if there is nothing else.
    kept = [(rank, p) for rank, p in ranked if not known or rank < Kind.OTHER.rank or not _is_whole(p)]
    return [p for _, p in sorted(kept, key=lambda pair: pair[0])]


def _rank(parameter: Parameter) -> int | None:
    """Small: promising; None: not to be searched."""
    if parameter.entry is not None:
        return -1
    kind, default = kind_of(parameter.name), parameter.default
    if not kind.searched or parameter.many or isinstance(default, (list, tuple)):
        return None
    if parameter.type is bool or isinstance(default, bool):
        return kind.rank if kind is not Kind.OTHER and isinstance(default, bool) else None
    if parameter.choices:
        return kind.rank if len(parameter.choices) <= _MOST_VALUES else None
    if parameter.type is str or isinstance(default, str):
        return None
    if default is None and not parameter.required and parameter.type is not float:
        return None  # a whole number without a default often is a limit that is usually left out
    if default is None and parameter.type is None:
        return None
    entry, _ = propose(parameter)
    return kind.rank if isinstance(entry, dict) else None


def _is_whole(parameter: Parameter) -> bool:
    return not parameter.required and (
        parameter.type is int or (isinstance(parameter.default, int) and parameter.type is not float)
    )


def _bound_by_heads(parameters: list[Parameter]) -> set[str]:
    """The heads of attention, which have to divide a width; the widths, too, unless they and the heads are powers of
    two."""
    heads = [p for p in parameters if _HEADS.search(p.name)]
    widths = [p for p in parameters if _WIDTHS.search(p.name)] if heads else []
    if not widths:
        return set()
    powers = all(_is_power_of_two(p.default) for p in heads + widths)
    divides = powers and all(head.default <= width.default // 4 for head in heads for width in widths)
    return {p.name for p in (heads if divides else heads + widths)}


def _is_power_of_two(value: Any) -> bool:
    return isinstance(value, int) and value > 0 and not value & (value - 1)


def _value_for(parameter: Parameter, project: Project) -> str | None:
    """A word for what the script must get and no study searches: the trial's folder, or data of the project."""
    if parameter.default is not None:
        return str(parameter.default)
    if parameter.choices:
        return str(parameter.choices[0])
    if _RESULTS.search(parameter.name):
        return "{result_dir}"
    names = project.list("")
    stem = re.sub(r"(?i)[._-]?(dir|path|folder|file|root)$", "", parameter.name).lower()
    folders = [name.rstrip("/") for name in names if name.endswith("/")]
    for wanted in (stem, "data") if stem in ("data", "dataset", "input", "") else (stem,):
        if wanted in folders:
            return wanted
    files = [name for name in names if name.lower().endswith((".csv", ".tsv", ".txt", ".parquet", ".npz"))]
    return files[0] if len(files) == 1 and re.search("(?i)data|input|csv|file|train", parameter.name) else None
