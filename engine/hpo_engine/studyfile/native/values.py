"""Values of the study file's fields: each function takes what stands there and returns it in its one form.

What is wrong is a ValueError in plain words that shows the value; pydantic adds the field's path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from hpo_engine.space.params import json_problem, json_text
from hpo_engine.studyfile.common import as_text, split_command, study_name_problem

_DURATION = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
MOST_OBJECTIVES = 10
_SIZE_MB = {"b": 2.0**-20, "kb": 2.0**-10, "mb": 1.0, "gb": 2.0**10}
_PIECE = r"([0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?)\s*([a-z]+)\s*"


def _number(value: Any) -> int | float | None:
    """The value where it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond what a float holds
        return None


def _not(value: Any) -> str:
    """How a message ends: ', not "1e-4"', with advice where a number was meant."""
    try:
        float(value if isinstance(value, str) else "-")
    except ValueError:
        return f", not {json_text(value)}"
    return f", not the text {json_text(value)}; remove the quotes"


def whole(least: int) -> Callable[[Any], int]:
    """A whole number from `least` up."""

    def check(value: Any) -> int:
        number = _number(value)
        if number is None or number != int(number):
            raise ValueError(f"must be a whole number{_not(value)}")
        if number < least:
            raise ValueError(f"must be at least {least}, not {json_text(value)}")
        return int(number)

    return check


def whole_or_none(value: Any) -> int | None:
    return None if value is None else whole(1)(value)


def trials(value: Any) -> int | None:
    if value is None or value == "unlimited":
        return None
    try:
        return whole(1)(value)
    except ValueError as error:
        raise ValueError(f'{error} ("unlimited" for no limit)') from None


def seconds(value: Any) -> float:
    """Seconds from 0 up: a number, or text with units (a command line has nothing but text, so that "600" is one)."""
    number = _number(value)
    if isinstance(value, str) and len(value) <= 100:
        text = value.strip().lower()
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
            text += "s"
        pieces = re.findall(_PIECE, text) if re.fullmatch(f"(?:{_PIECE})+", text) else []
        if pieces and all(unit in _DURATION for _, unit in pieces):
            number = _number(sum(float(digits) * _DURATION[unit] for digits, unit in pieces))
    if number is None:
        raise ValueError(f'must be seconds, or text such as "90s", "10m", "1h30m", "2d"; not {json_text(value)}')
    if number < 0:
        raise ValueError(f"must be at least 0, not {json_text(value)}")
    return number


def limit(value: Any) -> float | None:
    """Seconds above 0, or None for no limit."""
    number = None if value is None else seconds(value)
    if number == 0:
        raise ValueError("must be above 0; leave it out for no limit")
    return number


def megabytes(value: Any) -> float:
    size = re.fullmatch(_PIECE, value.strip().lower()) if isinstance(value, str) and len(value) <= 100 else None
    if size is None or size[2] not in _SIZE_MB:
        raise ValueError(f'must be a size such as "16MB", "500kB" or "1GB", not {json_text(value)}')
    number = _number(float(size[1]) * _SIZE_MB[size[2]])
    if not number:
        raise ValueError(f"must be above 0 and finite, not {json_text(value)}")
    return number


def gpus(value: Any) -> float | None:
    if value is None:
        return None
    number = _number(value)
    if number is None or number < 0 or (number > 1 and number != int(number)):
        raise ValueError(f"must be 0, a whole number, or a fraction below 1 (trials that share one){_not(value)}")
    return number


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {json_text(value)}")
    if not value.strip():
        raise ValueError("is empty")
    return value


def text_or_none(value: Any) -> str | None:
    return None if value is None else text(value)


def name(value: Any) -> str:
    wrong = study_name_problem(text(value))
    if wrong:
        raise ValueError(wrong)
    return str(value)


def argv(value: Any) -> list[str]:
    """The words of a command."""
    if isinstance(value, str):
        words = split_command(value)
    elif isinstance(value, list):
        words = [word for item in value if (word := as_text(item)) is not None]
        if len(words) != len(value):
            raise ValueError(f"must be a list of words, not {json_text(value)}")
    else:
        raise ValueError(f"must be text or a list of words, not {json_text(value)}")
    if not words or not words[0].strip():
        raise ValueError('is empty; write the command that runs one trial, as in "python train.py"')
    return words


def word(*words: str, **same: str) -> Callable[[Any], str]:
    """One of some words, in any case; `same` maps other spellings to them."""

    def check(value: Any) -> str:
        found = value.lower() if isinstance(value, str) else ""
        found = same.get(found, found)
        if found not in words:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}, not {json_text(value)}")
        return found

    return check


