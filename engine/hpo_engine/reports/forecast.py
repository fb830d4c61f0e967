"""What a study is going to cost, before it starts: its runs, and how much of the resource they take.

Counts only; how long a run takes is not known yet.
"""

from __future__ import annotations

from collections.abc import Iterator

from hpo_engine.searchers import Searcher
from hpo_engine.searchers.brackets import HyperbandPlan, cut_off, in_words
from hpo_engine.study.spec import StudySpec
from hpo_engine.text.tables import counted


def plan(spec: StudySpec, searcher: Searcher, *, known: bool) -> str:
    """The runs of a study with a resource and how much of it they take, in one line; "" without a resource.

    Args:
        known: whether the searcher is a built-in one, which gives every run the maximum unless it has a plan.
    """
    if spec.resource is None:
        return ""
    if own := searcher.planned():
        return f"at most {own}" if spec.may_end_early else own
    if searcher.traits.carries_on:
        most, name, trials = spec.resource.max, spec.resource.name, spec.budget.most
        if trials is None:
            return f"at most {most:,} {name} for every trial"
        return f"{counted(trials, 'trial')} of at most {most:,} {name} each; at most {trials * most:,} {name} in all"
    if spec.budget.most is None:
        return f"{'' if known else 'at most '}{spec.resource.max:,} {spec.resource.name} for every run"
    exact = known and not spec.may_end_early
    return in_words({spec.resource.max: spec.budget.most}, spec.resource.name, "" if exact else "at most ")


_MANY = 2  # trials at a time per core; with more they only wait for each other


def at_once(spec: StudySpec, free: int, cores: int, gpus: int) -> Iterator[str]:
    """How many trials the machine can run at a time, if that differs from `parallel`.

    Args:
        free: trials that can run at a time.
    """
    own = spec.resources
    wanted = min(own.parallel, spec.budget.most or own.parallel)
    if free < wanted:
        needs = []
        if own.cpus is not None and cores // own.cpus < wanted:
            needs.append(f"{counted(own.cpus, 'core')} each of {cores}")
        if own.gpus and gpus / own.gpus < wanted:
            needs.append(f"{own.gpus:g} GPU{'' if own.gpus == 1 else 's'} each of {gpus}")
        yield f"{counted(free, 'trial')} at a time, not {own.parallel}: {', '.join(needs)}"
    elif own.cpus is None and not own.gpus and wanted > _MANY * cores and spec.submitted_code is None:
        share = f"{counted(wanted, 'trial')} at a time share {counted(cores, 'core')} and need the memory of {wanted}"
        yield f"{share}; with --parallel {cores} each has a core to itself"


def warnings(spec: StudySpec, cores: int) -> Iterator[str]:
    """What a study from a WMLA request costs in addition to what it cost there."""
    from hpo_engine.studyfile import wmla  # few studies are of its requests

    if crowded := wmla.crowded(spec, cores):
        yield crowded
    if spec.algorithm.name == "hyperband" and spec.resource and spec.budget.runs:
        yield from _dearer(spec, spec.resource.name, spec.resource.max, spec.budget.runs)


def _dearer(spec: StudySpec, name: str, most: int, runs: int) -> Iterator[str]:
    """WMLA ran the first brackets unchanged, and cut off what exceeded maxJobNum."""
    plan, space = HyperbandPlan(most, 1, float(spec.algorithm.options.get("eta", 3))), spec.space.size
    theirs = cut_off(plan, runs)
    ours = plan.planned(runs) if space is None or space >= runs else plan.planned_whole(runs, space)
    spent = [sum(amount * runs for amount, runs in counts.items()) for counts in (theirs, ours)]
    if spent[1] > spent[0]:
        yield (
            f"WMLA would have cut Hyperband off at maxJobNum ({in_words(theirs, name)}); here every "
            f"bracket ends with a run of {most:,}, so this study takes {spent[1]:,} {name}"
        )
