"""Pydantic's findings about a study file in plain words, with the path of the field."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from hpo_engine.errors import nearest
from hpo_engine.space.params import json_text
from hpo_engine.studyfile.common import MOST_PROBLEMS, Problems
from hpo_engine.studyfile.native.form import PARTS, StudyForm, TrialForm, names
from hpo_engine.studyfile.native.values import refused
from hpo_engine.text.quoting import shown

# What people write who come from elsewhere, and where it goes here.
_ELSEWHERE = {
    "seed": "write options: {seed: ...}",
    "params": "parameters go under space",
    "parameters": "parameters go under space",
    "search_space": "parameters go under space",
    "hyperparameters": "parameters go under space",
    "metric": "write objective: {metric: ..., goal: minimize}",
    "goal": "write objective: {metric: ..., goal: ...}",
    "direction": "write objective: {metric: ..., goal: ...}",
    "max_trials": "write trials",
    "n_trials": "write trials",
    "timeout": "write time_limit",
    "cpus": "write trial: {cpus: ...}",
    "gpus": "write trial: {gpus: ...}",
    "retries": "write trial: {retries: ...}",
    "constraints": "write require: a rule such as hidden2 <= hidden1",
    "constraint": "write require: a rule such as hidden2 <= hidden1",
    "initial_points": "write points: [{...}, ...]",
    "initial": "write points: [{...}, ...]",
    "prior": "write warm_start: [names of earlier studies]",
    "transfer": "write warm_start: [names of earlier studies]",
    "enqueue": "write points: [{...}, ...]",
    "max_failures": "write failures: {in_a_row: ...}",
    "max_failed_trials": "write failures: {in_a_row: ...}",
    "script": 'write command: "python train.py"',
    "labels": "they had no effect; leave them out",
    "preload": "write trial: {preload: ...}",
    "n_startup": "write options: {n_startup: ...}",
    "warm_up": "write options: {n_startup: ...}, or early_stopping: {rule: rank, min_rivals: ...}",
}
_ELSEWHERE_IN: dict[type[BaseModel], dict[str, str]] = {
    StudyForm: _ELSEWHERE,
    TrialForm: {"warm_start": "write preload: auto, off or a list of modules"},
}

_ADVICE = {"trials": ' ("unlimited" for no limit)', "early_stopping.rule": " (or off)"}
_KNOWN = "; known: "  # as `nearest` writes it
_NUMBERS = {"int_type": "must be a whole number", "int_from_float": "must be a whole number"}
_WORDS = {
    "string_type": "must be text, not {found}",
    "string_pattern_mismatch": "is empty",
    "bool_type": "must be on or off, not {found}",
    "list_type": "must be a list, not {found}",
    "dict_type": "must be a mapping, not {found}",
    "model_type": "must be a mapping, not {found}",
    "greater_than_equal": "must be at least {ge:g}, not {found}",
}


def sound_form(data: dict[str, Any], problems: Problems) -> tuple[StudyForm, set[str]]:
    """The form, and the names of the fields that are wrong; these have a stand-in or their default."""
    try:
        return StudyForm.model_validate(data), set()
    except ValidationError as error:
        failed = {str(e["loc"][0]) for e in error.errors(include_url=False, include_context=False) if e["loc"]}
        report(error, "", StudyForm, problems)
    stand_ins = {"command": "-"}
    sound = {k: v for k, v in data.items() if k not in failed}
    return StudyForm.model_validate({**stand_ins, **sound}), failed


def report(error: ValidationError, prefix: str, model: type[BaseModel], problems: Problems) -> None:
    told: set[str] = set()  # keys that there are, of a form: once is enough
    for e in error.errors(include_url=False)[:MOST_PROBLEMS]:
        path = prefix
        for part in e["loc"]:
            path = f"{path}[{part}]" if isinstance(part, int) else f"{path}.{part}" if path else part
        part_name = str(e["loc"][0]) if len(e["loc"]) > 1 else None
        where = PARTS.get(part_name, model) if part_name else model
        text, _, known = _words(e, where).partition(_KNOWN)
        problems.add(path, text + (_KNOWN + known if known and known not in told else "") + _ADVICE.get(path, ""))
        told.add(known)


def _words(e: Any, model: type[BaseModel]) -> str:
    """One finding in plain words."""
    kind, found = e["type"], json_text(e["input"])
    if kind == "extra_forbidden":
        key = str(e["loc"][-1])
        return f'unknown key "{shown(key)}"{_advice(key, model)}'
    if kind == "missing":
        name = str(e["loc"][-1])
        about = next((f.description for n, f in model.model_fields.items() if name in (n, f.alias)), None)
        return f"is missing: {about}" if about else "is missing"
    if kind == "value_error":
        return str(e["ctx"]["error"])
    if kind in _NUMBERS:
        return f"{_NUMBERS[kind]}{refused(e['input'])}"
    if kind == "literal_error":
        return f"must be {e['ctx']['expected'].replace(chr(39), '')}, not {found}"
    text = _WORDS.get(kind, f"{e['msg'][:1].lower()}{e['msg'][1:]}, not {{found}}")
    return text.format(found=found, **e.get("ctx", {}))


def _advice(key: str, model: type[BaseModel]) -> str:
    """What to write in place of a key that the model does not have."""
    if advice := _ELSEWHERE_IN.get(model, {}).get(key):
        return f"; {advice}"
    field, _, rest = key.partition(".")
    if not rest or field not in names(model):
        return nearest(key, names(model))
    part = PARTS.get(field)
    if part is None or rest in names(part) or part.model_config.get("extra") == "allow":
        return f"; write {field}: {{{shown(rest)}: ...}}"
    return f"; under {field}, {_advice(rest, part).removeprefix('; ')}"
