"""StudySpec -> the native document, and the JSON Schema of that document."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from hpo_engine.space.params import Choice, Constant, Param
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import (
    ALIKE,
    DIVERGED,
    MISNAMED,
    RANK,
    SOURCES_AUTO,
    Checkpoints,
    Isolation,
    Named,
    Resource,
    Resources,
    StudySpec,
    TrialPolicy,
)
from hpo_engine.studyfile.common import ragged
from hpo_engine.studyfile.named import to_mapping
from hpo_engine.studyfile.native.form import ResourceForm, StudyForm
from hpo_engine.studyfile.native.space import OUTSIDE


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the study file, for editors."""
    schema = StudyForm.model_json_schema(by_alias=True)
    either = [
        {"anyOf": [{"required": ["space"]}, {"required": ["experiments"]}]},
        {"oneOf": [{"required": ["objective"]}, {"required": ["objectives"]}]},
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "hpo-engine study",
        "allOf": either,
    }


def to_native(spec: StudySpec) -> dict[str, Any]:
    """The document that `parse` reads back as an equal StudySpec; fields that hold their default are left out."""
    trials = spec.budget.trials
    document = {
        "name": spec.name,
        "command": shlex.join(spec.command),
        "model_dir": spec.model_dir,
        "exclude": list(spec.exclude),
        "base_config": spec.base_config,
        "objective": None if spec.multi_objective else _objective(spec.objectives[0], "best"),
        "objectives": [_objective(o, "last") for o in spec.objectives] if spec.multi_objective else [],
        "algorithm": _algorithm(spec),
        "options": {**spec.algorithm.options, **_given({"seed": spec.seed})},
        "trials": "unlimited" if trials is None else trials,
        "runs": spec.budget.runs,
        "parallel": spec.resources.parallel,
        "time_limit": _seconds(spec.budget.time_s),
        "early_stopping": _early_stopping(spec),
        "failures": _failures(spec),
        "stop": [to_mapping(chosen) for chosen in spec.stop if _is_listed(chosen)],
        "trackers": None if spec.trackers == StudySpec.trackers else [_named(chosen) for chosen in spec.trackers],
        "results": []
        if spec.metric_sources == (Named(SOURCES_AUTO),)
        else [_named(chosen) for chosen in spec.metric_sources],
        "executor": None if spec.executor == StudySpec.executor else _named(spec.executor),
        "trial": _trial(spec.resources, spec.trial),
        "resource": _resource(spec),
        "resume_key": spec.resume_key,
        "checkpoints": _checkpoints(spec.checkpoints),
        # That of ragged experiments is no rule for them: it follows from them.
        "space": None if ragged(spec.experiments) else {p.name: _spelled(p, spec) for p in spec.space.params},
        "require": list(spec.space.require) if len(spec.space.require) != 1 else spec.space.require[0],
        "points": [dict(point) for point in spec.points],
        "warm_start": list(spec.warm_start),
        "experiments": [dict(e) for e in spec.experiments],
        "metrics": dict(spec.extra_metrics),
        "env": dict(spec.env),
        "params_env": spec.params_env,
        "files": {f.path: dict(f.keys) if f.keys is not None else {"template": f.template} for f in spec.files},
        "data_dir": spec.data_dir,
        "data_root": spec.data_root,
        "interpreter": spec.interpreter,
        "dialect": dict(spec.dialect),
        "submitted_code": spec.submitted_code,
    }
    return {k: v for k, v in document.items() if v not in (None, {}, []) or (k, v) == ("trackers", [])}


def _algorithm(spec: StudySpec) -> Any:
    """The name alone, unless something else than the default is said of how it runs."""
    if spec.isolation is None:
        return spec.algorithm.name
    isolated = {} if spec.isolation.plugin is not None else {"isolated": True}
    limit = spec.isolation.call_limit_s
    more = {**isolated, **({} if limit == Isolation.call_limit_s else {"call_limit": _seconds(limit)})}
    return {"name": spec.algorithm.name, **more} if more else spec.algorithm.name


