"""Verbs that run, stop and remove studies: submit, resume, retry, stop, watch, remove."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import dump, find, json_option, root_option, study_argument, summary, to_stderr
from hpo_engine.errors import EngineError, SpecError, StudyExists
from hpo_engine.text import streams

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.store.journal import Follower
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec

_START_S = 30.0
_POLL_S = 0.05

_trials = click.option("--trials", type=click.IntRange(1), metavar="N", help="Trials in total (not additional).")
_parallel = click.option("--parallel", type=click.IntRange(1), metavar="N", help="Trials that run at the same time.")
_detach = click.option("--detach", is_flag=True, help="Run in the background; see `watch`, `stop`.")
_quiet = click.option("--quiet", "-q", is_flag=True, help="Only the result.")
_wait = click.option(
    "--wait", type=float, default=0.0, metavar="S", help="Wait up to S seconds for another engine to finish."
)


@click.command()
@click.argument("file", metavar="FILE", type=click.Path())
@root_option
@click.option("--name", metavar="N", help="Name of the study [from the file or its folder].")
@_trials
@_parallel
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Seed of the search.")
@_detach
@json_option
@_quiet
@_wait
def submit(
    file: str,
    root: str | None,
    name: str | None,
    trials: int | None,
    parallel: int | None,
    seed: int | None,
    detach: bool,
    as_json: bool,
    quiet: bool,
    wait: float,
) -> int:
    """Run the study in FILE, or continue it.

    FILE is a study file (YAML, JSON, a Python dict) or a WMLA request. Progress goes to stdout. With --json
    it goes to stderr, and the last line on stdout is the result.
    """
    from hpo_engine import assembly, studies
    from hpo_engine.contract.paths import StudyPaths, is_study, runs_root
    from hpo_engine.store.lock import who_leads

    _begin(as_json)
    spec, source = assembly.load_spec(file, os.environ)
    spec = _overridden(spec, name, trials, parallel, seed)
    for text in spec.notes:
        _note(text)
    paths = StudyPaths(os.path.join(runs_root(root, os.environ), spec.name))
    if _made(spec, source, paths, quiet=quiet, as_json=as_json):
        return _go(paths, detach=detach, as_json=as_json, quiet=quiet, wait_s=wait)
    if not is_study(paths):
        raise StudyExists(f"{paths.root} exists and is not a study; choose another --name")
    history = studies.read(paths)
    changes = _changes(history, spec, {"trials": trials, "parallel": parallel}, paths)
    if who_leads(paths.lock) is None and not _complete(history, changes):
        _refuse_old_failures(paths, history)
    return _go_on(paths, history, changes, detach=detach, as_json=as_json, quiet=quiet, wait_s=wait)


@click.command()
@study_argument
@root_option
@_trials
@_parallel
@click.option("--time-limit", metavar="T", help="Time limit of the whole study, such as 2h or 90s.")
@_detach
@json_option
@_quiet
@_wait
def resume(
    study: str,
    root: str | None,
    trials: int | None,
    parallel: int | None,
    time_limit: str | None,
    detach: bool,
    as_json: bool,
    quiet: bool,
    wait: float,
) -> int:
    """Continue STUDY, and take over trials that still run."""
    from hpo_engine import studies

    _begin(as_json)
    paths = find(study, root)
    changes: dict[str, Any] = {k: v for k, v in {"trials": trials, "parallel": parallel}.items() if v is not None}
    if time_limit is not None:
        from hpo_engine.studyfile.native.values import seconds  # pydantic: only for this option

        try:
            changes["time_s"] = seconds(time_limit)
        except ValueError as error:
            raise SpecError(f"--time-limit: {error}") from None
    history = studies.read(paths)
    if trials is not None and trials < history.next_id:
        from hpo_engine.text.tables import counted

        raise SpecError(f"--trials {trials}: {history.spec.name} has {counted(history.next_id, 'trial')} already")
    return _go_on(paths, history, changes, detach=detach, as_json=as_json, quiet=quiet, wait_s=wait)


@click.command()
@study_argument
@click.option("--failed", is_flag=True, required=True, help="Those that failed, timed out or were lost.")
@root_option
@_detach
@json_option
@_quiet
@_wait
def retry(study: str, failed: bool, root: str | None, detach: bool, as_json: bool, quiet: bool, wait: float) -> int:
    """Run STUDY's failed trials again."""
    from hpo_engine import studies
    from hpo_engine.store.lock import who_leads
    from hpo_engine.trackers.lines import BAD, called

    _begin(as_json)
    paths = find(study, root)
    history = studies.read(paths)
    _tell_changed(paths, history)
    # A study whose retry was killed half-way continues by the same command.
    if history.state.value != "running" and not any(history.counts.get(s) for s in BAD) and not who_leads(paths.lock):
        more = f"; to continue: hpo-engine resume {called(history, paths.root)}" if history.pending else ""
        click.echo(f"nothing to retry: no trial failed{more}", err=as_json)
        if as_json:
            click.echo(dump(summary(history, False, history.last_at)))
        return 0
    return _go(paths, detach=detach, as_json=as_json, quiet=quiet, wait_s=wait, retry=True, known=history)


