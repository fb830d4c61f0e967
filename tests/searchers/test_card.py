"""Options say what they allow, and allow that."""

from __future__ import annotations

from typing import Any

import pytest

from hpo_engine.plugins.card import Option


@pytest.mark.parametrize(
    ("option", "good", "bad", "words"),
    [
        (Option("", int, 5, least=1), [1, 10**9], [0, True, 1.0, "3", None], "a whole number from 1 on"),
        (Option("", int, None, least=2, most=9), [2, 9, None], [1, 10], "a whole number from 2 to 9"),
        (
            Option("", float, 3.0, least=1, above=True),
            [1.5, 2],
            [1, float("inf"), float("nan"), "2", 10**400],
            "a number above 1",
        ),
        (Option("", float, 0.5, least=0, most=1, above=True), [1, 0.1], [0, 1.1], "a number above 0 up to 1"),
        (Option("", bool, False), [True, False], [0, 1, "true", None], "true or false"),
        (Option("", str, "gp", words=("gp", "skopt")), ["gp"], ["tp", 1, True], "gp or skopt"),
        (Option("", str, "x"), ["y"], [1], "text"),
    ],
)
def test_an_option_takes_what_it_says(option: Option, good: list[Any], bad: list[Any], words: str) -> None:
    assert option.range == words
    for value in good:
        assert option.take(value) == value
    for value in bad:
        with pytest.raises(ValueError, match=f"^must be {words}, not "):
            option.take(value)
