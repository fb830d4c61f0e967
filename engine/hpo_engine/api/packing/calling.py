"""How a training function takes its parameters, by its signature: as keyword arguments or as one mapping."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from hpo_engine.errors import SpecError, nearest

RESUME_PARAMETER = "resume_from"
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_SCALARS = (float, int, bool, str, "float", "int", "bool", "str")


class Calling(NamedTuple):
    """`by`: "keywords" or "mapping"; `resumes`: it has a parameter `resume_from` for the path of a checkpoint."""

    by: str
    resumes: bool = False


def calling(function: Callable[..., Any], keys: Collection[str], title: str) -> Calling:
    """How to call the function with what a trial's config.json has.

    One parameter that is not a key of the configuration gets the whole of it as a mapping. Otherwise each key is passed
    as a keyword argument.

    Args:
        keys: of config.json: parameters of the space, the resource. title: what messages call the function.

    Raises:
        SpecError: keys that the function does not take, or parameters that nothing provides.
    """
    try:
        params = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # not known, as for some functions written in C
        return Calling("mapping")
    required = [p for p in params if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    positional = [p for p in params if p.kind in _POSITIONAL]
    is_mapping = positional and _may_be_mapping(positional[0]) and positional[0].name not in keys
    if is_mapping and (required == positional[:1] or (not required and not any(p.name in keys for p in params))):
        return Calling("mapping")
    named = {p.name for p in params if p.kind in _NAMED}
    takes_all = any(p.kind is p.VAR_KEYWORD for p in params)
    resumes = RESUME_PARAMETER in named and RESUME_PARAMETER not in keys
    names = named - ({RESUME_PARAMETER} if resumes else set())
    if not takes_all and (unknown := [key for key in keys if key not in names]):
        raise SpecError(
            f'{title} has no parameter "{unknown[0]}", which the space has{nearest(unknown[0], names)}; '
            f"a function of one parameter, such as {title}(params), gets all of them as a mapping"
        )
    missing = [p.name for p in required if p.name not in keys and p.name != RESUME_PARAMETER]
    if missing:
        needed = ", ".join(f'"{name}"' for name in missing)
        raise SpecError(
            f"{title} needs {needed}, which the space does not have; give it a default value, or a constant in the "
            f'space, as in {{"{missing[0]}": 5}}'
        )
    return Calling("keywords", resumes)


def _may_be_mapping(parameter: inspect.Parameter) -> bool:
    return parameter.annotation not in _SCALARS
