"""What a user may change in a study that exists, and the events that record it. Pure functions of the history."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from hpo_engine.errors import Problem, SpecError
from hpo_engine.space.partial import allowed_completion, problems_of
from hpo_engine.study.events import SpecChanged, TrialQueued
from hpo_engine.study.history import History
from hpo_engine.study.spec import Params, StudySpec

# -- the queue ---------------------------------------------------------------------------------------------------------


def queued(
    history: History, configurations: Sequence[Params], now: float, request: str | None = None
) -> list[TrialQueued]:
    """The events that put configurations, complete or partial ones, in front of those that wait.

    Raises:
        SpecError: with the problems of all of them; or the study can try no more of them.
    """
    spec, problems = history.spec, list[Problem]()
    if spec.experiments:
        raise SpecError(f"{spec.name} runs a fixed list of experiments; nothing can be queued in it")
    for number, params in enumerate(configurations):
        problems += configuration_problems(spec, params, f"[{number}]" if len(configurations) > 1 else "")
    if problems:
        raise SpecError(problems[:_MOST])
    if (trials := spec.budget.trials) is not None:
        taken = history.next_id + sum(entry.study is None for entry in history.queue)
        if taken + len(configurations) > trials:
            raise SpecError(
                f"{spec.name} has room for {max(0, trials - taken)} more: of {trials} trials {history.next_id} have "
                f"begun, and {taken - history.next_id} are queued; first: hpo-engine edit {spec.name} --set "
                f"trials={taken + len(configurations)}"
            )
    return [
        TrialQueued(now, history.queued + i, spec.space.tidied(params), None, True, request)
        for i, params in enumerate(configurations)
    ]


_MOST = 20


def configuration_problems(spec: StudySpec, params: Any, path: str = "") -> list[Problem]:
    """Why `params` is not part of a configuration of the study; none if it is."""
    if not isinstance(params, Mapping) or not params:
        return [Problem(path, "must be a mapping of parameters to values, with at least one of them")]
    wrong = problems_of(spec.space, params)
    if not wrong and allowed_completion(spec.space, params, {}, random.Random(0).random) is None:
        wrong = [("", f"no configuration with these values satisfies {spec.space.rules_text}")]
    return [Problem(".".join(filter(None, (path, name))), text) for name, text in wrong]


# -- the study itself --------------------------------------------------------------------------------------------------


def changed_by(history: History, body: Mapping[str, Any], now: float, request: str | None = None) -> SpecChanged:
    raise SpecError("not yet")
