"""One mapping of a request, field by field, with the dialect's habits: numbers in text, zeros and blanks for "none"."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from hpo_engine.space.params import json_text
from hpo_engine.studyfile.common import Problems
from hpo_engine.text.quoting import shown


class Fields:
    """Takes the fields of the mapping at `path`; what is wrong goes to `problems`, and the answer is None then.

    Unknown fields are let pass (clients send more than is documented) unless they look like a slip of a known one.
    """

    def __init__(self, data: Any, path: str, problems: Problems, known: Collection[str]) -> None:
        self._path, self._problems = path, problems
        self.data: dict[str, Any] = data if isinstance(data, dict) else {}
        if not isinstance(data, dict):
            problems.add(path, f"must be an object, not {json_text(data)}")
        for name in self.data:
            advice = "" if name in known else problems.nearest(name, known)
            if advice.startswith("; did you mean"):
                self.wrong(name, f'unknown key "{shown(name)}"{advice}')

    def path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def wrong(self, name: str, text: str) -> None:
        self._problems.add(self.path(name), text)

    def note(self, name: str, text: str) -> None:
        self._problems.note(self.path(name), text)

    def raw(self, name: str) -> Any:
        """The value; None if it is absent or blank."""
        value = self.data.get(name)
        return None if isinstance(value, str) and not value.strip() else value

    def value(self, name: str) -> Any:
        """The value, blank or not."""
        return self.data.get(name)

    def text(self, name: str, about: str = "") -> str | None:
        """A text; `about` says what it is for, if it is required."""
        value = self.raw(name)
        if value is None:
            if about:
                self.wrong(name, f"is missing: {about}")
        elif not isinstance(value, str):
            self.wrong(name, f"must be text, not {json_text(value)}")
        else:
            return value.strip()
        return None

    def word(self, name: str, *words: str) -> str | None:
        """One of `words`, written in any case; it must be there."""
        value = self.raw(name)
        found = next((w for w in words if isinstance(value, str) and w.lower() == value.strip().lower()), None)
        if found is None:
            missing = "is missing; use" if value is None else "must be"
            end = "" if value is None else f", not {json_text(value)}"
            self.wrong(name, f"{missing} {', '.join(words[:-1])} or {words[-1]}{end}")
        return found

    def number(self, name: str) -> int | float | None:
        """A finite number, perhaps in text."""
        value = self.raw(name)
        if value is None:
            return None
        number = as_number(value)
        if number is None:
            self.wrong(name, f"must be a number, not {json_text(value)}")
        return number

    def whole(self, name: str) -> int | None:
        """A whole number, perhaps in text."""
        number = self.number(name)
        if number is not None and number != int(number):
            self.wrong(name, f"must be a whole number, not {json_text(self.raw(name))}")
            return None
        return None if number is None else int(number)

    def limit(self, name: str, whole: bool = False) -> float | None:
        """A number above 0; None for -1 (unlimited) and where it is absent."""
        number = self.whole(name) if whole else self.number(name)
        if number is not None and number != -1 and number <= 0:
            self.wrong(name, f"must be above 0, or -1 for unlimited, not {json_text(self.raw(name))}")
        return None if number is None or number <= 0 else number

    def list(self, name: str) -> list[Any]:
        """A list; empty if it is absent."""
        value = self.raw(name)
        if value is not None and not isinstance(value, list):
            self.wrong(name, f"must be a list, not {json_text(value)}")
        return value if isinstance(value, list) else []


def as_number(value: Any) -> int | float | None:
    """A finite number from a number or from text; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 400 or "_" in text:
            return None
        try:
            value = int(text) if text.lstrip("+-").isdecimal() else float(text)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None
