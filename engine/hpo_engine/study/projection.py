"""A history as its searcher is to see it after the space has changed: each trial as a member of the space as it is now.

A trial whose configuration is a member counts as before, with the values that parameters added since had in it
(`StudySpec.was`). Any other one keeps its number and its place in tables, but is no evidence: it appears as a trial
that the user stopped, without a configuration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hpo_engine.space.conditions import applies
from hpo_engine.space.partial import problems_of
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Queued, Trial, TrialState
from hpo_engine.study.values import changed


class Projection:
    """Histories of one study -> what its searcher sees of them.

    Keeps the trials that it has made, by the identity of the original ones, which changes no answer. May be called from
    several threads.
    """

    def __init__(self) -> None:
        self._kept: tuple[StudySpec | None, TrialTable, TrialTable] = None, TrialTable(), TrialTable()
        # (for which spec, the original trials, what was made of them)

    def of(self, history: History) -> History:
        """The history itself, unless its space has changed at some time."""
        if not history.respaced:
            return history
        spec, (of, seen, made) = history.spec, self._kept
        if spec is not of or len(history.trials) < len(seen):
            seen = made = TrialTable()
        for trial in history.trials.changed(seen):
            made = made.put(projected(trial, spec.space, spec.was))
        self._kept = spec, history.trials, made
        counts = Counter(trial.state for trial in made)
        open_ids = tuple([number for number in history.open_ids if not made[number].state.ended])
        return changed(history, trials=made, counts=counts, open_ids=open_ids)


def projected(trial: Trial, space: SearchSpace, was: Mapping[str, Any]) -> Trial:
    """The trial as a member of the space, or as one that is no evidence."""
    params = member(trial.params, space, was)
    if params is None:
        proposal = changed(trial.proposal, params={})
        return changed(trial, proposal=proposal, state=TrialState.STOPPED, results=(), rows=(), attempts=(), stop=None)
    if params == trial.params and list(map(type, params.values())) == list(map(type, trial.params.values())):
        return trial
    return changed(trial, proposal=changed(trial.proposal, params=params))


def member(params: Mapping[str, Any], space: SearchSpace, was: Mapping[str, Any]) -> dict[str, Any] | None:
    """The configuration as a member of the space, in the order of its parameters; None if it is not one.

    A parameter that is missing and applies has the value that it `was`.
    """
    if any(name not in space for name in params):
        return None
    found: dict[str, Any] = {}
    for name, axis, _, conditions in space.plan:  # parents first
        if conditions and not applies(conditions, found):
            if name in params:
                return None
            continue
        if name not in params and name not in was:
            return None
        value = params[name] if name in params else was[name]
        if axis.problem(value) is not None:
            return None
        found[name] = axis.tidy(value)
    return {name: found[name] for name in space.names if name in found} if space.allows(found) else None


def fitting(entry: Queued, space: SearchSpace) -> Queued | None:
    """A queued configuration without the values that the space does not have any more; None if none is left.

    One of the user's own is dropped as a whole: without a part of it, it would be another one.
    """
    left = part(entry.params, space)
    if left == entry.params:
        return entry
    return changed(entry, params=left) if left and entry.study is not None else None


def part(params: Mapping[str, Any], space: SearchSpace) -> dict[str, Any]:
    """The part of a configuration, complete or partial, that the space holds."""
    left = dict(params)
    while wrong := {name for name, _ in problems_of(space, left)}:
        left = {} if wrong == {""} else {name: value for name, value in left.items() if name not in wrong}
    return left
