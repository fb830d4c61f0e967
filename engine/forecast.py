"""What a study is going to cost, said before it starts: its runs, and how much of the resource they take.

Numbers of plans only; how long a run takes is known to nobody yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine import wmla
from engine.searchers.brackets import Plan, cut_off, in_words
from engine.study import StudySpec


def about(spec: StudySpec, searcher: Any, *, known: bool) -> str:
    """What the searcher is going to do, in a line; "" where there is nothing to say.

    Args:
        known: whether the searcher is one of ours, which gives every run the most of a resource if it says nothing.
    """
    told = str(getattr(searcher, "about", ""))
    if told or not spec.resource_name or not spec.resource_max:
        return told
    if spec.budget.trials is None:
        return f"every run gets {spec.resource_max:,} {spec.resource_name}"
    least = known and spec.early_stopping is None
    return in_words({spec.resource_max: spec.budget.trials}, spec.resource_name, "" if least else "at most ")


def warnings(spec: StudySpec, cores: int) -> Iterator[str]:
    """What a request of WMLA costs here that it did not cost there."""
    if not wmla.is_from_request(spec):
        return
    if crowded := wmla.crowded(spec, cores):
        yield crowded
    if spec.algorithm == "hyperband" and spec.resource_max and spec.budget.trials:
        yield from _dearer(spec, spec.resource_name or "", spec.resource_max, spec.budget.trials)


def _dearer(spec: StudySpec, name: str, most: int, trials: int) -> Iterator[str]:
    """WMLA ran the first brackets as they are, and cut off what maxJobNum did not allow."""
    plan = Plan(most, 1, float(spec.algorithm_options.get("eta", 3)))
    theirs, ours = cut_off(plan, trials), plan.planned(trials, spec.space.size)
    spent = [sum(amount * runs for amount, runs in counts.items()) for counts in (theirs, ours)]
    if spent[1] > spent[0]:
        yield (
            f"WMLA would have cut Hyperband's brackets off at maxJobNum ({in_words(theirs, name)}); here every bracket "
            f"ends with a run of {most:,}, which makes it {spent[1]:,} {name}"
        )
