"""What is chosen by name, as people write it: `median`, `asha eta=3 grace=2`, `{asha: {eta: 3}}`.

All comes to one form, `{name: asha, eta: 3}`. Knows no names and no options; a registry checks those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hpo_engine.errors import SpecError
from hpo_engine.space.params import json_text
from hpo_engine.study.spec import Named
from hpo_engine.studyfile import shellwords
from hpo_engine.studyfile.common import under
from hpo_engine.studyfile.document.yamltext import read_yaml

_OPTION = re.compile(r"([^\W\d]\w*)=")
_NAME, _OPTIONS = "name", "options"


def from_text(text: str) -> Named:
    """What a text such as `asha eta=3 grace=2` chooses.

    The words of the text are those of a shell, so a path with blanks is quoted. Values are read as a study file reads
    them: numbers, true, false, null, lists; a value in quotes is text. A text without `=` is a name.

    Raises:
        ValueError: in plain words, if it is not a name followed by options.
    """
    if "=" not in text:
        return Named(_not_empty(text.strip()))
    first, *rest = shellwords.words(text) or [shellwords.Word("", "", "")]
    _not_empty(first.text)
    if (found := _OPTION.match(first.bare)) and "/" not in first.text:
        raise ValueError(f"begins with the option {found[1]}; write the name first, as in asha eta=3")
    options: dict[str, Any] = {}
    for word in rest:
        option = _OPTION.match(word.bare)
        if option is None:
            raise ValueError(f"{json_text(word.text)} is not an option; write OPTION=VALUE, as in asha eta=3")
        if option[1] in options or option[1] == _NAME:
            raise ValueError(f"sets {option[1]} twice")
        options[option[1]] = _value(option[1], word, option.end())
    return Named(first.text, options)


def _not_empty(name: str) -> str:
    if not name:
        raise ValueError("is empty; write a name, as in median, or with options, as in asha eta=3")
    return name


def _value(option: str, word: shellwords.Word, begin: int) -> Any:
    text = word.text[begin:]
    if shellwords.HIDDEN in word.bare or not text:  # in quotes: text, whatever it looks like
        return text
    try:
        return read_yaml(text, "")[0]
    except SpecError as error:
        raise ValueError(f"{option}: {error.problems[0].text}") from None


def from_mapping(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """`{name: ..., OPTION: ...}` of any mapping that chooses by name; what does not is returned as it is.

    The forms are `{asha: {eta: 3}}`, `{asha: null}`, `{name: asha, eta: 3}` and `{name: asha, options: {eta: 3}}`.

    Raises:
        ValueError: an option is called name.
    """
    if given.keys() == {_NAME, _OPTIONS} and isinstance(given[_OPTIONS], Mapping):
        return _long(given[_NAME], given[_OPTIONS])
    if _NAME not in given and len(given) == 1:
        ((name, options),) = given.items()
        if _holds_options(options):
            return _long(name, options or {})
    return given


def _long(name: Any, options: Mapping[str, Any]) -> Mapping[str, Any]:
    if _NAME in options:
        raise ValueError(f"{name} cannot have an option called name")
    return {_NAME: name, **options}


def to_mapping(chosen: Named) -> Any:
    """The shortest form that `from_mapping` and `from_text` read back."""
    if not chosen.options:
        return {_NAME: chosen.name} if "=" in chosen.name else chosen.name
    if chosen.options.keys() == {_OPTIONS}:
        return {_NAME: chosen.name, _OPTIONS: dict(chosen.options)}
    return {_NAME: chosen.name, **chosen.options}


def several(given: Any) -> Any:
    """A list of what one field may hold: one thing alone is a list of one, `{asha: {eta: 3}, median: {}}` of two."""
    if isinstance(given, Mapping) and given and _NAME not in given and all(map(_holds_options, given.values())):
        return [{name: options} for name, options in given.items()]
    return [given] if isinstance(given, (str, Mapping)) else given


def _holds_options(value: Any) -> bool:
    return value is None or isinstance(value, Mapping)


def absolute(name: str, base_dir: str) -> str:
    """A name whose path/file.py is absolute."""
    module, _, cls = name.rpartition(":")
    return f"{under(base_dir, module)}:{cls}" if module.endswith(".py") else name
