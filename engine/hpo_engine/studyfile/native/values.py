"""The types of the study file's values: pydantic checks values against them and derives the JSON Schema from them.

Whatever else a field accepts (text for a duration, a single word for a list) is brought into its one form first. Such
a field is read by a function that raises ValueError in plain words, because of a union pydantic would report every
member; all other findings are put into words by `findings`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, Strict, WithJsonSchema

from hpo_engine.contract.checkpoints import patterns
from hpo_engine.space.params import json_problem, json_text
from hpo_engine.studyfile.common import as_text, split_command, study_name_problem
from hpo_engine.studyfile.named import from_mapping, from_text

_DURATION = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
MOST_OBJECTIVES = 10
_SIZE_MB = {"b": 2.0**-20, "kb": 2.0**-10, "mb": 1.0, "gb": 2.0**10, "tb": 2.0**20}
_PIECE = r"([0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?)\s*([a-z]+)\s*"
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*$")


def refused(value: Any) -> str:
    """How a message ends: ', not "abc"', with advice if the value is a number in quotes."""
    try:
        float(value if isinstance(value, str) else "-")
    except ValueError:
        return f", not {json_text(value)}"
    return f", not the text {json_text(value)}; remove the quotes"


def _is_off(value: Any) -> bool:
    """Whether it is off, which YAML 1.1 reads as false."""
    return value is False or (isinstance(value, str) and value.lower() == "off")


# -- text ------------------------------------------------------------------------------------------------------------


def _name(value: str) -> str:
    if wrong := study_name_problem(value):
        raise ValueError(wrong)
    return value


def _env_text(value: Any) -> str:
    written = as_text(value)
    if written is None:
        raise ValueError('is empty; use "" for an empty text' if value is None else f"must be text{refused(value)}")
    return written


def _listed(value: Any) -> Any:
    if not isinstance(value, (str, list)):
        raise ValueError(f"must be text or a list of texts, not {json_text(value)}")
    return [value] if isinstance(value, str) else value


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


def _checkpoint_names(value: Any) -> Any:
    for pattern in (value := _listed(value)):
        if isinstance(pattern, str) and (wrong := patterns.problem(pattern)):
            raise ValueError(f"{json_text(pattern)} {wrong}")
    return value


def _study_names(value: Any) -> Any:
    if value in ("auto", "off", ["auto"], ["off"]) or isinstance(value, bool):  # off is false in YAML 1.1
        raise ValueError("names earlier studies; imports done before trials start are trial: {preload: auto or off}")
    return _listed(value)


def _rules(value: Any) -> Any:
    """A rule between parameters, or a list of them; the space reads what is in them."""
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str):
            raise ValueError(f'must be a rule such as "hidden2 <= hidden1", or a list of them, not {json_text(item)}')
    return value


def _preload(value: Any) -> Any:
    """auto, off, or names of modules."""
    if value is True or value == "auto":
        return "auto"
    if _is_off(value):
        return "off"
    for item in value if isinstance(value, list) else [None]:
        if not isinstance(item, str) or not _MODULE.match(item):
            wrong = json_text(value if item is None else item)
            raise ValueError(f"must be auto, off, or a list of modules such as [torch, lightning], not {wrong}")
    return value or "off"


Scalar = str | int | float | bool
Text = Annotated[str, Strict(), Field(pattern=r"\S")]
Name = Annotated[
    Text, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"})
]
EnvText = Annotated[str, PlainValidator(_env_text, json_schema_input_type=Scalar)]
Texts = Annotated[list[Text], BeforeValidator(_listed, json_schema_input_type=Text | list[Text])]
CheckpointNames = Annotated[list[Text], BeforeValidator(_checkpoint_names, json_schema_input_type=Text | list[Text])]
StudyNames = Annotated[list[Text], BeforeValidator(_study_names, json_schema_input_type=Text | list[Text])]
Rules = Annotated[list[str] | str, PlainValidator(_rules, json_schema_input_type=Text | list[Text])]
Preload = Annotated[list[str] | str, PlainValidator(_preload, json_schema_input_type=Text | list[Text])]
Command = Annotated[
    list[str],
    PlainValidator(argv, json_schema_input_type=Text | Annotated[list[Scalar], Field(min_length=1)]),
]


# -- words -----------------------------------------------------------------------------------------------------------


def _in_any_case(words: Any, synonyms: Mapping[str, str] | None = None) -> BeforeValidator:
    """`words`: a Literal. `synonyms`: other spellings of some of them."""
    known = {**{word: word for word in get_args(words)}, **(synonyms or {})}
    return BeforeValidator(
        lambda value: known.get(value.lower(), value) if isinstance(value, str) else value,
        json_schema_input_type=Literal[tuple(known)],
    )


def _on_or_off(value: Any) -> Any:
    return {"on": True, "off": False}.get(value.lower(), value) if isinstance(value, str) else value


_SYNONYMS = {"min": "minimize", "max": "maximize", "minimise": "minimize", "maximise": "maximize"}
_Goal = Literal["minimize", "maximize"]
_Shown = Literal["minimize", "maximize", "latest"]
_Over = Literal["best", "last"]
_OnTimeLimit = Literal["fail", "keep"]
_Rule = Literal["rank"]
_Resume = Literal["auto", "always", "never"]
_Keep = Literal["all", "promotable"]
Goal = Annotated[_Goal, _in_any_case(_Goal, _SYNONYMS)]
Shown = Annotated[_Shown, _in_any_case(_Shown, {**_SYNONYMS, "last": "latest"})]
Over = Annotated[_Over, _in_any_case(_Over)]
OnTimeLimit = Annotated[_OnTimeLimit, _in_any_case(_OnTimeLimit)]
Rule = Annotated[_Rule, _in_any_case(_Rule)]
Resume = Annotated[_Resume, _in_any_case(_Resume)]
Keep = Annotated[_Keep, _in_any_case(_Keep)]
OnOrOff = Annotated[bool, Strict(), BeforeValidator(_on_or_off, json_schema_input_type=Literal["on", "off"] | bool)]


# -- numbers ---------------------------------------------------------------------------------------------------------


def _number(value: Any) -> int | float | None:
    """The value if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond what a float holds
        return None


