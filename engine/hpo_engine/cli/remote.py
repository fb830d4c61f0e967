"""Verbs at a server: a study there is copied and read as one here, and what is to be done is asked of the server."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import note, to_stderr
from hpo_engine.cli.mirrors import begun, connected, mirror_of, of
from hpo_engine.cli.results import goes_ahead
from hpo_engine.client.connection import Connection, part
from hpo_engine.client.mirror import Following, Mirror
from hpo_engine.errors import EngineError, SpecError, StudyNotFound
from hpo_engine.reports.objects import dump, summary
from hpo_engine.text.commands import advised

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.control.trials import Answer
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec

_BEGIN_S = 1.0  # between two looks at a study that waits for its turn
_MORE_S = 10.0  # beyond the grace period of its trials
_SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


def list_studies(server: str, as_json: bool) -> None:
    """`list`, of the studies that the user may see."""
    from hpo_engine.cli.common import output_width
    from hpo_engine.text.tables import table

    connection, found = connected(server), list[dict[str, Any]]()
    while True:
        page = connection.get("/studies", {"offset": len(found), "limit": 1000}).json()
        found += page["studies"]
        if not page["studies"] or len(found) >= page["total"]:
            break
    if as_json:
        click.echo(dump([_object(each) for each in found]))
    elif found:
        rows = [_row(each) for each in found]
        heads = ["STUDY", "STATE", "TRIALS", "BEST", "ALGORITHM", "LAST", "OWNER"]
        click.echo(table(heads, rows, width=output_width()))
    else:
        url = connection.server.url
        click.echo(f"no studies at {url}; start with: hpo-engine submit algo.yaml --server {url}")


def _object(study: Mapping[str, Any]) -> dict[str, Any]:
    """As `list --json` has it, and whose it is."""
    known = {"study": study["study"], "state": study["state"]}
    of_whom = {"folder": study["folder"], "owner": study["owner"]}
    if study["state"] == "unreadable":
        return {**known, "error": study["problem"], **of_whom}
    several = {"front": study["front_size"]} if len(study["metrics"]) > 1 else {}
    return {
        **known, "best": study["best"], **several, "counts": study["counts"], "trials": study["total"],
        "runs": study["runs"], "algorithm": study["algorithm"], "last_at": study["last_at"], **of_whom,
    }  # fmt: skip


def _row(study: Mapping[str, Any]) -> list[str]:
    from hpo_engine.text.tables import number, safe_text

    metrics = ", ".join(map(safe_text, study["metrics"]))
    best = "" if study["best"] is None else f"{metrics}={number(study['best']['value'])}"
    if best and len(study["metrics"]) > 1:
        best = f"front of {study['front_size']}: {metrics}"
    last = time.strftime("%Y-%m-%d %H:%M", time.localtime(study["last_at"]))
    if study["problem"]:
        best = safe_text(study["problem"])
    done = f"{study['done']}/{study['total'] or '?'}"
    return [
        safe_text(study["study"]),
        study["state"],
        done,
        best,
        study["algorithm"] or "",
        last,
        safe_text(study["owner"]),
    ]


# -- following --------------------------------------------------------------------------------------------------------


def watch(server: str, study: str) -> int:
    """`watch`."""
    from hpo_engine.control.following import display

    mirror = mirror_of(connected(server), study)
    with _Followed(mirror) as followed:
        try:
            followed.await_begin()
        except KeyboardInterrupt:
            click.echo("the study keeps its place in the line")
            return 0
        display(mirror.paths, sys.stdout, on_interrupt="the study keeps running", turn=followed.turn)
    return 0


def stream(server: str, study: str, after: int) -> int:
    """`watch --jsonl`."""
    from hpo_engine.cli.results import stream_lines as printed
    from hpo_engine.control.following import happenings

    mirror = mirror_of(connected(server), study)
    with _Followed(mirror) as followed:
        followed.await_begin()
        return printed(happenings(mirror.paths, after, followed.tell))


def run(mirror: Mirror, *, as_json: bool, quiet: bool) -> int:
    """Displays a study that runs at a server as one that runs here: Ctrl-C stops it. Returns the exit code."""
    from hpo_engine.control.following import display

    stream = sys.stderr if as_json else sys.stdout
    with _Followed(mirror, stops=True) as followed:
        followed.await_begin()
        history = display(mirror.paths, stream, quiet=quiet, turn=followed.turn)
    if as_json:
        click.echo(dump(summary(history, False, time.time())))
    if followed.signals:
        return 128 + followed.signals[0]
    return 3 if history.state.value == "failed" or history.halted else 0


class _Followed:
    """A mirror that is kept up to date while it is displayed. `stops`: signals stop the study at the server, and a
    second one kills its trials, as they do where it runs here. `signals`: those that came."""

    def __init__(self, mirror: Mirror, *, stops: bool = False) -> None:
        self.signals: list[int] = []
        self._mirror, self._stops, self._taken = mirror, stops, 0
        self._notes: list[str] = []
        self._following: Following | None = None

    def __enter__(self) -> _Followed:
        if self._stops:
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, lambda number, frame: self.signals.append(number))
        self._following = Following(self._mirror, self._notes.append)
        return self

    def __exit__(self, *error: object) -> None:
        assert self._following is not None
        self._following.close()

    def await_begin(self) -> None:
        """Waits until the study has a log to display."""
        said = False
        while not self._mirror.begun:
            self.tell()
            if self._mirror.state == "queued" and not said:
                to_stderr(
                    f"hpo-engine: {self._mirror.study} waits for its turn at {self._mirror.connection.server.url}"
                )
                said = True
            elif self._mirror.state not in ("queued", "running"):
                begun(self._mirror)
            self._act(0, 0.0, to_stderr)
            time.sleep(0.05)

    def turn(self, history: History, say: Callable[[str], None]) -> None:
        """See `display`."""
        self._tell(say)
        self._act(len(history.running), history.spec.trial.grace_s, say)

    def tell(self) -> None:
        """Says what there is to be said of the server; raises what has ended the copying."""
        self._tell(to_stderr)

    def _tell(self, say: Callable[[str], None]) -> None:
        assert self._following is not None
        if self._following.problem is not None:
            raise self._following.problem
        while self._notes:
            say(self._notes.pop(0))

    def _act(self, running: int, grace_s: float, say: Callable[[str], None]) -> None:
        if len(self.signals) == self._taken:
            return
        again, self._taken = self._taken > 0, len(self.signals)
        trials = f"{running} trial{'' if running == 1 else 's'}"
        if again:
            say(f"killing {trials}")
        elif running:
            gets = "gets" if running == 1 else "get"
            say(f"{trials} {gets} SIGTERM and {grace_s:g} s to end; press Ctrl-C again to kill")
        _ask_to_stop(self._mirror, kill=again)


# -- what is to be done -----------------------------------------------------------------------------------------------


def submit(
    server: str,
    file: str,
    name: str | None,
    given: Mapping[str, int | None],
    seed: int | None,
    *,
    update: bool,
    dry_run: bool,
    yes: bool,
    detach: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """`submit`: checks the file here, sends it with its folder, and displays the study."""
    from hpo_engine.cli import sending
    from hpo_engine.control.submitting import overridden

    connection = connected(server)
    spec = overridden(_read(connection, file), name, given, seed)
    for text in spec.notes:
        note(text)
    there = _existing(connection, spec.name)
    if there is not None and update:
        text = sending.text_of(file, spec, given, seed)
        code = edit(connection, spec.name, {"text": text}, dry_run=dry_run, yes=yes, as_json=False, hint=False)
        if dry_run:
            return code
        there.sync()
        return 0 if there.led else _resumed(there, {}, detach=detach, as_json=as_json, quiet=quiet)
    if dry_run:
        from hpo_engine.cli.dry import show_first
        from hpo_engine.contract.paths import StudyPaths, runs_root

        show_first(spec, StudyPaths(os.path.join(runs_root(None, os.environ), spec.name)))
        return 0
    if there is not None:
        return _continued(there, spec, given, detach=detach, as_json=as_json, quiet=quiet)
    sending.send(connection, file, spec, given, seed, quiet=quiet or as_json)
    return _shown(mirror_of(connection, spec.name), detach=detach, as_json=as_json, quiet=quiet)


def _read(connection: Connection, file: str) -> StudySpec:
    """What the study file says. It may name a search plugin that only the server has. Raises SpecError."""
    from hpo_engine import assembly

    try:
        return assembly.load_spec(file, os.environ)[0]
    except SpecError as error:
        if not any("algorithm" in problem.path.lower() for problem in error.problems):
            raise
        there = connection.get("/algorithms").json()["search_plugins"]
        if not there:
            raise
    return assembly.load_spec(file, os.environ, elsewhere=there)[0]


def _existing(connection: Connection, name: str) -> Mirror | None:
    """The study of that name at the server."""
    try:
        return mirror_of(connection, name)
    except StudyNotFound:
        return None


def _continued(mirror: Mirror, spec: StudySpec, given: Mapping[str, int | None], **how: bool) -> int:
    """A study that is submitted again goes on, with new limits if the file has others; it may not be another study."""
    from hpo_engine.control.changes import changed_limits
    from hpo_engine.control.submitting import complete
    from hpo_engine.errors import StudyLocked
    from hpo_engine.store.journal import read_history
    from hpo_engine.store.lock import who_leads

    paths, url = begun(mirror).paths, mirror.connection.server.url
    history = read_history(paths.db)
    changes = changed_limits(history, replace(spec, model_dir=history.opened_spec.model_dir), given, paths)
    if mirror.led:
        raise StudyLocked(
            f"{spec.name} runs at {url} already ({who_leads(paths.lock)}): hpo-engine watch {spec.name}, "
            f"hpo-engine stop {spec.name}"
        )
    if complete(history, changes):
        from hpo_engine.cli.results import show_result

        return show_result(history, paths, how["as_json"])
    note(f"{spec.name} exists at {url} and goes on; the files of its script are those that were sent when it was made")
    return _resumed(mirror, changes, **how)


def resume(server: str, study: str, changes: Mapping[str, Any], **how: bool) -> int:
    """`resume`, of a whole study. `changes`: new limits, as the server takes them."""
    from hpo_engine.cli.results import show_result
    from hpo_engine.control.submitting import complete
    from hpo_engine.store.journal import read_history

    mirror = begun(mirror_of(connected(server), study))
    history = read_history(mirror.paths.db)
    if not mirror.led and complete(history, changes):
        return show_result(history, mirror.paths, how["as_json"])
    return _resumed(mirror, changes, **how)


def _resumed(mirror: Mirror, changes: Mapping[str, Any], **how: bool) -> int:
    limits = {("time_limit" if key == "time_s" else key): value for key, value in changes.items() if value is not None}
    mirror.connection.post(f"/studies/{part(mirror.study)}/resume", limits)
    mirror.sync()
    return _shown(mirror, **how)


def retry(server: str, study: str, **how: bool) -> int:
    """`retry --failed`."""
    from hpo_engine.cli.results import nothing_to_retry

    mirror = begun(mirror_of(connected(server), study))
    if nothing_to_retry(_history(mirror), mirror.paths, how["as_json"]):
        return 0
    mirror.connection.post(f"/studies/{part(study)}/retry")
    mirror.sync()
    return _shown(mirror, **how)


def _shown(mirror: Mirror, *, detach: bool, as_json: bool, quiet: bool) -> int:
    if not detach:
        return run(mirror, as_json=as_json, quiet=quiet)
    name, url = mirror.study, mirror.connection.server.url
    if as_json:
        click.echo(dump({"study": name, "server": url, "state": mirror.state, "folder": mirror.paths.root}))
    else:
        click.echo(f"{name} is {mirror.state} at {url}")
        click.echo(f"  hpo-engine watch {name} --server {url} | hpo-engine stop {name} --server {url}")
    return 0


def stop(server: str, study: str, *, kill: bool) -> int:
    """`stop`, of a whole study."""
    mirror = mirror_of(connected(server), study)
    if not mirror.led and not (mirror.begun and _running(mirror)):
        click.echo(f"{study} is not running")
        return 0
    _ask_to_stop(mirror, kill=kill)
    grace_s = _history(mirror).spec.trial.grace_s if mirror.begun else 0.0
    deadline = time.monotonic() + grace_s + _MORE_S
    while mirror.led:
        if time.monotonic() > deadline:
            raise EngineError(f"{study}: it has not stopped yet; look with: hpo-engine show {study}")
        mirror.sync(1.0)
    state = _history(mirror).state.value if mirror.begun else mirror.state
    click.echo(advised(f"{study} is {state}; to continue: hpo-engine resume {study}"))
    return 0


def _ask_to_stop(mirror: Mirror, *, kill: bool) -> None:
    mirror.connection.request("POST", f"/studies/{part(mirror.study)}/stop", body={"kill": kill}, safe=True)


def _history(mirror: Mirror) -> History:
    from hpo_engine.store.journal import read_history

    return read_history(mirror.paths.db)


def _running(mirror: Mirror) -> bool:
    return bool(_history(mirror).running)


def again(server: str, study: str, do: str, trials: Sequence[range], **how: bool) -> int:
    """`resume` and `retry` of trials. A study that no engine ran goes on, and is displayed. Returns the exit code."""
    from hpo_engine.cli.results import say

    answers, mirror = change_trials(server, study, do, trials)
    was_led = mirror.led
    say(answers, how["as_json"])
    mirror.sync()
    return 0 if was_led or not mirror.led else _shown(mirror, **how)


def change_trials(
    server: str, study: str, do: str, trials: Sequence[range], *, kill: bool | None = None
) -> tuple[list[Answer], Mirror]:
    """Stops, pauses, resumes or retries trials; waits until those that are to end have ended. The copy of the study is
    as it was before, unless that was waited for."""
    from hpo_engine.control.trials import Answer, numbers_of

    mirror = begun(mirror_of(connected(server), study))
    history, answers = _history(mirror), list[Answer]()
    for number in numbers_of(history, list(trials)):
        body = None if kill is None else {"kill": kill}
        path = f"/studies/{part(study)}/trials/{number}/{do}"
        told = mirror.connection.request("POST", path, body=body, safe=do in ("stop", "pause")).json()
        answers.append(Answer(told["trial"], told["state"], told["text"]))
    if do in ("stop", "pause"):
        _await_end(mirror, [answer.trial for answer in answers])
        now = _history(mirror)
        answers = [_after(now, answer) for answer in answers]
    return answers, mirror


def _after(history: History, answer: Answer) -> Answer:
    """What is to be said of a trial once it has been waited for."""
    from hpo_engine.control.trials import outcome_text

    trial = history.trials[answer.trial]
    if trial.state.value == answer.state:
        return answer
    return replace(answer, state=trial.state.value, text=outcome_text(trial, history.spec.name))


def _await_end(mirror: Mirror, numbers: Sequence[int]) -> None:
    deadline = time.monotonic() + _history(mirror).spec.trial.grace_s + _MORE_S
    while True:
        mirror.sync()
        trials = _history(mirror).trials
        if not mirror.led or not any(trials[number].state.value == "running" for number in numbers):
            return
        if time.monotonic() > deadline:
            raise EngineError(f"{mirror.study}: trials {list(numbers)} have not ended yet; see `show`")
        mirror.sync(1.0)


def enqueue(paths: StudyPaths, configurations: Sequence[Any]) -> tuple[str, list[int]]:
    """As `control.queueing.enqueue`: whether an engine has them, and the numbers that they have in the queue."""
    mirror = of(paths)
    reply = mirror.connection.post(f"/studies/{part(mirror.study)}/enqueue", {"configurations": list(configurations)})
    mirror.sync()
    return ("server" if mirror.led else ""), [each["number"] for each in reply.json()]


def edit(
    connection: Connection,
    study: str,
    change: Mapping[str, Any],
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    hint: bool = True,
) -> int:
    """`edit`. `change`: `set` and `unset`, or the whole `text`."""
    path = f"/studies/{part(study)}/edit"
    found = connection.post(path, {**change, "dry_run": True}).json()
    lines, effects = found["lines"], found["effects"]
    if not goes_ahead(study, lines, effects, empty=not lines, dry_run=dry_run, yes=yes, as_json=as_json):
        return 0
    led = connection.post(path, dict(change)).json()["led"]
    if as_json:
        click.echo(dump({"changed": True, "lines": lines, "effects": effects}))
    else:
        more = f"; to continue: hpo-engine resume {study}" if hint and not led else ""
        click.echo(advised(f"{study} is changed{more}"))
    return 0


class File:
    """The study file of a study at a server, as it is now."""

    def __init__(self, connection: Connection, study: str) -> None:
        self._connection, self.name = connection, study
        self.text = connection.get(f"/studies/{part(study)}/file").body.decode()

    def refuse_text(self) -> None:
        """The server refuses what it cannot change, with the change."""

    def with_text(self, text: str, file: str) -> str:
        """The text, if the server could make the study what it says. Raises SpecError; `file`: as it calls the text."""
        try:
            self._connection.post(f"/studies/{part(self.name)}/edit", {"text": text, "dry_run": True})
        except SpecError as error:
            raise SpecError(error.problems, file) from None
        return text


def remove(server: str, study: str) -> None:
    """`remove`, after the question."""
    connected(server).delete(f"/studies/{part(study)}")
