"""The figures of parameters: what is in them, for studies of every kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hpo_engine.reports.figures import FIGURES, NothingToShow, draw
from hpo_engine.reports.figures.panels import MOST_POINTS
from hpo_engine.reports.figures.scales import spread, ticks
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from tests.support.results import evaluated

NAMES = ("importance", "parallel", "slices", "contour", "rank", "pareto")
SPACE = SearchSpace(
    (
        Float("lr", 1e-4, 1.0, log=True),
        Choice("optimizer", ("adam", "<b>sgd</b>")),
        Float("momentum", 0.0, 0.99, when={"optimizer": "<b>sgd</b>"}),
        Int("layers", 1, 4),
        Int("fixed", 3, 3),
    )
)


def loss(params: Mapping[str, Any]) -> float:
    return float(abs(np.log10(params["lr"]) + 2) + 0.1 * params["layers"] + params.get("momentum", 0.3))


@pytest.mark.parametrize("n", [1, 3, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_each_is_drawn_or_says_why_not(name: str, n: int) -> None:
    history = evaluated(SPACE, loss, n)
    try:
        figure = draw(history, name, dark=n == 3)
    except NothingToShow as why:
        assert name == "pareto" or (n < 20 and "at least" in str(why))
        return
    text = figure.to_json()
    assert "<b>sgd</b>" not in json.dumps(json.loads(text)["layout"])  # names are shown, not obeyed
    assert figure.data and name in FIGURES


@pytest.mark.parametrize("name", NAMES)
def test_without_results_each_says_so(name: str) -> None:
    history = evaluated(SPACE, lambda params: None, 30)
    with pytest.raises(NothingToShow, match="result|objective"):
        draw(history, name)


def test_one_parameter_and_one_objective() -> None:
    history = evaluated(SearchSpace((Float("x", -5, 5),)), lambda p: p["x"] ** 2, 30)
    assert len(draw(history, "slices").data) == 2
    with pytest.raises(NothingToShow, match="one parameter"):
        draw(history, "contour")
    with pytest.raises(NothingToShow, match="two parameters"):
        draw(history, "rank")


def test_the_front_has_its_hypervolume_and_no_dominated_trial() -> None:
    space = SearchSpace((Float("a", 0, 1), Float("b", 0, 1)))
    history = evaluated(space, lambda p: (p["a"], 1 - p["a"] + p["b"]), 40)
    figure = draw(history, "pareto")
    star = next(trace for trace in figure.data if (trace.name or "").startswith("Pareto front"))
    assert len(star.x) == len(history.front_ids)
    assert "hypervolume" in figure.layout.annotations[0].text
    three = evaluated(space, lambda p: (p["a"], p["b"], 1 - p["a"]), 40)
    assert (
        sum((trace.name or "").startswith("Pareto") for trace in draw(three, "pareto").data) == 3
    )  # a panel for each pair


def test_of_thousands_of_trials_the_whole_front_is_drawn() -> None:
    space = SearchSpace((Float("a", 0, 1), Float("b", 0, 1)))
    history = evaluated(space, lambda p: (p["a"], 1 - p["a"] + (p["b"] > 0.2) * p["b"]), 2000)
    assert len(history.front_ids) > 100
    star = next(trace for trace in draw(history, "pareto").data if (trace.name or "").startswith("Pareto front"))
    assert len(star.x) == len(history.front_ids)


def test_a_menu_switches_the_target_of_importance() -> None:
    history = evaluated(SPACE, lambda p: (loss(p), p["lr"]), 40)
    figure = draw(history, "importance")
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == ["the Pareto front", "loss0", "loss1"]
    shown = draw(history, "importance", target="loss1")
    assert shown.layout.updatemenus[0].active == 2


def test_the_surface_of_contours_is_that_of_the_function() -> None:
    space = SearchSpace((Float("a", 0, 1), Float("b", 0, 1), Float("u", 0, 1)))
    history = evaluated(space, lambda p: 3 * p["a"] + 2 * p["b"], 200)
    figure = draw(history, "contour")
    surface = figure.data[0]
    expected = 3 * np.asarray(surface.x)[None, :] + 2 * np.asarray(surface.y)[:, None]
    assert figure.layout.xaxis.title.text == "a"
    assert np.abs(np.asarray(surface.z) - expected).mean() < 0.4


@pytest.mark.slow
def test_thousands_of_trials_are_thinned_and_the_best_stay() -> None:
    history = evaluated(SearchSpace((Float("a", 0, 1), Float("b", 0, 1))), lambda p: p["a"], 3000)
    figure = draw(history, "slices")
    assert len(figure.data[0].x) == MOST_POINTS
    assert history.best_id in figure.data[0].customdata
    assert len(figure.to_json()) < 400_000


@pytest.mark.parametrize(
    "param, expected",
    [
        (Float("x", 1e-5, 1e-1, log=True), ["1e-5", "0.0001", "0.001", "0.01", "0.1"]),
        (Float("x", 0, 1), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Int("x", 16, 512, log=True), ["20", "50", "100", "200", "500"]),
        (Int("x", 1, 4), ["1", "2", "3", "4"]),
        (Int("x", 3, 6, power=2), ["8", "16", "32", "64"]),
        (Choice("x", (True, None, "a")), ["true", "null", "a"]),
    ],
)
def test_ticks_are_round_values_at_their_places(param: Float | Int | Choice, expected: list[str]) -> None:
    space = SearchSpace((param,))
    places, texts = ticks(space, "x")
    assert texts == expected
    assert places == sorted(places) and all(0 <= place <= 1 for place in places)


def test_points_of_few_values_are_spread_within_their_share() -> None:
    space = SearchSpace((Int("x", 1, 4), Float("y", 0, 1)))
    places = np.full(50, 0.375)
    found = spread(space, "x", places)
    assert np.abs(found - places).max() < 0.125 and len(set(found)) > 40
    assert (spread(space, "y", places) == places).all()


@pytest.mark.parametrize("offset, size", [(-123_456_789.0, 1e-3), (0.0, 1e300), (0.0, 1e-300)])
@pytest.mark.filterwarnings("error")
def test_values_beside_an_offset_or_of_any_size_are_told_apart(offset: float, size: float) -> None:
    history = evaluated(SPACE, lambda params: offset + size * loss(params), 9)
    dimension = draw(history, "parallel").data[0].dimensions[0]
    assert len(set(dimension["values"])) == 9 and np.isfinite(dimension["values"]).all()
    assert len(set(dimension["ticktext"])) == 6
    dots = draw(history, "slices").data[0].y
    assert len(set(dots)) == 9 and np.isfinite(dots).all()
