"""What a study will cost, by what its short trials have taken."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from statistics import median

from hpo_engine import assembly
from hpo_engine.probe.values import Cost, Evidence, Why
from hpo_engine.study.spec import StudySpec


def cost(e: Evidence) -> Cost:
    """Times grow with the resource, as between two runs with different amounts; early stopping saves some of it."""
    spec = e.spec
    whole = [run.seconds for run in e.runs if run.whole]
    some = whole or [run.seconds for run in e.working]
    run_s = median(some) if some else None
    if spec.resource is not None:
        least = [run.seconds for run in e.runs if run.whole and run.resource == spec.resource.min]
        run_s = median(least) if least else run_s
    per_unit = _per_unit(e, run_s)
    amounts = _amounts(spec)
    runs = sum(amounts.values()) if amounts else spec.budget.most
    total_s = _total_s(spec, amounts, run_s, per_unit)
    run_bytes = max((run.disk_bytes for run in e.working), default=0)
    return Cost(
        runs,
        spec.resources.parallel,
        run_s,
        not whole,
        per_unit,
        assembly.plan(spec),
        total_s,
        run_bytes,
        None if runs is None else runs * run_bytes,
        shutil.disk_usage(e.folder).free,
    )


def _amounts(spec: StudySpec) -> Mapping[int, int]:
    """How many runs with each amount of the resource; {} if that is not known, or there is no resource."""
    if spec.resource is None:
        return {}
    planned = assembly.searcher(spec).planned_runs()
    if planned or spec.budget.most is None:
        return planned
    return {spec.resource.max: spec.budget.most}


def _per_unit(e: Evidence, run_s: float | None) -> float | None:
    """Seconds that one more of the resource takes; None: there is none, or it is not known."""
    resource = e.spec.resource
    if resource is None or run_s is None:
        return None
    more = e.of(Why.MORE)
    if more is not None and more.whole and more.resource is not None and more.resource > resource.min:
        return max(0.0, more.seconds - run_s) / (more.resource - resource.min)
    return run_s / resource.min


def _total_s(spec: StudySpec, amounts: Mapping[int, int], run_s: float | None, per_unit: float | None) -> float | None:
    """Seconds of the whole study; None if that cannot be told."""
    parallel = max(1, spec.resources.parallel)
    if run_s is None:
        return None
    if spec.resource is not None:
        least = spec.resource.min
        each = [(run_s + (amount - least) * (per_unit or 0.0)) * count for amount, count in amounts.items()]
        return sum(each) / parallel if amounts else None
    return None if spec.budget.most is None else spec.budget.most * run_s / parallel