@click.command()
@study_argument
@click.argument("trial", type=int, required=False)
@root_option
@click.option("--kill", is_flag=True, help="SIGKILL at once, without a grace period.")
def stop(study: str, trial: int | None, root: str | None, kill: bool) -> int:
    """Stop STUDY (it can be resumed), or one TRIAL of it."""
    from hpo_engine.executors.local.processes import need_proc
    from hpo_engine.store import inbox
    from hpo_engine.store.journal import Follower
    from hpo_engine.store.lock import who_leads

    need_proc()
    paths = find(study, root)
    log = Follower(paths.db)
    history = log.history
    if trial is not None and trial not in range(history.next_id):
        raise SpecError(f"{history.spec.name} has no trial {trial}; it has {history.next_id}")
    if trial is not None and trial not in history.open_ids:
        click.echo(f"trial {trial} is {history.trials[trial].state.value} already")
        return 0
    if trial is None and who_leads(paths.lock) is None:
        return _stop_unled(paths, history, kill=kill)
    request = inbox.post(
        paths.inbox, inbox.Request("stop", trial, kill, "stopped by the user" if trial is not None else "stop")
    )
    if trial is not None and who_leads(paths.lock) is None:
        return _stop_unled_trial(paths, history, trial, kill=kill)
    return _await_stop(paths, log, trial, request)


@click.command()
@study_argument
@root_option
def watch(study: str, root: str | None) -> int:
    """Watch STUDY while it runs; Ctrl-C ends only the display."""
    from hpo_engine.cli.watcher import follow

    return follow(find(study, root))


@click.command()
@study_argument
@root_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
def remove(study: str, root: str | None, yes: bool) -> None:
    """Delete STUDY: its folder and all results in it."""
    from hpo_engine import studies

    paths = find(study, root)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(f"this deletes {paths.root}; add --yes")
        click.confirm(f"Delete {paths.root}?", abort=True)
    studies.remove(paths)


VERBS = (submit, resume, retry, stop, watch, remove)


def _begin(as_json: bool) -> None:
    """For a verb that runs a study: refuses a machine that cannot; without JSON, stdout is only a display."""
    from hpo_engine.executors.local.processes import need_proc

    need_proc()
    if not as_json:
        streams.be_lenient(sys.stdout)


def _note(text: str) -> None:
    to_stderr(f"hpo-engine: note: {text}")


def _made(spec: StudySpec, source: str, paths: StudyPaths, *, quiet: bool, as_json: bool) -> bool:
    """Makes the study's folder and prints notes on the study; False: something with its name exists already."""
    from hpo_engine import assembly, studies
    from hpo_engine.text.tables import safe_text

    if os.path.lexists(paths.root):
        return False
    folder = os.path.dirname(paths.root)
    try:
        if spec.warm_start:  # read now and kept, so that the same file finds its study again
            spec, notes = studies.with_prior(spec, folder)
            for text in notes:
                _note(text)
        studies.create(spec, source, folder, time.time(), _note, metric_files=assembly.metric_files(spec))
    except StudyExists:  # another submit was quicker
        return False
    for text in assembly.warnings(spec):
        _note(text)
    if not quiet and (about := assembly.about(spec)):
        click.echo(f"{safe_text(spec.algorithm.name)}: {safe_text(about)}", err=as_json)
    if not quiet and (plan := assembly.plan(spec)):
        click.echo(f"plan: {safe_text(plan)}", err=as_json)
    return True


def _go_on(paths: StudyPaths, history: History, changes: dict[str, Any], *, as_json: bool, **how: Any) -> int:
    """Runs a study that exists, or shows its result if it is complete. `how`: as `_go` takes it."""
    from hpo_engine.store.lock import who_leads

    _tell_changed(paths, history)
    if who_leads(paths.lock) is None and _complete(history, changes) and _whole(paths, history):
        return _show_result(history, paths, as_json)
    return _go(paths, as_json=as_json, known=history, changes=changes, **how)


def _stop_unled(paths: StudyPaths, history: History, *, kill: bool) -> int:
    """Stops a study that no engine runs: its running trials are taken over and stopped."""
    if history.running:
        how: dict[str, Any] = {"known": history, "stop": "stop", "kill": kill}
        _go(paths, detach=False, as_json=False, quiet=True, wait_s=1.0, **how)
    else:
        click.echo(f"{history.spec.name} is not running")
    return 0