def _resource(spec: StudySpec) -> dict[str, Any]:
    if spec.resource is None:
        return {}
    resource = spec.resource
    least = resource.min if resource.min != Resource.min else None
    resume = resource.resume if resource.resume != ResourceForm.model_fields["resume"].default else None
    return _given({"name": resource.name, "max": resource.max, "min": least, "resume": resume})


def _checkpoints(chosen: Checkpoints) -> Any:
    """The short form if there are only patterns."""
    if chosen.keep == Checkpoints.keep and chosen.disk_bytes is None:
        return list(chosen.patterns)
    disk = None if chosen.disk_bytes is None else _size(chosen.disk_bytes)
    return _given({"patterns": list(chosen.patterns) or None, "keep": chosen.keep, "disk": disk})


def _size(count: int) -> str:
    """Bytes in the largest unit that gives a whole number."""
    power = next(k for k in (4, 3, 2, 1, 0) if count % 1024**k == 0)
    return f"{count // 1024**power}{('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def _objective(objective: Objective, default_over: str) -> dict[str, Any]:
    out = {"metric": objective.metric, "goal": objective.goal}
    return out if objective.over == default_over else {**out, "over": objective.over}


_OWN_FIELDS = (MISNAMED, ALIKE, DIVERGED, RANK)


def _is_listed(chosen: Named) -> bool:
    """Whether `stop` has it: other fields have the rules of every study, and rank."""
    return chosen.name not in _OWN_FIELDS or (chosen.name == DIVERGED and bool(chosen.options))


def _early_stopping(spec: StudySpec) -> Any:
    rank = next((chosen for chosen in spec.stop if chosen.name == RANK), None)
    diverged = {} if spec.stops(DIVERGED) else {"diverged": "off"}
    if rank is None:
        return diverged and "off"
    return {"rule": RANK, **rank.options, **diverged}


def _failures(spec: StudySpec) -> Any:
    alike = next((chosen for chosen in spec.stop if chosen.name == ALIKE), None)
    return "off" if alike is None else {k: "off" if v is None else v for k, v in alike.options.items()}


def _named(chosen: Named) -> Any:
    return {"name": chosen.name, **chosen.options} if chosen.options else chosen.name


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in fields.items() if v is not None}


def _seconds(value: float | None) -> float | None:
    """Without the ".0" that no person would write."""
    return int(value) if value is not None and value == int(value) else value


def _trial(resources: Resources, policy: TrialPolicy) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "cpus": resources.cpus,
        "gpus": resources.gpus,
        "time_limit": _seconds(policy.time_limit_s),
    }
    if policy.on_time_limit != TrialPolicy.on_time_limit:
        fields["on_time_limit"] = policy.on_time_limit
    if policy.retries:
        fields["retries"] = policy.retries
    if policy.grace_s != TrialPolicy.grace_s:
        fields["grace"] = _seconds(policy.grace_s)
    if policy.log_mb != TrialPolicy.log_mb:
        fields["log_limit"] = f"{policy.log_mb!r}MB"
    if policy.preload != TrialPolicy.preload:
        fields["preload"] = policy.preload if isinstance(policy.preload, str) else list(policy.preload)
    return _given(fields)


def _spelled(param: Param, spec: StudySpec) -> Any:
    written, more = entry(param), _given({"arg": spec.spellings.get(param.name)})
    if param.name in spec.was:
        was = spec.was[param.name]
        more["was"] = was if spec.space.axis(param.name).problem(was) is None else {OUTSIDE: was}
    if not more:
        return written
    return {**(written if isinstance(written, dict) else {"constant": written}), **more}


def entry(param: Param) -> Any:
    """A parameter as the study file's `space` has it."""
    if isinstance(param, Constant):
        if param.when is None and isinstance(param.value, (str, int, float)):
            return param.value
        return {"constant": param.value, **_given({"when": param.when})}
    fields: dict[str, Any]
    if isinstance(param, Choice):
        fields = {"choice": list(param.choices), "ordered": param.ordered or None}
    else:
        fields = {param.kind: [param.low, param.high], "log": param.log or None}
        fields.update(step=param.step, power=param.power)
    return _given({**fields, "when": param.when})
