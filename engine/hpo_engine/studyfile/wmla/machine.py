"""What a request asks of a cluster that is not there, and what this machine makes of it."""

from __future__ import annotations

from dataclasses import replace

from hpo_engine.study.spec import StudySpec
from hpo_engine.studyfile.wmla.arguments import read_arguments


def fitted(spec: StudySpec, gpus: int) -> StudySpec:
    """The study with as many GPUs for each trial as this machine, which has `gpus`, can give; with notes."""
    asked = spec.resources.gpus
    if not asked:
        return spec
    most = read_arguments(str(spec.dialect.get("args", ""))).elastic
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
