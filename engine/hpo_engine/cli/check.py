"""`check`: the contract doctor. A few short trials in a scratch folder, and what they show, in plain words."""

from __future__ import annotations

import os
import signal
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from hpo_engine.cli.common import json_option, note, output_width, root_option, to_stderr
from hpo_engine.errors import JournalError, SpecError
from hpo_engine.failpoints import failpoint
from hpo_engine.reports.objects import dump

if TYPE_CHECKING:
    from hpo_engine.probe.values import Cost, Evidence, Finding, Report

_WIDTH = 80
_LIMIT = "60s"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WASTED = 1  # exit code
_SHORT_S = 0.1


@click.command()
@click.argument("file", metavar="FILE", type=click.Path())
@root_option
@click.option(
    "--time-limit", metavar="T", default=_LIMIT, show_default=True, help="Limit for each trial, as 90s or 10m."
)
@click.option(
    "--each/--no-each",
    default=None,
    help="Change each parameter by itself, one trial each [if it takes a minute or less].",
)
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings, too.")
@click.option("--keep", is_flag=True, help="Keep the trials' folder, and name it.")
@json_option
def check(
    file: str, root: str | None, time_limit: str, each: bool | None, strict: bool, keep: bool, as_json: bool
) -> int:
    """Try the study in FILE with a few short trials, and say what is wrong.

    The trials run in a folder of their own, which is removed at the end: two with values far apart, one with the
    same values again, and one for each parameter if they are short. Exit code 1: something would waste the study.
    (What this machine offers to trials is shown by `doctor`.)
    """
    from hpo_engine import assembly
    from hpo_engine.contract.paths import runs_root
    from hpo_engine.executors.local.processes import need_proc
    from hpo_engine.probe.report import as_object, report_of
    from hpo_engine.probe.running import Interrupted, probed
    from hpo_engine.probe.values import Level

    need_proc()
    limit_s = _seconds(time_limit)
    spec, source = assembly.load_spec(file, os.environ)
    signals = _noted_signals()
    try:
        with probed(
            spec, source, runs_root(root, os.environ), limit_s=limit_s, each=each, signals=signals, say=to_stderr
        ) as evidence:
            report = report_of(evidence)
            if keep:
                report = _kept(report)
    except Interrupted:
        to_stderr("hpo-engine: interrupted; nothing was kept")
        return 128 + signals[0]
    except JournalError as error:
        raise JournalError(str(error).replace("then resume", "then check again")) from error
    if as_json:
        click.echo(dump(as_object(report)))
    else:
        for text in report.evidence.notes:
            note(text)
        click.echo("\n".join(_lines(report, output_width() or _WIDTH)))
    bad = (Level.PROBLEM, Level.WARNING) if strict else (Level.PROBLEM,)
    return _WASTED if report.worst() in bad else 0


VERBS = (check,)


def _seconds(text: str) -> float:
    from hpo_engine.studyfile.native.values import seconds  # pydantic

    try:
        return seconds(text)
    except ValueError as error:
        raise SpecError(f"--time-limit: {error}") from None


def _noted_signals() -> list[int]:
    """The signals that arrive from now on."""
    arrived: list[int] = []
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # under nohup
            signal.signal(number, lambda number, frame: arrived.append(number))
    return arrived


def _kept(report: Report) -> Report:
    """Moves the scratch study to where it stays."""
    from dataclasses import replace

    aside = os.path.dirname(report.evidence.folder)
    root = os.path.dirname(aside)
    number, target = 1, os.path.join(root, f"check-{report.study}")
    while os.path.lexists(target):
        number += 1
        target = os.path.join(root, f"check-{report.study}-{number}")
    os.mkdir(target)
    kept = os.path.join(target, report.study)
    os.rename(report.evidence.folder, kept)
    failpoint("check.kept")
    return replace(report, kept=kept)


# -- in plain words ----------------------------------------------------------------------------------------------------


def _lines(report: Report, width: int) -> Iterator[str]:
    from hpo_engine.text.tables import counted, duration, safe_text

    e = report.evidence
    yield safe_text(f"{report.study}: {counted(len(e.runs), 'short trial')} in {duration(e.seconds)}")
    yield ""
    for finding in report.findings:
        yield from _finding(finding, width)
    yield ""
    yield from _cost(report.cost, e, width)
    yield ""
    yield from _first_trial(e, width)
    if report.kept:
        yield ""
        yield f"kept: {report.kept}"


def _finding(finding: Finding, width: int) -> Iterator[str]:
    from hpo_engine.text.tables import safe_text

    level = finding.level.value.upper() if finding.level.value != "ok" else "ok"
    head = f"{level:<8} {finding.topic:<11} "
    yield from _wrapped(head, safe_text(finding.text), width)
    if finding.action:
        yield from _wrapped(" " * len(head), f"-> {safe_text(finding.action)}", width)


def _wrapped(head: str, text: str, width: int) -> list[str]:
    indent = " " * len(head)
    lines = textwrap.wrap(text, max(20, width - len(head)), break_long_words=False, break_on_hyphens=False)
    return [f"{head if i == 0 else indent}{line}" for i, line in enumerate(lines or [""])]


def _cost(cost: Cost, e: Evidence, width: int) -> Iterator[str]:
    from hpo_engine.probe.choosing import least
    from hpo_engine.text.tables import counted, duration, size_text

    parts: list[str] = []
    if cost.run_s is not None:
        resource = e.spec.resource
        at_least = "at least " if cost.at_least else ""
        of = f" with {resource.name}={least(e.spec)}" if resource is not None else ""
        takes = duration(cost.run_s) if cost.run_s >= _SHORT_S else f"less than {_SHORT_S} s"
        parts.append(f"a trial takes {at_least}{takes}{of} and {size_text(cost.run_bytes)} on disk")
    plan = cost.plan or (f"{counted(cost.runs, 'trial')}" if cost.runs is not None else "no end is set")
    at_once = f", {cost.parallel} at a time" if cost.parallel > 1 else ""
    parts.append(f"the study: {plan}{at_once}")
    if cost.total_s is not None and cost.disk_bytes is not None:
        about = "at least" if cost.at_least else "about"
        disk = f"{size_text(cost.disk_bytes)} of {size_text(cost.free_bytes)} free"
        parts.append(
            f"{about} {duration(cost.total_s)} and {disk}"
            + (" (early stopping saves some)" if e.spec.may_end_early else "")
        )
    for number, part in enumerate(parts):
        yield from _wrapped("cost  " if number == 0 else "      ", part, width)


def _first_trial(e: Evidence, width: int) -> Iterator[str]:
    """What a trial is started with, as `submit --dry-run` shows it."""
    from hpo_engine.text.tables import safe_text

    if not e.runs:
        return
    yield f"trial {e.runs[0].id} was started with"
    for line in e.runs[0].preview.lines():
        head, text = f"  {line[:13]}", line[13:]
        yield from _wrapped(head, safe_text(text), width) if not line.startswith("  ") else [safe_text(f"  {line}")]
