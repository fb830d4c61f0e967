"""The formats in which scripts report metrics: val_dict_list.json and IBM's evaluation-metrics.txt, bytes to rows.

Tolerant of their habits and of nothing that costs time or memory: any input is read or refused in under a second.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo_engine.contract.paths import EMETRICS, RESULT
from hpo_engine.errors import ContractError
from hpo_engine.study.objective import Row
from hpo_engine.text.quoting import quoted

MAX_ENTRIES = 200_000  # of a result file
MAX_LINES = 100_000  # of an emetrics file
MAX_VALUES = 600_000  # in a file; together these keep the reading of any file under a second
MAX_LINE = 1 << 20


def parse_rows(data: bytes, named: Collection[str] = ()) -> tuple[Row, ...]:
    """The rows of a val_dict_list.json.

    A list of objects, or one object. The step is the first usable of step, steps, epoch, iteration (a number, or a
    number in a string) that is not `named`: a metric that the study speaks of is no step. A row without one takes the
    step after the row before it, the first takes 1. Every other number is a metric, NaN and infinities too; true,
    strings, null and nested values are not. Entries that are no objects are passed over, unless all are. Of duplicate
    keys the last counts.

    Raises:
        ContractError: empty, torn, not JSON, too deep, too many entries, not a list of objects.
    """
    return parse(data, named)[0]


def parse(data: bytes, named: Collection[str] = ()) -> tuple[tuple[Row, ...], dict[str, str]]:
    """The rows, and what metrics that are no numbers are instead: {"loss": 'a string "0.3"'}."""
    found = _load(data)
    entries = found if isinstance(found, list) else [found]
    objects = [e for e in entries if type(e) is dict]
    if entries and not objects:
        raise ContractError(f'{RESULT} holds no objects: write a list such as [{{"step": 1, "loss": 0.3}}]')
    if len(objects) > MAX_ENTRIES:
        raise _too_many(RESULT, "entries", len(objects), MAX_ENTRIES)
    escapes = b"\\u" in data
    rows: list[Row] = []
    strange: dict[str, Any] = {}
    before: float = 0  # the step of the row before
    steps = tuple(key for key in _STEPS if key not in named)
    for entry in objects:
        key, step = _step_of(entry, steps)
        before = before + 1 if step is None else step
        values = {
            k: v if type(v) is float else _metric(v) for k, v in entry.items() if type(v) in _NUMBERS and k != key
        }
        if len(values) + (key is not None) < len(entry):
            strange.update({k: v for k, v in entry.items() if type(v) not in _NUMBERS and k != key})
        rows.append(Row(before, {printable(k): v for k, v in values.items()} if escapes else values))
    return tuple(rows), {printable(k): _describe(v) for k, v in strange.items()}


_NUMBERS = frozenset((int, float))  # not bool
_STEPS = ("step", "steps", "epoch", "iteration")
_BOM = b"\xef\xbb\xbf"


def _load(data: bytes) -> Any:
    if data.count(b"[") + data.count(b"{") > MAX_ENTRIES + 1000:
        raise _too_many(RESULT, "entries", data.count(b"[") + data.count(b"{"), MAX_ENTRIES)
    if (values := data.count(b",")) > MAX_VALUES:
        raise _too_many(RESULT, "values", values, MAX_VALUES)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:2]:
        raise ContractError(f"{RESULT} is not UTF-8 but UTF-16 text, or binary: write it as UTF-8")
    start = len(_BOM) if data.startswith(_BOM) else 0
    try:
        text = data[start:].decode()
    except UnicodeDecodeError as error:
        if error.end == len(data) - start and error.reason == "unexpected end of data":
            raise ContractError(f"{RESULT} is torn at byte {len(data)}") from None
        raise ContractError(f"{RESULT} is not UTF-8 text (byte {start + error.start})") from None
    if not text.strip():
        raise ContractError(f"{RESULT} is empty")
    try:
        return _json(text, data)
    except json.JSONDecodeError as error:
        raise ContractError(f"{RESULT} {_fault(text, error, data, start)}") from None
    except (RecursionError, ValueError, MemoryError) as error:
        why = "is nested too deeply" if isinstance(error, RecursionError) else f"cannot be read ({error})"
        raise ContractError(f"{RESULT} {why}") from None


_IS_DIGIT = bytes(48 if 48 <= i < 58 else 32 for i in range(256))
_LONG = 400  # digits; Python refuses integers of thousands, or takes minutes, and 1e400 is infinite anyway


def _json(text: str, data: bytes) -> Any:
    """`json.loads` that takes NaN and Infinity, and integers of any length in linear time."""
    if len(data) >= _LONG and b"0" * _LONG in data.translate(_IS_DIGIT):
        return json.loads(text, parse_int=_int)
    return json.loads(text)


def _int(text: str) -> float:
    if len(text) <= _LONG:
        return int(text)
    return -math.inf if text.startswith("-") else math.inf


_EXACT = 1 << 53  # up to here a float tells whole numbers apart


def _metric(value: float) -> float:
    """A number as a metric: a float; a whole number that no float holds stays as it is."""
    if -_EXACT <= value <= _EXACT:
        return float(value)
    try:
        return value if math.isfinite(value) else float(value)
    except OverflowError:
        return -math.inf if value < 0 else math.inf


def _number(text: str) -> float:
    """Raises ValueError."""
    try:
        return int(text)
    except ValueError:
        return float(text)


_CUT = ("true", "false", "null", "NaN", "Infinity", "-Infinity", ".", "e+", "e-", "E+", "E-")


def _fault(text: str, error: json.JSONDecodeError, data: bytes, start: int) -> str:
    """What is wrong with the text; "torn" if more text could have made it whole."""
    at = start + len(text[: error.pos].encode())
    if error.msg.startswith("Extra data"):
        return f"has more text after its end (from byte {at})"
    rest = text[error.pos :].strip()
    cut = not rest or error.msg.startswith("Unterminated") or any(word.startswith(rest) for word in _CUT)
    if cut or ("escape" in error.msg and len(rest) < 6):
        return f"is torn at byte {len(data)}"
    return f"is not JSON (byte {at}: {error.msg})"


def _too_many(name: str, what: str, count: int, limit: int) -> ContractError:
    return ContractError(f"{name} has too many {what} ({count:,}, at most {limit:,}): report less often")


def _step_of(entry: Mapping[str, Any], steps: Sequence[str]) -> tuple[str | None, float | None]:
    for key in steps:
        if key in entry and (step := _step(entry[key])) is not None:
            return key, step
    return None, None


def _step(value: Any) -> float | None:
    """A step as an int where it is one; None for what is no step (NaN, true, words, beyond 64 bits)."""
    if type(value) is str:
        try:
            value = _number(value) if len(value) <= 40 else None
        except ValueError:
            return None
    if type(value) not in _NUMBERS or not -(2**63) < value < 2**63:
        return None
    return int(value) if value == int(value) else float(value)


def _describe(value: Any) -> str:
    if isinstance(value, str):
        return f"a string {quoted(value)}"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "an object" if isinstance(value, dict) else "a number"


def printable(name: str) -> str:
    """Without half surrogate pairs, which no file, log or terminal takes."""
    return name.encode("utf-8", "replace").decode()


def parse_emetrics(data: bytes) -> tuple[Row, ...]:
    """The rows of an evaluation-metrics.txt, one JSON object a line; lines that are none (a torn last one) are skipped.

    Metrics of the group `test` keep their names, those of another group take its name in front: `train_loss`. Where
    nothing of `test` is there, the validation group's or else the training group's also count under their plain
    names: they are all that the script tells. An entry joins the row before it of its group if it has the same step
    and other metrics.

    Raises:
        ContractError: too many lines or values.
    """
    if (count := data.count(b"\n")) > MAX_LINES:
        raise _too_many(EMETRICS, "lines", count, MAX_LINES)
    if (count := data.count(b"[") + data.count(b"{")) > MAX_VALUES:
        raise _too_many(EMETRICS, "values", count, MAX_VALUES)
    entries = list(entries_of(data.split(b"\n")))
    groups = {entry.group: None for entry in entries}
    gathered = MergedRows()
    gathered.main = next((g for g in ("test", "validation", "valid", "val", "train", *groups) if g in groups), "test")
    gathered.add(entries)
    return tuple(gathered.rows)


@dataclass(frozen=True)
class Entry:
    group: str
    step: float | None
    values: Mapping[str, float]


def entries_of(lines: Iterable[bytes]) -> Iterator[Entry]:
    for line in lines:
        if b'"values"' not in line or len(line) > MAX_LINE:
            continue
        try:
            entry = _json(line.removeprefix(_BOM).decode(), line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(entry, dict) or not isinstance(entry.get("values"), dict):
            continue
        times, group = entry.get("etimes"), entry.get("grouplabel")
        step = None
        if isinstance(times, dict):
            step = next((s for key in ("iteration", *_STEPS) if (s := _step(_typed(times.get(key)))) is not None), None)
        values = {printable(k): v for k, raw in entry["values"].items() if (v := _typed(raw)) is not None}
        if values:
            yield Entry(printable(group)[:60] if isinstance(group, str) and group else "test", step, values)


def _typed(raw: Any) -> float | None:
    """The number in {"type": 3, "value": "0.31"}; a plain number will do, too."""
    if isinstance(raw, dict):
        if str(raw.get("type")) not in ("2", "3"):  # int, float; else it is a string
            return None
        raw = raw.get("value")
        if isinstance(raw, str):
            try:
                return _metric(_number(raw)) if len(raw) <= 400 else None
            except ValueError:
                return None
    return _metric(raw) if type(raw) in _NUMBERS else None


class MergedRows:
    """The rows that entries make; `main` is the group whose metrics have their plain names."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.main = "test"
        self._steps: dict[str, float] = {}  # of each group's latest row

    def add(self, entries: Iterable[Entry]) -> None:
        """Appends; rows that stood there before are left as they are."""
        latest: dict[str, dict[str, float]] = {}  # the values of each group's latest row, if it is one of these entries
        for entry in entries:
            group, values = entry.group, dict(entry.values)
            if group != "test":
                values = {f"{group}_{k}": v for k, v in values.items()} | (values if group == self.main else {})
            before = self._steps.get(group, 0)
            if group in latest and entry.step == before and latest[group].keys().isdisjoint(values):
                latest[group].update(values)
                continue
            self._steps[group] = step = before + 1 if entry.step is None else entry.step
            latest[group] = values
            self.rows.append(Row(step, values))
