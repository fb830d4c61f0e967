"""Shell scripts: ${LR:-0.1}, $1, options in a `case`, getopts."""

from __future__ import annotations

import re

from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script
from hpo_engine.studyfile.starter.readers.environment import number_of
from hpo_engine.studyfile.starter.readers.options import form_of, option_name

_SUFFIXES = (".sh", ".bash", ".zsh", ".ksh")
_DEFAULT = re.compile(r"""(?m)^\s*(?:export\s+|local\s+|:\s+)?["']?(?:(\w+)=)?["']?\$\{(\w+):?[-=]([^}\n]*)\}""")
_PLACE = re.compile(r"""(?m)^\s*(?:export\s+|local\s+)?(\w+)=["']?\$(?:(\d)|\{(\d)(?::?[-?]([^}\n]*))?\})""")
_CASE = re.compile(r"""(?m)^\s*(?:-\w\s*\|\s*)?(--[\w-]+)(?:\s*\|\s*-\w)?\)\s*([^;]*)""")
_OF_CASE = re.compile(r"""(?<!\w)(\w{1,100})=["']?\$(?:2\b|\{2\})""")
_GETOPTS = re.compile(r"""getopts\s+["']?([\w:]+)""")
_LETTER = re.compile(r"""(?m)^\s*(\w)\)\s*(\w+)=["']?\$\{?OPTARG""")
_PLAIN = re.compile(r"""(?m)^\s*(\w+)=["']?([^\s"'$;`]+)["']?\s*(?:#.*|;.*)?$""")


def read(script: Script) -> Reading | None:
    if not script.path.endswith(_SUFFIXES) and not re.match(r"#!.*\b(ba|z|k|da)?sh\b", script.text):
        return None
    plain = dict(_PLAIN.findall(script.text[:200_000]))
    for found in (_options(script.text, plain), _places(script.text)):
        if found:
            parameters = found.parameters()
            if parameters[0].option:
                return Reading("its options", parameters, form=form_of(parameters))
            return Reading("$1, $2 ...", parameters)
    variables = _variables(script.text)
    return Reading("environment variables", variables.parameters()) if variables else None


def _options(text: str, plain: dict[str, str]) -> Collector:
    found = Collector()
    for option, branch in _CASE.findall(text):
        if variable := _OF_CASE.search(branch):
            found.add(Parameter(option_name([option]), number_of(plain.get(variable[1])), option=option))
    letters = "".join(_GETOPTS.findall(text))
    for letter, variable in _LETTER.findall(text):
        if f"{letter}:" in letters:
            found.add(Parameter(variable.lower(), number_of(plain.get(variable)), option=f"-{letter}"))
    return found


def _places(text: str) -> Collector:
    places: dict[int, tuple[str, str, bool]] = {}
    for name, plain, braced, default in _PLACE.findall(text):
        if (number := int(plain or braced)) > 0:
            places.setdefault(number, (name.lower(), default, "?" in default or not default))
    found = Collector()
    if sorted(places) == list(range(1, len(places) + 1)):
        for _, (name, default, required) in sorted(places.items()):
            value = number_of(default) if default else None
            found.add(
                Parameter(
                    name,
                    value,
                    float if value is None else None,
                    required=required,
                    word=f"{{{name}}}",
                    positional=True,
                )
            )
    return found


def _variables(text: str) -> Collector:
    found = Collector()
    for _, variable, default in _DEFAULT.findall(text):
        value = number_of(default.strip("\"'"))
        if isinstance(value, (int, float)) and not variable.isdigit():
            found.add(Parameter(variable.lower(), value, variable=variable))
    return found