def _stop_unled_trial(paths: StudyPaths, history: History, trial: int, *, kill: bool) -> int:
    from hpo_engine import studies

    name = history.spec.name
    if original := _copied_from(paths, history):
        click.echo(f"trial {trial} runs in {original}, of which {paths.root} is a copy; it is not stopped.")
        click.echo(f"It will not run again in the copy: resume {name} to record that")
        return 0
    studies.stop_unled_trial(paths, history.trials[trial], kill=kill)
    click.echo(f"trial {trial} was asked to stop; no engine runs {name}: resume it to record that")
    return 0


def _refuse_old_failures(paths: StudyPaths, history: History) -> None:
    """Raises StudyExists if no trial has succeeded and the script was changed since: its copy would only fail again."""
    from hpo_engine import studies
    from hpo_engine.study.trial import TrialState
    from hpo_engine.trackers.lines import BAD, called

    if TrialState.COMPLETED in history.counts or not any(history.counts.get(state) for state in BAD):
        return
    if names := studies.edited(paths, history.spec):
        word = shlex.quote(called(history, paths.root))
        raise StudyExists(
            f"nothing was run: no trial of {history.spec.name} has succeeded, and the study keeps using its copy of "
            f"{_some(names)}, which changed since. To use the new version: hpo-engine remove {word}, then submit "
            f"again; to run the old copy nevertheless: hpo-engine resume {word}"
        )


def _tell_changed(paths: StudyPaths, history: History) -> None:
    """For a study that continues: notes on copied or linked files that have changed."""
    from hpo_engine import studies

    if names := studies.edited(paths, history.spec):
        text = (
            f"{_some(names)} changed since the study was made; the study keeps using its copy ({paths.model}). To use "
            f"the new version: hpo-engine remove {os.path.basename(paths.root)} and submit again, or submit with "
            "another --name"
        )
        _note(text)
    if problem := studies.linked_problem(paths, history.spec):
        _note(problem)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _overridden(
    spec: StudySpec, name: str | None, trials: int | None, parallel: int | None, seed: int | None
) -> StudySpec:
    from hpo_engine.studyfile.common import study_name_problem

    if name is not None:
        if problem := study_name_problem(name):
            raise SpecError(f"--name: {problem}")
        spec = replace(spec, name=name)
    if trials is not None:
        spec = replace(spec, budget=replace(spec.budget, trials=trials))
    if parallel is not None:
        spec = replace(spec, resources=replace(spec.resources, parallel=parallel))
    return spec if seed is None else replace(spec, seed=seed)


def _changes(history: History, spec: StudySpec, given: dict[str, int | None], paths: StudyPaths) -> dict[str, Any]:
    """The new limits in a file that is submitted again. Raises StudyExists if it describes another study."""
    from hpo_engine import studies

    opened = history.opened_spec
    if different := studies.differences(opened, spec):
        lines = "\n".join(f"  {line}" for line in different)
        again = _judge_again(history, opened, spec, paths)
        raise StudyExists(
            f"study {spec.name} exists and differs from this file:\n{lines}\n{again}"
            f"to start over: hpo-engine remove {spec.name}, or another --name; to continue the old one: "
            f"hpo-engine resume {spec.name}"
        )
    wanted, before, current = _limits(spec), _limits(opened), _limits(history.spec)
    changes = {k: v for k, v in wanted.items() if v != current[k] and (v != before[k] or given.get(k) is not None)}
    if (trials := changes.get("trials")) is not None and trials < history.next_id:
        from hpo_engine.text.tables import counted

        raise SpecError(f"trials: {trials}, but {spec.name} has {counted(history.next_id, 'trial')} already")
    return changes


def _judge_again(history: History, old: StudySpec, new: StudySpec, paths: StudyPaths) -> str:
    """If the files differ only in the objective: the command that judges the existing trials by the new one."""
    from hpo_engine import studies
    from hpo_engine.trackers.lines import called

    alike = replace(old, objectives=new.objectives, extra_metrics=new.extra_metrics)
    if new.multi_objective or studies.differences(alike, new):
        return ""
    (objective,) = new.objectives
    metric, goal, over = objective.metric, objective.goal, objective.over
    if new.objectives == old.objectives:  # then the extra metrics have changed
        added = next((name for name in new.extra_metrics if name not in old.extra_metrics), None)
        if added is None:
            return ""
        metric, goal = added, new.extra_metrics[added]
        goal, over = (goal, "best") if goal in ("minimize", "maximize") else ("minimize", "last")
    last = " --over last" if over == "last" else ""
    words = f"{shlex.quote(called(history, paths.root))} --metric {shlex.quote(metric)} --goal {goal}{last}"
    return f"to judge the existing trials by it, without training: hpo-engine best {words} (also show, export)\n"


