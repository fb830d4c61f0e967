"""Text in figures: names and values from a study, safe and short. Knows no Plotly, only how it reads text."""

from __future__ import annotations

import html
from collections.abc import Sequence

from hpo_engine.text.tables import cut, cut_name, safe_text

NUMBER = ".5~g"
"""D3's format of values in hovers and on axes."""


def escaped(text: str) -> str:
    """Text as a figure shows it, whatever is in it: no markup, no formula, no template.

    Plotly reads labels as HTML of a kind, `$...$` as TeX where MathJax is loaded, and `%{...}` in hovers as a variable.
    """
    plain = html.escape(safe_text(text), quote=False)
    return plain.replace("$", "&#36;").replace("%{", "%&#123;")


def bare(text: str) -> str:
    """Text where Plotly reads no markup, with nothing in it that could be some elsewhere."""
    return text.translate({ord("<"): "‹", ord(">"): "›", ord("$"): "＄"}).replace("%{", "% {")  # noqa: RUF001


def label(name: str, width: int = 28) -> str:
    """A name for an axis, a legend or a tick: in at most `width` columns, the end of dotted names being kept."""
    return escaped(cut_name(safe_text(name), width))


def words(text: str, width: int = 60) -> str:
    """Text in at most `width` columns, escaped."""
    return escaped(cut(safe_text(text), width))


def assigned(params: Sequence[tuple[str, str]], most: int = 12) -> str:
    """`lr = 0.01<br>hidden = 64` for a hover; of more than `most` parameters the first ones."""
    lines = [f"{label(name)} = {words(shown, 40)}" for name, shown in params[:most]]
    more = len(params) - most
    return "<br>".join([*lines, f"and {more} more"] if more > 0 else lines)
