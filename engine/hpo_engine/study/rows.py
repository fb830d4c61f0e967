"""Rows as the event log has them: their JSON form, and rows that stay text until they are needed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import dropwhile
from typing import Any, overload

from hpo_engine.errors import JournalError
from hpo_engine.study.objective import Row


def to_json(rows: Sequence[Row]) -> list[Any]:
    """[[step, {metric: value}], ...]; values that are not finite become the strings "nan", "inf" and "-inf"."""
    return [[_pack(r.step), {k: _pack(v) for k, v in r.values.items()}] for r in rows]


def from_json(found: Any) -> tuple[Row, ...]:
    """The inverse of `to_json`. Raises TypeError, ValueError or AttributeError."""
    return tuple([Row(_unpack(step), {k: _unpack(v) for k, v in values.items()}) for step, values in found])


_NAMES = re.compile(r'("(?:[^"\\]|\\.)*"):').findall


class Unread(Sequence[Row]):
    """Rows whose JSON text has not been parsed yet. They are most of a log, and few of them are ever needed.

    Args:
        texts: JSON of `to_json`, at least one row each, without white space.

    Raises:
        JournalError: on access, if they cannot be parsed.
    """

    __slots__ = ("_read", "_texts")

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._texts = texts
        self._read: tuple[Row, ...] | None = None

    def __len__(self) -> int:
        return len(self.read())

    def __bool__(self) -> bool:
        return True

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, index: int | slice) -> Row | tuple[Row, ...]:
        if index in (0, -1) and self._read is None and (row := self._first_or_last(index)) is not None:
            return row
        return self.read()[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.read())

    def __eq__(self, other: object) -> bool:
        return self.read() == (other.read() if isinstance(other, Unread) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.read())

    def read(self) -> tuple[Row, ...]:
        if self._read is None:
            try:
                self._read = from_json(json.loads(f"[{','.join([text[1:-1] for text in self._texts])}]"))
            except (TypeError, ValueError, AttributeError) as error:
                raise JournalError(
                    f"rows in the event log cannot be read ({error}); restore it from a backup"
                ) from None
        return self._read

    def has(self, metric: str) -> bool:
        """Whether any row has the metric; the rows are not parsed for it."""
        if self._read is not None:
            return any(metric in row.values for row in self._read)
        # Values are numbers or "nan", "inf", "-inf", so what is followed by a colon is a name. A name may end in
        # another one behind an escaped quote.
        names = {json.dumps(metric, ensure_ascii=ascii) for ascii in (True, False)}
        key = re.compile(rf"(?<!\\)(?:{'|'.join(map(re.escape, names))}):")
        return any(key.search(text) for text in self._texts)

    def names_at_ends(self) -> set[str]:
        """The metrics of the first and the last row, without parsing them."""
        first, last = self._texts[0], self._texts[-1]
        found = _NAMES(f"{first[: first.find('],[')]} {last[max(0, last.rfind('],[')) :]}")
        return {json.loads(name) if "\\" in name else name[1:-1] for name in found}

    def pairs(self) -> Iterator[tuple[float, Mapping[str, Any]]]:
        """See the function `pairs`. Raises JournalError."""
        if self._read is not None:
            return ((row.step, row.values) for row in self._read)
        try:
            found = json.loads(f"[{','.join([text[1:-1] for text in self._texts])}]")
        except ValueError as error:
            raise JournalError(f"rows in the event log cannot be read ({error}); restore it from a backup") from None
        return iter(found)

    def _first_or_last(self, index: Any) -> Row | None:
        """The row at index 0 or -1; None if it cannot be read without the others."""
        text = self._texts[index]
        cut = text.find("],[") if index == 0 else text.rfind("],[")
        if cut >= 0:
            text = f"{text[: cut + 1]}]" if index == 0 else f"[{text[cut + 2 :]}"
        try:
            # If the cut is not between two rows but in a name, a quote is missing or too many: that is not JSON.
            rows = from_json(json.loads(text))
        except (TypeError, ValueError, AttributeError):
            return None
        return rows[0] if len(rows) == 1 else None


def metric_names(rows: Sequence[Row]) -> Collection[str]:
    """The metrics of the rows; of unread rows, which stay unread, those of the first and the last one."""
    if isinstance(rows, Unread):
        return rows.names_at_ends()
    return {name for row in rows for name in row.values}


def pairs(rows: Sequence[Row]) -> Iterable[tuple[float, Mapping[str, Any]]]:
    """(step, values) of each row. Unread rows stay unread, which saves time and memory if one look is enough; a number
    that is not finite is then text ("nan", "inf", "-inf")."""
    return rows.pairs() if isinstance(rows, Unread) else ((row.step, row.values) for row in rows)


def has_metric(rows: Sequence[Row], metric: str) -> bool:
    """Whether any row has the metric; unread rows stay unread."""
    return rows.has(metric) if isinstance(rows, Unread) else any(metric in row.values for row in rows)


def joined(rows: Sequence[Row], more: Sequence[Row]) -> Sequence[Row]:
    """The rows followed by the others; unread if both are."""
    if isinstance(rows, Unread) and isinstance(more, Unread):
        return Unread((*rows._texts, *more._texts))
    return (*rows, *more) if rows else more


def continued(rows: Sequence[Row], more: Sequence[Row]) -> Sequence[Row]:
    """The rows when training has gone on from them: `more` in place of what was reported from its first step on."""
    if not rows or not more:
        return more or rows
    first = min(row.step for row in more)
    return (*(row for row in rows if row.step < first), *more)


def added(base: Sequence[Row], rows: Sequence[Row], same: Callable[[Row, Row], bool] | None = None) -> tuple[Row, ...]:
    """Of a trial's rows, those from the first one on that was not in `base`, from which training went on.

    Args:
        same: whether a row is one of `base` at its step (default: `same_row`).
    """
    alike = same_row if same is None else same
    known: dict[float, list[Row]] = {}
    for row in base:
        known.setdefault(row.step, []).append(row)
    return tuple(dropwhile(lambda row: any(alike(row, other) for other in known.get(row.step, ())), rows))


def same_row(a: Row, b: Row, but: Callable[[str], object] = lambda metric: False) -> bool:
    """Equality by which NaN is NaN. `but`: whether a metric does not count."""
    if a is b:
        return True
    x, y = a.values, b.values
    return a.step == b.step and x.keys() == y.keys() and all(
        x[m] == y[m] or (x[m] != x[m] and y[m] != y[m]) or but(m) for m in x
    )  # fmt: skip


def same_rows(rows: Sequence[Row], others: Sequence[Row], but: Callable[[str], object] = lambda metric: False) -> bool:
    """As many rows, each the same as its counterpart."""
    return len(rows) == len(others) and all(same_row(a, b, but) for a, b in zip(rows, others, strict=True))


def _pack(value: float) -> float | str:
    return value if value - value == 0 else ("nan" if value != value else "inf" if value > 0 else "-inf")


def _unpack(value: float | str) -> float:
    return float(value) if isinstance(value, str) else value