_GOALS = {"min": "minimize", "max": "maximize", "minimise": "minimize", "maximise": "maximize"}
goal = word("minimize", "maximize", **_GOALS)
shown_as = word("minimize", "maximize", "latest", last="latest", **_GOALS)
over = word("best", "last")
on_time_limit = word("fail", "keep")


def objective(value: Any) -> Any:
    """The long form of an objective."""
    if isinstance(value, list):
        raise ValueError(f"is one metric; for several write objectives: {json_text(value)}")
    if not isinstance(value, str):
        return value
    first, _, metric = value.strip().partition(" ")
    try:
        return {"metric": text(metric.strip()), "goal": goal(first)}
    except ValueError:
        raise ValueError(
            f'must be {{metric: ..., goal: ...}} or text such as "minimize loss", not {json_text(value)}'
        ) from None


def rules(value: Any) -> Any:
    """A rule between parameters, or a list of them; what they say is the space's business."""
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str):
            raise ValueError(f'must be a rule such as "hidden2 <= hidden1", or a list of them, not {json_text(item)}')
    return value


_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*$")


def preload(value: Any) -> Any:
    """auto, off (which YAML 1.1 took for false), or names of modules."""
    if value is False or value is True:
        return "auto" if value else "off"
    if isinstance(value, str) and value in ("auto", "off"):
        return value
    for item in value if isinstance(value, list) else [None]:
        if not isinstance(item, str) or not _MODULE.match(item):
            said = json_text(value if item is None else item)
            raise ValueError(f"must be auto, off, or a list of modules such as [torch, lightning], not {said}")
    return value or "off"


def patterns(value: Any) -> list[str]:
    """Patterns as lines of a .gitignore; one may stand alone."""
    return [text(item) for item in (value if isinstance(value, list) else [value])]


def study_names(value: Any) -> list[str]:
    """Names or paths of studies; one may stand alone."""
    if value in ("auto", "off", ["auto"], ["off"]) or isinstance(value, bool):  # off is false in YAML 1.1
        raise ValueError("names earlier studies; imports done before trials start are trial: {preload: auto or off}")
    return [text(item) for item in (value if isinstance(value, list) else [value])]


def objectives(value: Any) -> Any:
    """A list of at least two; what each of them is comes after this."""
    if value is None:
        return None
    if not isinstance(value, list):
        raise ValueError(f"must be a list, as in [minimize loss, minimize size], not {json_text(value)}")
    if len(value) < 2:
        raise ValueError("must be two or more; for a single one write objective")
    if len(value) > MOST_OBJECTIVES:  # nearly every trial is in a front of so many
        raise ValueError(f"must be at most {MOST_OBJECTIVES}, not {len(value)}")
    return value


def early_stopping(value: Any) -> Any:
    """The long form: of a rule's name; of off (which YAML 1.1 took for false), which is none of the rules."""
    if value is False or (isinstance(value, str) and value.lower() == "off"):
        return {"rule": None, "diverged": False}
    if value is None or isinstance(value, dict):
        return value
    if not isinstance(value, str) or value.lower() != "rank":
        raise ValueError(f"must be rank, off or {{rule: rank, ...}}, not {json_text(value)}")
    return {"rule": "rank"}


def rule(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or value.lower() != "rank":
        raise ValueError(f"must be rank, not {json_text(value)} (or off)")
    return "rank"


def on_or_off(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in ("on", "off"):
        raise ValueError(f"must be on or off, not {json_text(value)}")
    return value.lower() == "on"


def failures(value: Any) -> Any:
    """The long form: of off, and of a number alone."""
    if value is False or (isinstance(value, str) and value.lower() == "off"):
        return {"first": None, "in_a_row": None}
    if isinstance(value, dict):
        return value
    try:
        return {"first": whole(1)(value)}
    except ValueError:
        said = json_text(value)
        raise ValueError(f"must be off, a whole number from 1 up or {{first: N, in_a_row: M}}, not {said}") from None


def named(value: Any) -> Any:
    """The long form of a name alone."""
    return {"name": value} if isinstance(value, str) else value


def env_text(value: Any) -> str:
    written = as_text(value)
    if written is None:
        raise ValueError('is empty; use "" for an empty text' if value is None else f"must be text{_not(value)}")
    return written


def json_value(value: Any) -> Any:
    wrong = json_problem(value)
    if wrong:
        raise ValueError(wrong)
    return value


def json_mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a mapping, not {json_text(value)}")
    checked: dict[str, Any] = json_value(value)
    return checked


def ends(value: Any) -> list[float]:
    """The two ends of a range; which is the lower is the space's business."""
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"must be [lowest, highest], not {json_text(value)}")
    for end in value:
        if _number(end) is None:
            raise ValueError(f"must be two numbers{_not(end)}")
    return value