def _limits(spec: StudySpec) -> dict[str, Any]:
    """What may change in an existing study, by the names of SpecChanged."""
    return {"trials": spec.budget.trials, "time_s": spec.budget.time_s, "parallel": spec.resources.parallel}


def _complete(history: History, changes: dict[str, Any]) -> bool:
    """Whether there is nothing left to run."""
    return history.state.value in ("finished", "failed") and not changes


def _show_result(history: History, paths: StudyPaths, as_json: bool) -> int:
    if as_json:
        click.echo(dump(summary(history, False, history.last_at)))
    else:
        from hpo_engine.trackers import lines

        name, more = lines.called(history, paths.root), history.next_id + 10
        steps = [
            *lines.next_steps(history, paths.root),
            (f"hpo-engine resume {name} --trials {more}", "ten more trials"),
        ]
        click.echo("\n".join(lines.summary(history, history.last_at, paths.root, steps, before=True)))
    return 3 if history.state.value == "failed" else 0


def _go(paths: StudyPaths, *, detach: bool, as_json: bool, quiet: bool, **options: Any) -> int:
    if detach:
        return _in_background(paths, options, as_json)
    from hpo_engine.cli.driver import Driver, RunOptions

    return Driver(paths, RunOptions(**options), as_json=as_json, quiet=quiet).run()


def _in_background(paths: StudyPaths, options: dict[str, Any], as_json: bool) -> int:
    """Starts `resume` (or `retry`) in a session of its own and waits until it has locked the study."""
    from hpo_engine import studies
    from hpo_engine.store.lock import who_leads

    verb = ["retry", "--failed"] if options.get("retry") else ["resume"]
    changes = options.get("changes") or {}
    flags = [f"--{k}={v}" for k, v in changes.items() if k in ("trials", "parallel")]
    if changes.get("time_s") is not None:
        flags.append(f"--time-limit={changes['time_s']}s")
    if options.get("wait_s"):
        flags.append(f"--wait={options['wait_s']}")
    start = os.path.join(os.path.dirname(sys.modules["hpo_engine"].__path__[0]), "hpo_engine_start.py")
    with open(paths.engine_log, "ab") as log:
        begin = log.tell()
        child = subprocess.Popen(
            [sys.executable, start, verb[0], paths.root, *verb[1:], *flags],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + _START_S + (options.get("wait_s") or 0.0)
    while time.monotonic() < deadline:
        holder = who_leads(paths.lock)
        if (holder is not None and holder.pid == child.pid) or child.poll() == 0:
            name = os.path.basename(paths.root)
            if as_json:
                click.echo(dump({"study": name, "pid": child.pid, "folder": paths.root}))
            else:
                from hpo_engine.trackers.lines import called

                word = called(studies.read(paths), paths.root)
                click.echo(f"{name} runs in the background (process {child.pid}); its folder: {paths.root}")
                click.echo(f"  hpo-engine watch {word} | hpo-engine stop {word} | log: {paths.engine_log}")
            return 0
        if child.poll() is not None:
            with open(paths.engine_log, encoding="utf-8", errors="replace") as log_file:
                log_file.seek(begin)
                click.echo(log_file.read().rstrip(), err=True)
            return child.returncode
        time.sleep(_POLL_S)
    raise EngineError(f"the engine did not start within {_START_S:g} s; see {paths.engine_log}")


def _whole(paths: StudyPaths, history: History) -> bool:
    """False if this study is a copy, and a trial has ended only in the original."""
    from hpo_engine.contract.paths import identity

    if history.folder in ((), identity(paths.root)):
        return True
    from hpo_engine.executors.local import origin

    return origin.whole(paths)


def _copied_from(paths: StudyPaths, history: History) -> str:
    from hpo_engine.executors.local.origin import origin

    return origin(paths, history)


def _await_stop(paths: StudyPaths, log: Follower, trial: int | None, request: str) -> int:
    """Waits until the engine has carried out the request, which may take the grace period."""
    from hpo_engine.store import inbox
    from hpo_engine.store.lock import who_leads

    deadline = time.monotonic() + log.history.spec.trial.grace_s + 10.0
    while time.monotonic() < deadline:
        left = who_leads(paths.lock) is None
        log.news()
        if left or (not os.path.exists(request) and trial is not None and trial not in log.history.open_ids):
            break
        time.sleep(_POLL_S)
    log.news()
    now = log.history
    if os.path.exists(request):
        inbox.done(request)  # or a later engine would carry it out
        raise EngineError(f"{now.spec.name}: its engine does not answer ({who_leads(paths.lock)}); nothing was stopped")
    if trial is None:
        click.echo(f"{now.spec.name} is {now.state.value}; to continue: hpo-engine resume {now.spec.name}")
    else:
        click.echo(f"trial {trial} is {now.trials[trial].state.value}")
    return 0
