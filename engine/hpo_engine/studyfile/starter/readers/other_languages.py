"""Options of scripts in R and Julia."""

from __future__ import annotations

import re

from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script
from hpo_engine.studyfile.starter.readers.environment import number_of
from hpo_engine.studyfile.starter.readers.options import form_of, option_name

_TYPES: dict[str, type] = {
    "double": float, "numeric": float, "integer": int, "character": str, "logical": bool, "Float64": float,
    "Float32": float, "Int": int, "Int64": int, "String": str, "Bool": bool,
}  # fmt: skip
# R: make_option(c("-l", "--lr"), type = "double", default = 0.1), parser$add_argument("--lr", type = "double")
_R_CALL = r"(?:make_option|add_argument|add_option)"
_R_OPTION = re.compile(rf"{_R_CALL}\s*\(((?:(?!{_R_CALL})[^;]){{0,400}})")  # up to the next one
# Julia's ArgParse: "--lr", "-l" / arg_type = Float64 / default = 0.1, a line each
_JULIA_OPTION = re.compile(r"""(?m)^\s*("--[\w-]+"[^\n]*(?:\n\s*(?:help|arg_type|default|required|action)\b[^\n]*)*)""")
_OPTION = re.compile(r"""["'](--[\w.-]+)["']""")
_TYPE = re.compile(r"""\b(?:type|arg_type)\s*=\s*["']?(\w+)""")
_DEFAULT = re.compile(r"""\bdefault\s*=\s*["']?([-+\w.]+)""")
# lr <- as.numeric(args[1]); lr = parse(Float64, ARGS[1])
_R_PLACE = re.compile(r"(?m)^\s*([\w.]+)\s*(?:<-|=)\s*as\.(numeric|integer|double|character)\(\s*args\[\[?(\d)\]")
_JULIA_PLACE = re.compile(r"(?m)^\s*(\w+)\s*=\s*parse\(\s*(\w+)\s*,\s*ARGS\[(\d)\]")


def read(script: Script) -> Reading | None:
    suffix = script.path[-3:].lower()
    if suffix.endswith(".r"):
        options, places, manner = _R_OPTION, _R_PLACE, "R's options"
    elif suffix == ".jl":
        options, places, manner = _JULIA_OPTION, _JULIA_PLACE, "Julia's options"
    else:
        return None
    text, found = script.text[:200_000], Collector()
    for piece in options.findall(text):
        _add_option(piece, found)
    for name, type_, _ in sorted(places.findall(text), key=lambda place: int(place[2])):
        known = _TYPES.get(type_)
        found.add(Parameter(name, None, known, required=True, word=f"{{{name}}}", positional=True))
    parameters = found.parameters()
    has_options = any(p.option for p in parameters)
    return Reading(manner, parameters, form=form_of(parameters) if has_options else "") if parameters else None


def _add_option(piece: str, found: Collector) -> None:
    option, type_, default = _OPTION.search(piece), _TYPE.search(piece), _DEFAULT.search(piece)
    if option is None or "store_true" in piece:
        return
    value = number_of(default[1]) if default else None
    value = {"TRUE": True, "true": True, "FALSE": False, "false": False, "NULL": None, "nothing": None}.get(
        value if isinstance(value, str) else "", value
    )
    known = _TYPES.get(type_[1]) if type_ else None
    found.add(Parameter(option_name([option[1]]), value, known, option=option[1]))