def _whole(value: Any) -> Any:
    """1.0 is a whole number, too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _gpus(value: Any) -> float | None:
    if value is None:
        return None
    number = _number(value)
    if number is None or number < 0 or (number > 1 and number != int(number)):
        raise ValueError(f"must be 0, a whole number, or a fraction below 1 (trials that share one){refused(value)}")
    return number


def seconds(value: Any) -> float:
    """Seconds: a finite number, or text with units (a command line has nothing but text, so that "600" is one)."""
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
    return number


def _limited(value: float) -> float:
    if value == 0:
        raise ValueError("must be above 0; leave it out for no limit")
    return value


def _megabytes(value: Any) -> float:
    size = re.fullmatch(_PIECE, value.strip().lower()) if isinstance(value, str) and len(value) <= 100 else None
    if size is None or size[2] not in _SIZE_MB:
        raise ValueError(f'must be a size such as "16MB", "500kB" or "1GB", not {json_text(value)}')
    number = _number(float(size[1]) * _SIZE_MB[size[2]])
    if not number:
        raise ValueError(f"must be above 0 and finite, not {json_text(value)}")
    return number


def _bytes(value: Any) -> int:
    return round(_megabytes(value) * (1 << 20)) or 1


def _ends(value: Any) -> list[float]:
    """The two ends of a range; which is the lower is the space's business."""
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"must be [lowest, highest], not {json_text(value)}")
    for end in value:
        if _number(end) is None:
            raise ValueError(f"must be two numbers{refused(end)}")
    return value


def _trials(value: Any) -> Any:
    return None if value == "unlimited" else value


