"""What a request asks of a cluster that is not there, and what this machine makes of it."""

from __future__ import annotations

from dataclasses import replace

from hpo_engine.study.spec import StudySpec


def fitted(spec: StudySpec, gpus: int, cores: int) -> StudySpec:
    """The study with as many GPUs for each trial as this machine, which has `gpus`, can give; with notes. Elastic
    training on the CPU gets a share of its `cores`."""
    asked, most = spec.resources.gpus, int(spec.dialect.get("elastic") or 0)
    if most and asked == 0:
        share = max(1, cores // spec.resources.parallel)
        return replace(spec, resources=replace(spec.resources, cpus=min(most, share)))
    if not asked:
        return spec
    # "Up to": then trials that run at the same time share what there is.
    share = max(1, gpus // spec.resources.parallel) if most else gpus
    given = min(asked, share, gpus)
    if given == asked:
        return spec
    asks = f"the request asks for {'up to ' if most else ''}{asked:g} GPU{'' if asked == 1 else 's'} for each trial"
    has = f"this machine has {gpus}, so each gets {given:g}" if gpus else "this machine has none, so trials run without"
    return replace(spec, resources=replace(spec.resources, gpus=given or None)).noted(f"{asks}; {has}")


def crowded(spec: StudySpec, cores: int) -> str | None:
    """A note on more trials at a time than there are cores, which a cluster had and this machine has not."""
    parallel = spec.resources.parallel
    if parallel <= cores or (spec.budget.most or parallel) <= cores:
        return None
    share = f"{parallel} trials at a time share {cores} core{'' if cores == 1 else 's'}"
    return f"maxParalleJobNum is {parallel}: {share}; with --parallel {cores} each has one to itself"
