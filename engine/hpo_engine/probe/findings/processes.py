"""How the trials' processes begin, fail, end, and what they leave behind."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from hpo_engine.executors.preload.launcherspec import Command
from hpo_engine.probe.findings.metrics import interval_s
from hpo_engine.probe.values import Evidence, Finding, Level, Ran
from hpo_engine.text.quoting import quoted, shortened
from hpo_engine.text.tables import counted, duration
from hpo_engine.trackers.remedy import remedy

_TOPIC = "processes"
_REFUSED = re.compile(
    r"unrecognized arguments: (\S+)|[Nn]o such option:? ['\"]?(-{1,2}[\w-]+)|unknown option:? ['\"`]?(-{0,2}[\w-]+)"
    r"|Unknown command line flag '([\w-]+)'|[Uu]nknown (?:flag|argument):? ['\"]?(-{0,2}[\w-]+)"
    r"|Could not override '([\w.]+)'|[Kk]ey '([\w.]+)' is not in struct|invalid option -- '([\w-]+)'"
    r"|unrecognized option ['\"]?(-{1,2}[\w-]+)|illegal option -- (\w)"
)
_REQUIRED = re.compile(
    r"arguments are required|Missing (?:option|argument)|error: argument |[Ii]nvalid value for|usage: "
)
_TERMINAL = re.compile(
    r"EOFError|EOF when reading|Inappropriate ioctl|not a tty|/dev/tty|No such device or address|ENXIO"
)
_MODULE = re.compile(
    r"No module named ['\"]?([\w.]+)|ModuleNotFoundError|ImportError|Cannot find module|there is no package called"
)
_NO_FILE = re.compile(r"No such file or directory|FileNotFoundError|ENOENT")
_IDLE_S = 5.0  # without processor time: a trial that is still alive waits for something
_QUIET = 5  # times as long as rows usually take


def started(e: Evidence) -> Iterator[Finding]:
    """Trials that failed, and those that did not get anywhere."""
    failed = [run for run in e.runs if run.failed]
    if failed and not e.working:
        yield _all_failed(e, failed[-1])
    elif failed:
        run = failed[0]
        text = f"trial {run.id} ({run.purpose}) failed, others did not: {run.reason or run.exit}"
        yield Finding(Level.WARNING, _TOPIC, "some_fail", text, _advice(e, run))
    own = e.spec.trial.time_limit_s
    timed_out = [run for run in e.runs if run.asked == "limit" and own is not None and run.seconds >= own]
    if timed_out and own is not None and e.spec.trial.on_time_limit != "keep":
        text = f"no trial ends within its time_limit of {duration(own)}" if not _any_whole(e) else ""
        if text:
            yield Finding(Level.PROBLEM, _TOPIC, "time_limit", text, "a larger time_limit, or on_time_limit: keep")
    yield from _without_end(e)


def found(e: Evidence) -> Iterator[Finding]:
    """How trials end, and how they begin."""
    yield from _stopped(e)
    yield from _leftovers(e)
    yield from _preload(e)


def _any_whole(e: Evidence) -> bool:
    return any(run.whole for run in e.runs)


# -- failures ----------------------------------------------------------------------------------------------------------


def _all_failed(e: Evidence, run: Ran) -> Finding:
    text = f"every trial fails: {run.reason or run.exit}"
    return Finding(Level.PROBLEM, _TOPIC, _kind(run), text, _advice(e, run))


def _kind(run: Ran) -> str:
    said = f"{run.reason}\n{run.output[-2000:]}"
    if _REFUSED.search(said):
        return "argument_refused"
    if _REQUIRED.search(run.reason):
        return "arguments"
    if _TERMINAL.search(run.reason):
        return "needs_terminal"
    if _MODULE.search(run.reason):
        return "missing_module"
    return "missing_file" if _NO_FILE.search(run.reason) else "fails"


def _advice(e: Evidence, run: Ran) -> str:
    if found := _REFUSED.search(f"{run.reason}\n{run.output[-2000:]}"):
        return _other_option(e, run, next(filter(None, found.groups())))
    if _TERMINAL.search(run.reason):
        return "trials have no terminal and an empty standard input: take the answer as an option, or from a file"
    last = run.output.strip().splitlines()
    return remedy(e.history, e.folder) or (f"the last line of its output: {shortened(last[-1], 200)}" if last else "")


def _other_option(e: Evidence, run: Ran, option: str) -> str:
    """The option that the script has in place of one that it refuses."""
    name = option.split("=")[0].lstrip("-")
    shown = re.findall(r"(?<![\w-])--?[A-Za-z][\w.-]*", run.output)  # its own usage
    ours = {word.split("=")[0] for word in run.preview.command}
    known = [text for text in dict.fromkeys([*shown, *e.script.options]) if text not in ours]
    plain = {re.sub(r"[-_.]", "", text).lower(): text for text in known}
    close = difflib.get_close_matches(re.sub(r"[-_.]", "", name).lower(), plain, n=1, cutoff=0.6)
    param = next((p for p in e.spec.config_names if re.sub(r"\W|_", "", p) == re.sub(r"\W|_", "", name)), name)
    if not close:
        return f"the script has no option {quoted(option)}: take {param} out of space, or out of command"
    other = plain[close[0]]
    how = "{params:-} writes dashes for underscores" if other.lstrip("-") == name.replace("_", "-") else ""
    arg = f"arg: {other} with {param} in space"
    return f"did you mean {quoted(other)}? {' or '.join(filter(None, (how, arg)))}"


# -- trials that do not end --------------------------------------------------------------------------------------------


def _without_end(e: Evidence) -> Iterator[Finding]:
    for run in e.runs:
        if run.asked != "limit":
            continue
        idle = run.seen.idle_s >= min(_IDLE_S, run.seconds / 2)
        spent = f"it was still alive after {duration(run.asked_s)}"
        if not run.rows:
            if idle:
                text = f"{spent}, had reported nothing and used no processor time for {duration(run.seen.idle_s)}"
                action = "it waits for something: input, a lock, a port, a network, a GPU that is busy"
                yield Finding(Level.PROBLEM, _TOPIC, "waits", text, action)
            else:
                text = f"{spent} and had reported nothing: nothing is known of its metrics"
                action = "check again with a longer --time-limit, with less data or fewer epochs"
                yield Finding(Level.WARNING, _TOPIC, "nothing_yet", text, action)
            return
        quiet = (run.asked_s or 0.0) - max((a.after_s for a in run.arrivals), default=0.0)
        if idle and quiet > max(_IDLE_S, _QUIET * (interval_s(run) or 0.0)) * 0.9:
            text = f"{spent}, {duration(quiet)} after its last row and without processor time: it does not end"
            action = (
                "end the process when training is over: threads, loaders and servers that it started may keep it alive"
            )
            yield Finding(Level.PROBLEM, _TOPIC, "never_ends", text, action)
        else:
            text = f"{spent}, reporting as it should; the check has ended it"
            yield Finding(Level.NOTE, _TOPIC, "longer", text)
        return


# -- the end -----------------------------------------------------------------------------------------------------------


def _stopped(e: Evidence) -> Iterator[Finding]:
    asked = [run for run in e.runs if run.asked and run.asked_s is not None]
    if not asked:
        return
    slowest = max(asked, key=lambda run: (run.killed, run.seconds - (run.asked_s or 0.0)))
    took = max(0.0, slowest.seconds - (slowest.asked_s or 0.0))
    grace = e.spec.trial.grace_s
    if slowest.killed:
        text = f"SIGTERM did not end trial {slowest.id}; it was killed after its grace of {duration(grace)}"
        action = (
            "let SIGTERM end the script (no handler that goes on, exec in shell scripts), or set a smaller grace for "
            "trial: each trial that is ended early costs that much"
        )
        yield Finding(Level.WARNING, _TOPIC, "sigterm_ignored", text, action)
        return
    yield Finding(Level.OK, _TOPIC, "sigterm", f"ends {duration(took)} after SIGTERM (the grace is {duration(grace)})")


def _leftovers(e: Evidence) -> Iterator[Finding]:
    run = max(e.runs, key=lambda run: run.exit.leftovers, default=None)
    if run is None or not run.exit.leftovers:
        return
    left = counted(run.exit.leftovers, "process", "processes")
    text = f"trial {run.id} ended and left {left} behind, which the engine killed"
    action = "wait for child processes at the end of the script; their work is lost"
    yield Finding(Level.WARNING, _TOPIC, "leftovers", text, action)


def _preload(e: Evidence) -> Iterator[Finding]:
    if e.spec.trial.preload == "off":
        yield Finding(Level.NOTE, _TOPIC, "no_preload", "no preload: it is off in the study file")
        return
    if Command.of(e.runs[0].preview.command) is None:
        text = "no preload: the command is not `python script.py` or `python -m module`"
        yield Finding(Level.NOTE, _TOPIC, "no_preload", text)
        return
    for line in e.notices:
        if line.startswith("no preload: "):
            action = "trials are right all the same; without what it names, they would start faster"
            yield Finding(Level.NOTE, _TOPIC, "no_preload", line, action)
            return
        if line.startswith("preload: ") and "per trial" in line:
            yield Finding(Level.OK, _TOPIC, "preload", line)
            return
