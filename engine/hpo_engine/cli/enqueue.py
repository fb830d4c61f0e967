"""`enqueue`: configurations to be tried next."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import (
    chosen_server,
    find,
    json_option,
    refreshed,
    root_option,
    server_option,
    study_argument,
)
from hpo_engine.errors import Problem, SpecError
from hpo_engine.reports.objects import dump

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.store.journal import Follower
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec

_POLL_S = 0.05
_PATIENCE_S = 2.0  # for a slot to be free
_SHOWN = 10


@click.command()
@study_argument
@click.argument("values", metavar="[NAME=VALUE]...", nargs=-1)
@root_option
@server_option
@click.option(
    "--file", "-f", "file", metavar="FILE", help="Configurations as JSON objects, one per line; - is the input."
)
@click.option("--wait", is_flag=True, help="Wait until they have become trials.")
@json_option
def enqueue(study: str, values: tuple[str, ...], root: str | None, file: str | None, wait: bool, as_json: bool) -> int:
    """Put a configuration first in STUDY's line: it is tried as soon as a trial can start.

    Values are written as in a study file: `hpo-engine enqueue digits lr=0.01 layers=3`. What is left out is filled in
    by the searcher. FILE has several; they are tried in their order, behind those that were enqueued before.
    """
    from hpo_engine.control.queueing import enqueue as queue
    from hpo_engine.store.journal import Follower
    from hpo_engine.study.events import TrialQueued

    if (server := chosen_server(root, study)) is not None:
        from hpo_engine.cli import remote
    paths = find(study, root)
    log = Follower(paths.db)
    if bool(values) == (file is not None):
        raise click.UsageError("name a configuration, as in lr=0.01 layers=3, or a --file of them")
    found = _read(file) if file is not None else [_configuration(log.history.spec, values)]
    if not found:
        raise SpecError("there is no configuration in it", file or "")
    name, numbers = queue(paths, log.history, found) if server is None else remote.enqueue(paths, found)
    news = [event for event, _ in log.news()]
    if name and server is None:
        numbers = [event.number for event in news if isinstance(event, TrialQueued) and event.request == name]
    if name:
        _await(paths, log, numbers, patience_s=None if wait else _PATIENCE_S)
    _print(log.history, numbers, led=bool(name), as_json=as_json)
    log.close()
    return 0


VERBS = (enqueue,)


def _configuration(spec: StudySpec, values: Sequence[str]) -> dict[str, Any]:
    """The configuration that the words of a command line say."""
    out: dict[str, Any] = {}
    for word in values:
        name, equals, text = word.partition("=")
        while equals and name not in spec.space and "=" in text:  # a name may have an equals sign in it
            more, _, rest = text.partition("=")
            if f"{name}={more}" not in spec.space:
                break
            name, text = f"{name}={more}", rest
        if not equals or not name:
            raise SpecError([Problem(word, "write NAME=VALUE, as in lr=0.01")])
        if name in out:
            raise SpecError([Problem(name, "is given twice")])
        out[name] = _value(spec, name, text)
    return out


def _value(spec: StudySpec, name: str, text: str) -> Any:
    """A value as it would stand in a study file; a choice that is text needs no quotes."""
    from hpo_engine.studyfile.document import read_value

    if name in spec.space and spec.space.axis(name).problem(text) is None:
        return text
    try:
        return read_value(text)
    except SpecError as error:
        raise SpecError([Problem(name, problem.text) for problem in error.problems]) from None


def _read(file: str) -> list[Any]:
    """The configurations of a file: JSON objects, one per line, or the whole file is one, or a list of them."""
    from hpo_engine.studyfile.document import MAX_BYTES, decode, read_json, read_text

    name = "standard input" if file == "-" else file
    text = decode(sys.stdin.buffer.read(MAX_BYTES + 1), name) if file == "-" else read_text(file)
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            found += [read_json(line, name)[0]] if line.strip() else []
        except SpecError as error:
            try:
                found = [read_json(text, name)[0]]
            except SpecError:
                raise SpecError([problem._replace(line=number) for problem in error.problems], name) from None
            break
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def _await(paths: StudyPaths, log: Follower, numbers: Sequence[int], patience_s: float | None) -> None:
    """Waits until the configurations have become trials, the engine has gone, or the patience is at its end."""
    from hpo_engine.store.lock import who_leads

    deadline = None if patience_s is None else time.monotonic() + patience_s
    while who_leads(paths.lock) is not None and (deadline is None or time.monotonic() < deadline):
        log.news()
        if all(entry.number not in numbers for entry in log.history.queue):
            return
        refreshed(paths, _POLL_S)
    log.news()


def _print(history: History, numbers: Sequence[int], *, led: bool, as_json: bool) -> None:
    from hpo_engine.control.queueing import entries
    from hpo_engine.text.tables import assignments, counted

    became = entries(history, numbers)
    if as_json:
        click.echo(dump([entry.to_json() for entry in became]))
        return
    for entry in became[:_SHOWN]:
        if entry.trial is not None:
            click.echo(f"trial {entry.trial}: {assignments(entry.params)}")
        else:
            ahead = sum(
                other.number < entry.number or other.study is not None for other in history.queue if other.first
            )
            place = f"behind {counted(ahead, 'other')}" if ahead else "first in line"
            when = "starts when a trial can" if led else f"hpo-engine resume {history.spec.name} tries it"
            click.echo(f"queued, {place}: {assignments(entry.params)}; {when}")
    if (more := len(became) - _SHOWN) > 0:
        waits = sum(entry.trial is None for entry in became[_SHOWN:])
        click.echo(f"... and {more} more, of which {waits} wait")
