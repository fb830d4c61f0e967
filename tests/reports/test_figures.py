"""Laws of all figures, over studies of every kind."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import pytest
from plotly.colors import sequential

from hpo_engine.errors import SpecError
from hpo_engine.reports.figures import FIGURES, NothingToShow, draw, theme
from hpo_engine.reports.figures.words import escaped
from hpo_engine.study.history import History
from tests.support.drawn_studies import EVIL, SITUATIONS, history_of

SCALE = {colour.lower() for colour in getattr(sequential, theme.SEQUENTIAL)}
"""The same on either background."""
SMALL = {"pbt": 4, "asha": 12, "hyperband": 12}


@lru_cache
def study(situation: str) -> History:
    return history_of(situation, SMALL.get(situation, 8))


USUAL = ("plain", "all_failed", "no_trial", "running", "pbt")


@pytest.mark.parametrize(
    "situation", [name if name in USUAL else pytest.param(name, marks=pytest.mark.slow) for name in SITUATIONS]
)
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_every_study_or_says_in_words_why_not(name: str, situation: str) -> None:
    try:
        figure = draw(study(situation), name)
    except NothingToShow as nothing:
        assert re.fullmatch(r"[a-z][^\n]{10,200}", str(nothing))
        return
    assert figure.data
    written = figure.to_json()
    assert "NaN" not in written
    colours = {word for word in strings(json.loads(written)) if re.fullmatch(r"#[0-9a-f]{6}", word)}
    assert colours <= set(theme.DARK_OF) | SCALE, "colours that are not of the theme do not change with it"


@pytest.mark.parametrize("name", FIGURES)
def test_what_comes_from_a_study_is_never_markup(name: str) -> None:
    try:
        written = draw(study("long_names"), name).to_dict()
    except NothingToShow:
        return
    for word in strings(written):
        assert not re.search(r"<(?!/?(b|br|i|sup|sub|extra)\b)", word), word
        assert "$x" not in word and "%{x}" not in word and len(word) < 3000


def test_an_unknown_figure_or_option_is_said_with_the_nearest_one() -> None:
    with pytest.raises(SpecError, match='there is no figure "histori"; did you mean "history"'):
        draw(study("plain"), "histori")
    with pytest.raises(SpecError, match='has no option "ower"; did you mean "over"'):
        draw(study("plain"), "history", ower="time")


def test_dark_figures_have_the_counterparts_of_all_colours() -> None:
    light, dark = (set(strings(draw(study("plain"), "history", dark=dark).to_dict())) for dark in (False, True))
    assert theme.BLUE in light and theme.BLUE not in dark
    assert {theme.DARK_OF[word] for word in light & set(theme.DARK_OF)} <= dark
    assert not dark & set(theme.DARK_OF)


def test_text_of_a_study_is_shown_as_it_is() -> None:
    assert escaped(EVIL).startswith("&lt;/script&gt;&lt;img") and "%&#123;x}" in escaped(EVIL)


def strings(thing: Any) -> list[str]:
    """Every string in a JSON value or a figure's dict."""
    if isinstance(thing, str):
        return [thing]
    if isinstance(thing, dict):
        return [word for key, value in thing.items() if key != "bdata" for word in strings(value)]
    if hasattr(thing, "tolist"):
        thing = thing.tolist()
    return [word for value in thing for word in strings(value)] if isinstance(thing, list | tuple) else []
