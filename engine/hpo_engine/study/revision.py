"""What a user may change in a study that exists, and the events that record it. Pure functions of the history."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from hpo_engine.errors import Problem, SpecError
from hpo_engine.space.partial import allowed_completion, problems_of
from hpo_engine.study.events import SpecChanged, TrialQueued
from hpo_engine.study.history import History
from hpo_engine.study.projection import part
from hpo_engine.study.spec import SOURCES_AUTO, Named, Params, ScriptFile, StudySpec
from hpo_engine.study.trial import Trial
from hpo_engine.text.quoting import shown
from hpo_engine.text.tables import counted

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
    waiting = sum(entry.study is None for entry in history.queue)
    for key, limit, begun in (("trials", spec.budget.trials, history.begun), ("runs", spec.budget.runs, history.runs)):
        if limit is not None and (needed := begun + waiting + len(configurations)) > limit:
            raise SpecError(
                f"{spec.name} has room for {max(0, limit - begun - waiting)} more: of {limit} {key} {begun} have "
                f"begun, and {waiting} are queued; first: hpo-engine edit {spec.name} --set {key}={needed}"
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
    if spec.resource is not None and spec.resource.name in params and spec.resource.name not in spec.space:
        wrong = [(spec.resource.name, "is the resource of the study; the searcher decides how much a trial gets")]
    if not wrong and allowed_completion(spec.space, params, {}, random.Random(0).random) is None:
        wrong = [("", f"no configuration with these values satisfies {spec.space.rules_text}")]
    return [Problem(".".join(filter(None, (path, name))), text) for name, text in wrong]


# -- the study itself --------------------------------------------------------------------------------------------------

_CANNOT = "cannot be changed"
_RAN = "the trials so far ran with it"
_COPIED = "the study has its own copy of the script's folder, which was made when it began"
FIXED: Mapping[str, str] = {
    "name": "it is the name of the study's folder",
    "objectives": "the results so far are values of it; to judge them by another metric: hpo-engine best --metric",
    "model_dir": _COPIED,
    "exclude": _COPIED,
    "base_config": _COPIED,
    "resource": "results with different amounts of it do not compare; begin a new study with warm_start: [this one]",
    "resume_key": _RAN,
    "metric_sources": "the results so far were read from them",
    "executor": _RAN,
    "params_env": _RAN,
    "data_dir": _RAN,
    "data_root": _RAN,
    "interpreter": _RAN,
    "experiments": "they are the whole study; submit another one with the others",
    "points": "they were queued when the study began; to try more: hpo-engine enqueue",
    "warm_start": "earlier studies are read once, when the study begins",
    "extra_metrics": "trials so far were read without them; every row has all metrics: hpo-engine best --metric",
    "seed": "the trials so far were drawn with it",
}
"""Fields of a StudySpec that cannot change in a study that exists, and why."""
FREE = ("budget", "resources", "trial", "stop", "trackers", "algorithm", "checkpoints")
"""Fields that may change, as far as what uses them can be made (`assembly`)."""
OF_SPACE = ("space", "was", "spellings", "command", "env", "files")
"""Fields that change with the space: a parameter is added, removed, or has other values."""
KEPT = ("base", "linked", "prior", "notes", "dialect", "submitted_code", "isolation")
"""Fields that belong to the study and not to its file, or stay as they were when it began (how its searcher runs);
`prior` follows the space."""
_CALLED = {
    "objectives": "objective", "metric_sources": "results", "extra_metrics": "metrics", "seed": "options.seed",
}  # fmt: skip
"""What a study file calls them."""


def revised(history: History, new: StudySpec) -> StudySpec:
    """The study as it is to be from now on.

    Args:
        new: what the changed study file says.

    Raises:
        SpecError: with everything in it that cannot be changed, and why.
    """
    old = history.spec
    problems = [Problem(_CALLED.get(name, name), f"{_CANNOT}: {why}") for name, why in _fixed(old, new)]
    problems += [*_unplaced(old, new), *_new_parameters(history, new), *_limits(history, new)]
    if old.submitted_code is not None and not problems:
        limits = replace(old, budget=new.budget, resources=replace(old.resources, parallel=new.resources.parallel))
        others = [name for name in (*FREE, *OF_SPACE) if getattr(limits, name) != getattr(new, name)]
        why = "cannot be changed: of a study that was made of a WMLA request, only limits can"
        problems = [Problem(name, why) for name in others]
    if problems:
        raise SpecError(problems)
    was = {name: value for name, value in {**old.was, **new.was}.items() if name in new.space}
    changes = {name: getattr(new, name) for name in (*FREE, *OF_SPACE)}
    prior = [replace(trial, params=part(trial.params, new.space)) for trial in old.prior]
    kept = tuple([trial for trial in prior if trial.params]) if new.space != old.space else old.prior
    return replace(old, **{**changes, "was": was, "prior": kept})


def fixed_keys(keys: Set[str]) -> list[tuple[str, str]]:
    """Of the fields of a study file, those that cannot change in a study that exists, each with the reason."""
    named = {_CALLED.get(name, name): why for name, why in FIXED.items()} | {"objectives": FIXED["objectives"]}
    return [(key, f"{_CANNOT}: {why}") for key, why in named.items() if key in keys]


def _fixed(old: StudySpec, new: StudySpec) -> Iterator[tuple[str, str]]:
    """The fixed fields that differ, each with the reason why it must not."""
    for name, why in FIXED.items():
        before, after = getattr(old, name), getattr(new, name)
        unsaid = (name == "seed" and after is None) or (
            name == "metric_sources" and (before, after) == (StudySpec.metric_sources, (Named(SOURCES_AUTO),))
        )
        if before != after and not unsaid:
            yield name, why


def _unplaced(old: StudySpec, new: StudySpec) -> Iterator[Problem]:
    """What differs in command, env and files, but for what hands over parameters that are added or removed."""
    names = set(old.space.names) ^ set(new.space.names)
    for field in ("command", "env", "files"):
        if _without(getattr(old, field), names) != _without(getattr(new, field), names):
            text = "only words that hand over an added or a removed parameter can be changed: "
            yield Problem(field, f"{text}{_RAN}")
    for name, spelling in new.spellings.items():
        if name in old.space and old.spellings.get(name) != spelling:
            yield Problem(f"space.{name}.arg", f"cannot be changed: {_RAN}")


def _without(value: Any, names: Set[str]) -> Any:
    """A command, or what maps variables or files to texts, without what hands over these parameters."""
    if isinstance(value, Mapping):
        return {key: text for key, text in value.items() if not _hands_over(str(text), names)}
    if value and isinstance(value[0], ScriptFile):
        keys = [(file.path, file.template, _without(file.keys or {}, names)) for file in value]
        return [found for found in keys if found[1] or found[2]]
    out: list[str] = []
    for word in value:
        if not _hands_over(word, names):
            out.append(word)
        elif out and word.startswith("{") and out[-1].startswith("-") and "=" not in out[-1]:
            out.pop()  # the option whose value it is
    return out


def _hands_over(text: str, names: Set[str]) -> bool:
    return any(re.search(r"(?<!\{)\{" + re.escape(name) + r"(\}|\?|\.\.\.)", text) for name in names)


def _new_parameters(history: History, new: StudySpec) -> Iterator[Problem]:
    """New parameters without the value that the trials so far had."""
    for name in new.space.names:
        if name not in history.spec.space and name not in new.was and history.next_id:
            trials = counted(history.next_id, "trial")
            yield Problem(
                f"space.{name}",
                f"is new: say which value it had in the {trials} so far, as in `was: 0.5`; one that it cannot have now "
                "as `was: {outside: 0.5}`",
            )


def _limits(history: History, new: StudySpec) -> Iterator[Problem]:
    budget, name = history.spec.budget, history.spec.name
    for key, limit, before, had in (
        ("trials", new.budget.trials, budget.trials, history.runs if history.counts_runs else history.begun),
        ("runs", new.budget.runs, budget.runs, history.runs),
    ):
        if limit is not None and limit < had and limit != before:
            yield Problem(key, f"{limit}, but {name} has {had} {key if had != 1 else key[:-1]} already")


def fingerprint(spec: StudySpec) -> str:
    """Identifies a spec, so that a change by somebody else in the meantime is noticed."""
    return hashlib.sha256(json.dumps(spec.to_json(), sort_keys=True).encode()).hexdigest()


def changed_by(history: History, body: Mapping[str, Any], now: float, request: str | None = None) -> SpecChanged:
    """The event that changes the study.

    Args:
        body: `spec`, `source`, `lines`, `who` as in SpecChanged; `before`: the fingerprint of what was edited.

    Raises:
        SpecError: the study has changed meanwhile, or cannot be changed like this.
    """
    if body["before"] != fingerprint(history.spec):
        raise SpecError(f"{history.spec.name} was changed by somebody else meanwhile; nothing was done: try again")
    spec = revised(history, StudySpec.from_json(body["spec"]))
    return SpecChanged(
        now, {}, spec.to_json(), body.get("source"), tuple(body.get("lines", ())), body.get("who"), request
    )


def outdated(history: History, trial: Trial) -> str:
    """Why a trial that waits to run must not: its command no longer hands over a parameter of it ("": it may)."""
    if not history.respaced:
        return ""
    gone = [name for name in trial.params if name not in history.spec.space]
    return f"it has {shown(gone[0])}, which is not a parameter any more" if gone else ""
