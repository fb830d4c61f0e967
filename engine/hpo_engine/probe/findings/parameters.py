"""Whether the parameters reach the script, and whether changing them changes anything."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hpo_engine.contract.placing import Placed
from hpo_engine.probe.choosing import differing, least
from hpo_engine.probe.values import Evidence, Finding, Level, Ran, Why, alike
from hpo_engine.reports.remarks import Unlike, searched
from hpo_engine.text.quoting import listed, quoted
from hpo_engine.text.tables import assignments, counted, number

_SHOWN = 6
_TOPIC = "parameters"


def found(e: Evidence) -> Iterator[Finding]:
    names = list(searched(e.spec, dict.fromkeys(e.spec.config_names)))
    if not e.working or not names:
        return
    unread = _unread(e, names)
    if unread:
        yield _not_read(e, unread)
        names = [name for name in names if name not in unread]
    resource = e.spec.resource.name if e.spec.resource is not None else None
    if resource in names:
        yield from _resource(e, resource)
    if names := [name for name in names if name != resource]:
        yield from _effects(e, names)


def _resource(e: Evidence, name: str) -> Iterator[Finding]:
    """Whether more of the resource makes a difference."""
    more = e.of(Why.MORE)
    base = None if more is None else e.run(more.purpose.base)
    if more is None or base is None or more.failed or base.failed or not (more.rows and base.rows):
        return
    amounts = f"{name} {base.resource} and {more.resource}"
    if len(more.rows) == len(base.rows) and alike(base.rows, more.rows, Unlike(e.spec)):
        text = f"{name} has no effect: with {amounts} the rows are the same"
        action = f"let the script train for as many {name} as it is given; the search decides by that what is promising"
        yield Finding(Level.PROBLEM, _TOPIC, "resource_ignored", text, action)
        return
    text = f"{amounts} gave {len(base.rows)} and {counted(len(more.rows), 'row')}"
    yield Finding(Level.OK, _TOPIC, "resource", text)


# -- config.json that nobody reads -------------------------------------------------------------------------------------


def _unread(e: Evidence, names: list[str]) -> list[str]:
    """The parameters that are in config.json only, if no trial has read that."""
    hidden = Placed(e.spec, e.spec.command, e.spec.env).in_config_only
    if any(run.config_read is not False for run in e.working):
        return []
    return [name for name in names if name in hidden]


def _not_read(e: Evidence, names: list[str]) -> Finding:
    what = f"{listed(names, _SHOWN)} never {'reaches' if len(names) == 1 else 'reach'} the script"
    elsewhere = _looks_elsewhere(e)
    if elsewhere:
        code, text, action = elsewhere
        return Finding(Level.PROBLEM, _TOPIC, code, f"{what}: {text}", action)
    return Finding(
        Level.PROBLEM,
        _TOPIC,
        "config_unread",
        f"{what}: nothing has opened config.json, and {'it is' if len(names) == 1 else 'they are'} nowhere else",
        "write {params} into command if the script takes options; else read the file in the working directory: "
        'json.load(open("config.json"))',
    )


def _looks_elsewhere(e: Evidence) -> tuple[str, str, str] | None:
    """Where the script may look for its parameters: code, text, and what to do."""
    mend = 'open the file of the working directory: open("config.json")'
    if others := e.script.other_configs():
        return "wrong_folder", f"the script reads {quoted(others[0])}, which is not the trial's file", mend
    folders = sorted(set[str]().union(*(run.seen.folders for run in e.working)))
    if folders:
        return (
            "wrong_folder",
            f"the script works in {folders[0]}, not in the trial's folder",
            ("do not change the working directory, or open os.environ['RESULT_DIR'] + '/config.json'"),
        )
    if lacking := _lacking(e):
        name = lacking[0]
        text = f"the script names {quoted(name)}, which no trial's folder has, and goes on without it"
        action = f"let it read config.json, or put {name} into the script's folder and into files: of the study file"
        return "missing_file", text, action
    return None


def _lacking(e: Evidence) -> list[str]:
    """Files with settings that the script names and that are not in its folder."""
    folder = f"{e.folder}/results/{e.working[0].id}"
    return [name for name in e.script.settings() if not os.path.lexists(os.path.join(folder, name))]


# -- parameters without effect -----------------------------------------------------------------------------------------


def _effects(e: Evidence, names: list[str]) -> Iterator[Finding]:
    first, other, unlike = e.of(Why.FIRST), e.of(Why.OTHER), Unlike(e.spec)
    if first is None or other is None or first.failed or other.failed:
        yield _not_compared(e, first, other)
        return
    same = alike(first.rows, other.rows, unlike)
    if same is None:
        return  # what is wrong with the metrics says more
    noise = _noise(e, unlike)
    if same:
        yield _no_effect(e, first, other, [n for n in differing(first.trial.params, other.trial.params) if n in names])
        return
    ones = [run for run in e.runs if run.purpose.why is Why.ONE]
    alive = list(dict.fromkeys(run.purpose.parameter for run in ones if not _same_as_base(e, run, unlike)))
    ignored = list({run.purpose.parameter: run for run in ones if run.purpose.parameter not in alive}.values())
    if ignored:
        yield _ignored(e, ignored)
    if noise:
        yield Finding(Level.NOTE, _TOPIC, "noisy", noise, "a fixed seed in the script makes trials comparable")
    if alive or not ignored:
        yield _arrived(alive, names, noise)
    if e.untried and not noise:
        yield Finding(
            Level.NOTE,
            _TOPIC,
            "untried",
            f"not changed one by one: {listed(e.untried, _SHOWN)}",
            "--each runs a trial for each parameter, however long it takes",
        )


def _same_as_base(e: Evidence, run: Ran, unlike: Unlike) -> bool:
    base = e.run(run.purpose.base)
    return not run.failed and base is not None and alike(base.rows, run.rows, unlike) is True


def _arrived(alive: list[str], names: list[str], noise: str) -> Finding:
    if alive and not noise:
        text = f"{listed(alive, _SHOWN)}: changing {'it' if len(alive) == 1 else 'each by itself'} changes the results"
    elif len(names) == 1 and not noise:
        text = f"{names[0]}: changing it changes the results"
    else:
        text = f"trials with other values of {listed(names, _SHOWN)} have other results"
    return Finding(Level.OK, _TOPIC, "effective", text)


def _not_compared(e: Evidence, first: Ran | None, other: Ran | None) -> Finding:
    if first is not None and other is None:
        return Finding(Level.NOTE, _TOPIC, "one_configuration", "the space has one configuration only")
    text = "a trial failed, so whether the parameters have an effect is not known"
    return Finding(Level.NOTE, _TOPIC, "not_compared", text)


def _no_effect(e: Evidence, first: Ran, other: Ran, names: list[str]) -> Finding:
    short = not (first.whole and other.whole) or e.spec.resource is not None
    early = short and min(len(first.rows), len(other.rows)) <= 1
    values = " and with ".join(assignments(_only(run.trial.params, names)) for run in (first, other))
    count = min(len(first.rows), len(other.rows))
    same = f"all {count} rows are the same" if count > 1 else "the row is the same"
    text = f"no parameter has an effect: with {values} {same}"
    if early:
        return Finding(Level.NOTE, _TOPIC, "no_effect", f"{text}, which may be too early to tell")
    if elsewhere := _looks_elsewhere(e):
        return Finding(Level.PROBLEM, _TOPIC, elsewhere[0], f"{text}; {elsewhere[1]}", elsewhere[2])
    how = "it has read config.json" if first.config_read else "it has not opened config.json"
    accepted = len(first.preview.command) > len(e.spec.command) or any("{" in word for word in e.spec.command)
    taken = f"{how}{', and takes the arguments,' if accepted else ','} but does not use the values"
    action = f"look in the script at what becomes of {listed(names, 3)}: {taken}"
    return Finding(Level.WARNING if short else Level.PROBLEM, _TOPIC, "no_effect", text, action)


def _ignored(e: Evidence, runs: list[Ran]) -> Finding:
    names = [run.purpose.parameter for run in runs]
    parts = [f"{name} ({_change(e, run)})" for name, run in zip(names, runs, strict=True)]
    hints = [hint for name in names if (hint := _nearest(e, name))]
    amount = f" with {e.spec.resource.name}={least(e.spec)}" if e.spec.resource is not None else ""
    # The first row of a trial may come before any training.
    early = bool(amount) and min(len(run.rows) for run in runs) <= 1
    return Finding(
        Level.NOTE if early else Level.WARNING,
        _TOPIC,
        "ignored",
        f"changed alone, {listed(parts, _SHOWN)} changed nothing in the rows{amount}: "
        + ("too early to tell, or ignored" if early else "accepted and ignored, or too weak to show there"),
        "; ".join(hints) or f"let the script use {'it' if len(names) == 1 else 'them'}, or take "
        f"{'it' if len(names) == 1 else 'them'} out of space",
    )  # fmt: skip


def _change(e: Evidence, run: Ran) -> str:
    base = e.run(run.purpose.base)
    before = None if base is None else base.trial.params.get(run.purpose.parameter)
    values = (before, run.trial.params.get(run.purpose.parameter))
    return " to ".join(assignments({"": value})[1:] for value in values)


def _nearest(e: Evidence, name: str) -> str:
    """A name in the script that may be the one that was meant."""
    words = {word.replace("-", "_") for word in re.split(r"[./]", name)}
    if all(word in e.script.words for word in words):
        return ""
    own = set(e.spec.config_names)
    close = difflib.get_close_matches(
        name, [w for w in e.script.words if w not in own and len(w) > 2], n=1, cutoff=0.75
    )
    return f"{quoted(name)} is not in the script, {quoted(close[0])} is: did you mean that?" if close else ""


def _noise(e: Evidence, unlike: Unlike) -> str:
    """How far two trials with the same values differ; "" if they do not, or nobody knows."""
    again = e.of(Why.AGAIN)
    base = None if again is None else e.run(again.purpose.base)
    if again is None or base is None or alike(base.rows, again.rows, unlike) is not False:
        return ""
    metric = e.spec.objectives[0].metric
    pairs = [
        (one.values[metric], two.values[metric])
        for one, two in zip(base.rows, again.rows, strict=False)
        if metric in one.values and metric in two.values
    ]
    gap = max((abs(one - two) for one, two in pairs), default=0.0)
    by = f" ({metric} by up to {number(gap)})" if gap else ""
    return f"two trials with the same values differ{by}, so the effect of a single parameter cannot be told from chance"


def _only(params: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: params[name] for name in names[:_SHOWN] if name in params}
