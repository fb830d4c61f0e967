"""How many cases a property is tried with."""

from __future__ import annotations

from hypothesis import settings

ALL = 40  # of a test that names no number


def some(most: int) -> int:
    """`most` where slow tests run, too; else in proportion to what the profile gives a test that names no number."""
    return max(5, most * settings().max_examples // ALL)
