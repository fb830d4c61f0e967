"""Which parameters apply: conditions on the values of other parameters, and the order in which to decide them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpo_engine.space.axes import Axis
from hpo_engine.space.params import Param, When, json_text, key
from hpo_engine.text.quoting import shown

Condition = tuple[str, frozenset[Any]]  # parent, keys of the values that let the child apply


def applies(conditions: tuple[Condition, ...], seen: Mapping[str, Any]) -> bool:
    """Whether every parent applies itself and has an accepted value."""
    return all(parent in seen and key(seen[parent]) in accepted for parent, accepted in conditions)


def conditions_of(param: Param, axes: Mapping[str, Axis]) -> tuple[Condition, ...]:
    return tuple(
        (parent, frozenset(key(axes[parent].tidy(v)) for v in accepted_values(values, axes[parent])))
        for parent, values in (param.when or {}).items()
    )


def accepted_values(values: Any, axis: Axis) -> list[Any]:
    """The values that a condition lists; a list that is itself a value of the parent (a choice) means that value."""
    return values if isinstance(values, list) and axis.problem(values) is not None else [values]


def parents_first(params: Sequence[Param]) -> list[Param]:
    """In the given order, but each parameter right after the last of its parents; cyclic ones are left out."""
    by_name = {p.name: p for p in params}
    missing = {p.name: len(p.when or {}) for p in params}
    children: dict[str, list[str]] = {}
    for p in params:
        for parent in p.when or {}:
            children.setdefault(parent, []).append(p.name)
    order: list[Param] = []
    for p in params:
        ready = [p.name] if not p.when else []
        while ready:
            name = ready.pop()
            order.append(by_name[name])
            for child in reversed(children.get(name, [])):
                missing[child] -= 1
                if not missing[child]:
                    ready.append(child)
    return order


def when_text(when: When | None) -> str:
    return "if " + " and ".join(f"{shown(k)} is {json_text(v)}" for k, v in (when or {}).items())
