"""JSON as scripts leave it, read or refused in under a second, with the reason in one line."""

from __future__ import annotations

import json
from typing import Any

from hpo_engine.contract.sources.files import too_many
from hpo_engine.contract.sources.numbers import BOM, load_json
from hpo_engine.errors import ContractError

MAX_ENTRIES = 200_000  # of a file
MAX_VALUES = 600_000  # in it; together with its size these keep the reading of any file under a second


def load(data: bytes, name: str) -> Any:
    """What a JSON file holds, whatever a script left there. `name`: what messages call it.

    Raises:
        ContractError: empty, torn, not JSON, too deep, too many entries or values.
    """
    if data.count(b"[") + data.count(b"{") > MAX_ENTRIES + 1000:
        raise too_many(name, "entries", data.count(b"[") + data.count(b"{"), MAX_ENTRIES)
    if (values := data.count(b",")) > MAX_VALUES:
        raise too_many(name, "values", values, MAX_VALUES)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:2]:
        raise ContractError(f"{name} is not UTF-8 but UTF-16 text, or binary: write it as UTF-8")
    start = len(BOM) if data.startswith(BOM) else 0
    try:
        text = data[start:].decode()
    except UnicodeDecodeError as error:
        if error.end == len(data) - start and error.reason == "unexpected end of data":
            raise ContractError(f"{name} is torn at byte {len(data)}") from None
        raise ContractError(f"{name} is not UTF-8 text (byte {start + error.start})") from None
    if not text.strip():
        raise ContractError(f"{name} is empty")
    try:
        return load_json(text, data)
    except json.JSONDecodeError as error:
        raise ContractError(f"{name} {_fault(text, error, data, start)}") from None
    except (RecursionError, ValueError, MemoryError) as error:
        why = "is nested too deeply" if isinstance(error, RecursionError) else f"cannot be read ({error})"
        raise ContractError(f"{name} {why}") from None


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
