"""Whether runs go on from checkpoints, and whether new values arrive there; for studies that change them meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from hpo_engine.probe.choosing import breeds, goes_on
from hpo_engine.probe.values import Evidence, Finding, Level, Ran, Why, alike
from hpo_engine.reports.remarks import Unlike
from hpo_engine.text.quoting import listed
from hpo_engine.text.tables import value

_TOPIC = "parameters"
_SHOWN = 6


def found(e: Evidence) -> Iterator[Finding]:
    base = e.of(Why.FIRST)
    if not breeds(e.spec) or base is None or base.failed or not base.trial.results:
        return
    resumed = e.of(Why.RESUMED)
    if resumed is None:
        if not base.asked and not goes_on(base.trial, e.spec):
            yield _no_checkpoint(base)
        return
    if resumed.failed:
        text = f"a run that goes on from the checkpoint of trial {resumed.purpose.base} fails: {resumed.reason}"
        action = "let the script begin with the checkpoint that HPO_RESUME_FROM names"
        yield Finding(Level.PROBLEM, _TOPIC, "resume_fails", text, action)
        return
    unlike, more = Unlike(e.spec), e.of(Why.MORE)
    if more is not None and len(more.rows) == len(resumed.rows) and alike(more.rows, resumed.rows, unlike):
        text = "a run that is to go on from a checkpoint begins anew: its rows are those of a run from the beginning"
        action = "let the script load the checkpoint that HPO_RESUME_FROM names, and continue its count of steps"
        yield Finding(Level.PROBLEM, _TOPIC, "resume_ignored", text, action)
        return
    yield from _values(e, resumed, unlike)


def _values(e: Evidence, resumed: Ran, unlike: Unlike) -> Iterator[Finding]:
    again = e.of(Why.AGAIN)
    base = None if again is None else e.run(again.purpose.base)
    noisy = again is not None and base is not None and alike(base.rows, again.rows, unlike) is False
    runs = [run for run in e.runs if run.purpose.why is Why.NEW and not run.failed]
    lost = [run for run in runs if alike(resumed.rows, run.rows, unlike) is True]
    arrived = [run.purpose.parameter for run in runs if alike(resumed.rows, run.rows, unlike) is False]
    if noisy and arrived:
        text = f"whether new values of {listed(arrived, _SHOWN)} arrive after a resume cannot be told: runs with equal "
        yield Finding(Level.NOTE, _TOPIC, "values_unknown", f"{text}values differ", "fix the seed of the script")
    elif arrived:
        text = f"{listed(arrived, _SHOWN)}: another value from a checkpoint on changes the results"
        yield Finding(Level.OK, _TOPIC, "values_arrive", text)
    if lost:
        names = [run.purpose.parameter for run in lost]
        shown = [f"{run.purpose.parameter} ({_change(resumed, run)})" for run in lost]
        text = (
            f"new values do not arrive when a run goes on from a checkpoint: with another {listed(shown, _SHOWN)} its "
        )
        action = (
            f"set {listed(names, 3)} after the checkpoint is loaded, since that brings the old value back: in PyTorch "
            'group["lr"] of optimizer.param_groups and scheduler.base_lrs, with Lightning by ResumeCallback of '
            "hpo_trainees.lightning; what must not change belongs in `fixed`"
        )
        yield Finding(Level.PROBLEM, _TOPIC, "values_lost", f"{text}rows are the same", action)


def _change(resumed: Ran, run: Ran) -> str:
    name = run.purpose.parameter
    return f"{value(resumed.trial.params.get(name))} or {value(run.trial.params.get(name))}"


def _no_checkpoint(base: Ran) -> Finding:
    return Finding(
        Level.PROBLEM,
        _TOPIC,
        "no_checkpoint",
        f"trial {base.id} left no checkpoint in its RESULT_DIR, so no member can go on or be copied",
        "let the script save one, and begin with the one that HPO_RESUME_FROM names; if it has another name: "
        "`checkpoints: [PATTERN]`, or `resume: always` under `resource` if the script finds its files by itself",
    )