_Duration = Annotated[str, Field(pattern=r"^\s*([0-9]+(\.[0-9]+)?|([0-9]+(\.[0-9]+)?\s*[A-Za-z]+\s*)+)\s*$")]
_Size = Annotated[str, Field(pattern=r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtT]?[bB])\s*$")]
_Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Strict(), Field(ge=1), BeforeValidator(_whole)]
Natural = Annotated[int, Strict(), Field(ge=0), BeforeValidator(_whole)]
Trials = Annotated[Count | None, BeforeValidator(_trials, json_schema_input_type=Count | Literal["unlimited"] | None)]
Gpus = Annotated[
    float | None, PlainValidator(_gpus, json_schema_input_type=Annotated[float, Field(ge=0, le=1)] | Count | None)
]
Seconds = Annotated[
    float, Field(ge=0), BeforeValidator(seconds, json_schema_input_type=Annotated[float, Field(ge=0)] | _Duration)
]
Limit = Annotated[
    float,
    Field(ge=0),
    AfterValidator(_limited),
    BeforeValidator(seconds, json_schema_input_type=_Positive | _Duration),
]
Megabytes = Annotated[float, PlainValidator(_megabytes, json_schema_input_type=_Size)]
Bytes = Annotated[int, PlainValidator(_bytes, json_schema_input_type=_Size)]
FloatRange = Annotated[
    list[float],
    PlainValidator(_ends, json_schema_input_type=Annotated[list[float], Field(min_length=2, max_length=2)]),
]
IntRange = Annotated[
    list[int],
    PlainValidator(_ends, json_schema_input_type=Annotated[list[int], Field(min_length=2, max_length=2)]),
]


# -- short forms -----------------------------------------------------------------------------------------------------


def objective(value: Any) -> Any:
    """The long form of an objective."""
    if isinstance(value, list) and len(value) > 1:
        raise ValueError(f"is one metric; for several write objectives: {json_text(value)}")
    if not isinstance(value, (str, list)):
        return value
    goal, _, metric = value.strip().partition(" ") if isinstance(value, str) else ("", "", "")
    if goal.lower() not in (*get_args(_Goal), *_SYNONYMS) or not metric.strip():
        form = '{metric: ..., goal: ...} or text such as "minimize loss"'
        raise ValueError(f"must be {form}, not {json_text(value)}")
    return {"metric": metric.strip(), "goal": goal}


def objectives(value: Any) -> Any:
    """A list of at least two; each of them is checked by itself afterwards."""
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
    """The long form of a rule's name, and of off."""
    if _is_off(value):
        return {"rule": None, "diverged": False}
    if value is None or isinstance(value, dict):
        return value
    if not isinstance(value, str) or value.lower() != "rank":
        raise ValueError(f"must be rank, off or {{rule: rank, ...}}, not {json_text(value)}")
    return {"rule": "rank"}


def checkpoints(value: Any) -> Any:
    """The long form of a pattern, and of a list of them."""
    return {"patterns": value} if isinstance(value, (str, list)) else value


def failures(value: Any) -> Any:
    """The long form of off, and of a number alone."""
    if _is_off(value):
        return {"first": None, "in_a_row": None}
    if isinstance(value, dict):
        return value
    first = _number(value)
    if first is None or first < 1 or first != int(first):
        wrong = json_text(value)
        raise ValueError(f"must be off, a whole number from 1 up or {{first: N, in_a_row: M}}, not {wrong}")
    return {"first": int(first)}


def as_list(value: Any) -> Any:
    """One thing is a list of one."""
    return [value] if isinstance(value, (str, dict)) else value


def named(value: Any) -> Any:
    """The long form of a name alone."""
    if isinstance(value, dict) and "name" not in value and len(value) == 1:
        ((name, options),) = value.items()
        if isinstance(options, dict):  # {csv: {file: log.csv}}
            said = ", ".join(f"{key}: {json_text(option)}" for key, option in {"name": name, **options}.items())
            raise ValueError(f"has no name; write {{{said}}}")
    return {"name": value} if isinstance(value, str) else value


def stopper(value: Any) -> Any:
    """The long form of a stopper: of its name, of a text with options, of {NAME: {OPTION: ...}}."""
    if isinstance(value, str):
        chosen = from_text(value)
        return {"name": chosen.name, **chosen.options}
    return from_mapping(value) if isinstance(value, dict) else value


def _json(value: dict[str, Any]) -> dict[str, Any]:
    if wrong := json_problem(value):
        raise ValueError(wrong)
    return value


JsonMapping = Annotated[dict[str, Any], AfterValidator(_json)]
