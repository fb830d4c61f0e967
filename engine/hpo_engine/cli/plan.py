"""`plan`: what a study is going to run, train, take and leave on the disk."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import json_option, note, output_width, root_option, to_stderr
from hpo_engine.reports.objects import dump

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.core.rehearsal import Rehearsed
    from hpo_engine.reports.pace import Pace
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec

_LIMIT_S = 60.0
_WIDE = 0.1  # relative: a range that is worth mentioning


@click.command()
@click.argument("what", metavar="FILE|STUDY")
@click.option(
    "--measure", is_flag=True, help="Run a few short trials first, as `check` does, to learn how long they take."
)
@click.option("--parallel", type=click.IntRange(1), metavar="N", help="Trials at a time [as in the file].")
@root_option
@json_option
def plan(what: str, measure: bool, parallel: int | None, root: str | None, as_json: bool) -> int:
    """Show what a study is going to take: runs and training by amount of the resource, time and disk.

    Of a study FILE, before anything runs; times are known once its study has trials, or with --measure. Of a
    STUDY that has begun, what is left, by what its trials have taken.
    """
    from dataclasses import replace

    from hpo_engine import assembly
    from hpo_engine.contract.paths import runs_root
    from hpo_engine.probe.pacefile import recall

    folder = runs_root(root, os.environ)
    if os.path.isfile(what):
        spec, source = assembly.load_spec(what, os.environ)
        history, pace = None, None
        if measure:
            pace = _measured(spec, source, folder)
        else:
            known = _of_study(spec.name, folder)
            pace = (None if known is None else assembly.pace(*known)) or recall(folder, spec)
    else:
        from hpo_engine.cli.common import find, read_history

        paths = find(what, root)
        history = read_history(paths)
        spec, pace = replace(history.spec, model_dir=paths.model), assembly.pace(paths, history)
    if parallel is not None:
        spec = replace(spec, resources=replace(spec.resources, parallel=parallel))
    found = assembly.rehearsed(spec, pace, history)
    if as_json:
        click.echo(dump(_object(spec, found, pace, history)))
    else:
        click.echo("\n".join(_lines(what, spec, found, pace, history)))
    return 0


VERBS = (plan,)


def _of_study(name: str, folder: str) -> tuple[StudyPaths, History] | None:
    """The study that the file has made, if there is one."""
    from hpo_engine.cli.common import read_history
    from hpo_engine.contract.paths import StudyPaths

    paths = StudyPaths(os.path.join(folder, name))
    return (paths, read_history(paths)) if os.path.exists(paths.db) else None


def _measured(spec: StudySpec, source: str, folder: str) -> Pace | None:
    from hpo_engine.executors.local.processes import need_proc
    from hpo_engine.probe.cost import pace
    from hpo_engine.probe.pacefile import remember
    from hpo_engine.probe.running import probed

    need_proc()
    with probed(spec, source, folder, limit_s=_LIMIT_S, each=False, signals=[], say=to_stderr) as evidence:
        found = pace(evidence)
    if found is not None:
        remember(folder, spec, found)
    else:
        note("no short trial ended well, so that times are not known; hpo-engine check says what is wrong")
    return found


def _lines(
    what: str, spec: StudySpec, found: Rehearsed | None, pace: Pace | None, history: History | None
) -> Iterator[str]:
    from hpo_engine.text.tables import counted, duration, safe_text, table

    at_once = f", {spec.resources.parallel} at a time" if spec.resources.parallel > 1 else ""
    yield f"{safe_text(spec.name)}: {safe_text(spec.algorithm.name)}{at_once}"
    if history is not None:
        yield f"so far: {counted(history.runs_ended, 'run')} of {counted(history.begun, 'trial')}"
    if found is None:
        yield _unknown(spec)
        return
    if not found.runs:
        yield "nothing is left to run"
        return
    if spec.resource is not None:
        rows = [[amount, runs, found.carried_on.get(amount, 0)] for amount, runs in _rungs(found)]
        yield table([spec.resource.name.upper(), "RUNS", "CARRIED ON"], rows, align="rrr", width=output_width())
    yield f"{'in all' if history is None else 'left'}: {totals(spec, found, pace)}"
    yield _how_known(what, spec, found, pace)
    if spec.budget.time_s is not None:
        yield f"it ends after {duration(spec.budget.time_s)} (time_limit) at the latest"


def _unknown(spec: StudySpec) -> str:
    """Why nothing can be said of the runs of a study."""
    from hpo_engine.text.tables import counted, duration, safe_text

    budget = spec.budget
    at_most = [f"at most {counted(n, what)}" for n, what in ((budget.trials, "trial"), (budget.runs, "run")) if n]
    if budget.time_s is not None:
        at_most.append(f"at most {duration(budget.time_s)} (time_limit)")
    if budget.most is not None:
        return (
            f"{', '.join(at_most)}; how they are trained is up to {safe_text(spec.algorithm.name)}, which is a plugin"
        )
    if at_most:
        return f"{', '.join(at_most)}; the number of trials is not limited"
    return "no end is set: it runs until it is stopped (name `trials`, or a time_limit)"


def totals(spec: StudySpec, found: Rehearsed, pace: Pace | None) -> str:
    """`69 runs of 49 trials, 357 epochs, about 17.8 s, 1.8 MB on disk`."""
    from hpo_engine.text.tables import counted, safe_text

    parts = [f"{_most(spec, found)}{counted(sum(found.runs.values()), 'run')} of {counted(found.trials, 'trial')}"]
    if spec.resource is not None:
        parts.append(f"{found.units:,} {safe_text(spec.resource.name)}")
    return ", ".join(parts if pace is None else [*parts, time_and_disk(spec, found, pace)])


def time_and_disk(spec: StudySpec, found: Rehearsed, pace: Pace) -> str:
    """`about 17.8 s, 1.8 MB on disk`."""
    from hpo_engine.text.tables import duration, size_text

    low_s, high_s = found.between_s or (found.seconds, found.seconds)
    spread = f" ({duration(low_s)} to {duration(high_s)})" if high_s - low_s > _WIDE * found.seconds else ""
    text = f"{_most(spec, found) or 'about '}{duration(found.seconds)}{spread}"
    return f"{text}, {size_text(_bytes(spec, found, pace))} on disk" if pace.trial_bytes else text


def _most(spec: StudySpec, found: Rehearsed) -> str:
    return "at most " if spec.prunes or not found.whole else ""


def _rungs(found: Rehearsed) -> list[tuple[int, int]]:
    return sorted((amount or 0, runs) for amount, runs in found.runs.items())


def _how_known(what: str, spec: StudySpec, found: Rehearsed, pace: Pace | None) -> str:
    from hpo_engine.text.tables import counted, duration, safe_text, size_text

    if pace is None:
        return f"how long that takes is not known yet; short trials tell: hpo-engine plan {shlex.quote(what)} --measure"
    each = f"{duration(pace.start_s)} each"
    if spec.resource is not None:
        unit = f"{duration(pace.unit_s)} per unit of {safe_text(spec.resource.name)}"
        each = f"{duration(pace.start_s)} to start and {unit}" if pace.sure else f"{unit}, starting included"
    disk = f", {size_text(pace.trial_bytes)} per trial on disk" if pace.trial_bytes else ""
    left = ""
    if spec.resource is not None and spec.resource.resume == "auto" and not pace.checkpoints:
        needed = f"; they left no checkpoint, which {safe_text(spec.algorithm.name)} needs: hpo-engine check says more"
        left = needed if found.carried_on else "; they left no checkpoint, so promoted trials begin anew"
    return f"by {counted(pace.runs, 'run')}: {each}{disk}{left}"


def _bytes(spec: StudySpec, found: Rehearsed, pace: Pace) -> int:
    """A trial that is carried on keeps one folder."""
    runs = sum(found.runs.values()) - sum(found.carried_on.values())
    most = runs * pace.trial_bytes
    limit = spec.checkpoints.disk_bytes
    return most if limit is None else min(most, limit)


def _object(spec: StudySpec, found: Rehearsed | None, pace: Pace | None, history: History | None) -> dict[str, Any]:
    known = found is not None and pace is not None
    return {
        "study": spec.name,
        "algorithm": spec.algorithm.name,
        "parallel": spec.resources.parallel,
        "resource": None if spec.resource is None else spec.resource.name,
        "so_far": None if history is None else {"runs": history.runs_ended, "trials": history.begun},
        "runs": None if found is None else sum(found.runs.values()),
        "rungs": None if found is None or spec.resource is None else [
            {"amount": amount, "runs": runs, "carried_on": found.carried_on.get(amount, 0)}
            for amount, runs in _rungs(found)
        ],
        "trials": None if found is None else found.trials,
        "units": None if found is None or spec.resource is None else found.units,
        "seconds": found.seconds if found is not None and known else None,
        "seconds_between": found.between_s if found is not None and known else None,
        "bytes": _bytes(spec, found, pace) if found is not None and pace is not None else None,
        "start_s": None if pace is None else pace.start_s,
        "unit_s": None if pace is None else pace.unit_s,
        "measured_runs": None if pace is None else pace.runs,
    }  # fmt: skip
