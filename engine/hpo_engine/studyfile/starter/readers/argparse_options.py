"""Scripts that take options with argparse."""

from __future__ import annotations

import ast

from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script
from hpo_engine.studyfile.starter.syntax import literal, name_of


def read(script: Script) -> Reading | None:
    found = options(script)
    if not found:
        return None
    dashes = any("-" in p.option.lstrip("-") for p in found)
    return Reading("argparse", found, form="{params:-}" if dashes else "{params}")


def options(script: Script) -> tuple[Parameter, ...]:
    """The options that look like a number or a choice to tune."""
    found = Collector()
    for node in script.nodes:
        if isinstance(node, ast.Call) and name_of(node.func) == "add_argument":
            option = _option(node)
            if option is not None:
                found.add(option)
    return found.parameters()


def _option(node: ast.Call) -> Parameter | None:
    """add_argument("--lr", type=float, default=0.1)"""
    given = [f for arg in node.args if isinstance(f := literal(arg), str) and f.startswith("-")]
    flags = [f for f in given if f.startswith("--")]
    keywords = {k.arg: k.value for k in node.keywords if k.arg}
    default, choices = literal(keywords.get("default")), literal(keywords.get("choices"))
    name = literal(keywords.get("dest")) or (flags[0].lstrip("-").replace("-", "_") if flags else None)
    if not isinstance(name, str) or not name:
        return None
    type_ = keywords.get("type")
    number = {"int": int, "float": float}.get(name_of(type_) or "") if type_ is not None else None
    required = literal(keywords.get("required")) is True
    # A whole number without a default often is a limit that is usually left out.
    needed = number is not None and (number is float or required)
    allowed = tuple(choices) if isinstance(choices, (list, tuple)) else None
    if allowed is None and not needed and (isinstance(default, bool) or not isinstance(default, (int, float))):
        return None
    option = (flags or given)[0] if given else ""
    return Parameter(name, default, number, allowed or (), required=required, option=option, line=node.lineno)
