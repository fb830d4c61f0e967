"""`edit`, and `submit --update`: changes a study that exists, whether an engine runs it or not."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from hpo_engine.cli.common import (
    chosen_server,
    find,
    json_option,
    note,
    root_option,
    server_option,
    study_argument,
    yes_option,
)
from hpo_engine.cli.results import goes_ahead
from hpo_engine.errors import EngineError, SpecError
from hpo_engine.reports.objects import dump

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec

Result_co = TypeVar("Result_co", covariant=True)


@click.command()
@study_argument
@root_option
@server_option
@click.option("--set", "sets", multiple=True, metavar="PATH=VALUE", help="Set a field, such as space.lr.max=0.3.")
@click.option("--unset", "unsets", multiple=True, metavar="PATH", help="Leave a field out, such as space.momentum.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@yes_option
@json_option
def edit(
    study: str,
    root: str | None,
    sets: tuple[str, ...],
    unsets: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Change STUDY, also while it runs: its space, limits, rules.

    Without --set and --unset, $VISUAL or $EDITOR opens on the study file. A parameter that is added needs the value
    that the trials so far had (was: VALUE); trials outside the new space are shown, but are no evidence for the search.
    """
    from hpo_engine.control.editing import StudyFile, refuse_unwritable
    from hpo_engine.store import journal

    if (server := chosen_server(root, study)) is not None:
        return _edit_there(server, study, sets, unsets, dry_run=dry_run, yes=yes, as_json=as_json)
    paths = find(study, root)
    history = journal.read_history(paths.db)
    refuse_unwritable(paths)
    file = StudyFile.of(paths, history)
    edited = file.with_changes(sets, unsets) if sets or unsets else _in_editor(file)
    if edited is None:
        click.echo("nothing was changed")
        return 0
    return revise(paths, history, *edited, dry_run=dry_run, yes=yes, as_json=as_json)


VERBS = (edit,)


def _edit_there(server: str, study: str, sets: Sequence[str], unsets: Sequence[str], **how: bool) -> int:
    """The same at a server. Returns the exit code."""
    from hpo_engine.cli import remote
    from hpo_engine.cli.mirrors import connected

    connection = connected(server)
    if sets or unsets:
        return remote.edit(connection, study, {"set": list(sets), "unset": list(unsets)}, **how)
    text = _in_editor(remote.File(connection, study))
    if text is None:
        click.echo("nothing was changed")
        return 0
    return remote.edit(connection, study, {"text": text}, **how)


def revise(
    paths: StudyPaths,
    history: History,
    new: StudySpec,
    source: str | None,
    *,
    dry_run: bool = False,
    yes: bool = False,
    as_json: bool = False,
    hint: bool = True,
) -> int:
    """Changes the study to what `new` says, after a question on a terminal. Returns the exit code.

    Args:
        history: the study that was edited. source: its new study file (None: it has none). hint: print how to continue.
    """
    from hpo_engine.control import editing

    revision = editing.revision_to(paths, history, new, source)
    lines, effects = revision.lines, revision.effects
    name = revision.spec.name
    if not goes_ahead(name, lines, effects, empty=revision.empty, dry_run=dry_run, yes=yes, as_json=as_json):
        return 0
    led = editing.revise(paths, revision)
    if as_json:
        click.echo(dump({"changed": True, "lines": lines, "effects": effects}))
    else:
        click.echo(f"{name} is changed" + (f"; to continue: hpo-engine resume {name}" if hint and not led else ""))
    return 0


class _Editable(Protocol[Result_co]):
    """A study file as it is now."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...
    def refuse_text(self) -> None: ...
    def with_text(self, text: str, file: str) -> Result_co: ...


def _in_editor(file: _Editable[Result_co]) -> Result_co | None:
    """What comes of the text after the user has edited it; None: it was left as it was. Raises SpecError,
    EngineError."""
    file.refuse_text()
    words = _editor()
    handle, name = tempfile.mkstemp(prefix=f"{file.name}-", suffix=".yaml")
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(file.text)
    while True:
        text = _edited(words, name)
        if text == file.text:
            os.unlink(name)
            return None
        try:
            found = file.with_text(text, name)
        except SpecError as error:
            if not sys.stdin.isatty():
                raise SpecError(f"{error}\nyour text is in {name}") from None
            note(str(error))
            if not click.confirm("Edit it again?", default=True):
                raise SpecError(f"nothing was changed; your text is in {name}") from None
            continue
        os.unlink(name)
        return found


def _editor() -> list[str]:
    for variable in ("VISUAL", "EDITOR"):
        if words := shlex.split(os.environ.get(variable, "")):
            return words
    if sys.stdin.isatty():
        return ["vi"]
    raise SpecError("name an editor in $VISUAL or $EDITOR, or say what to change with --set PATH=VALUE")


def _edited(words: Sequence[str], name: str) -> str:
    """The text after the editor has ended."""
    from hpo_engine.studyfile.document import read_text

    try:
        code = subprocess.run([*words, name], check=False).returncode
    except OSError as error:
        os.unlink(name)
        raise SpecError(f"{words[0]}: {error.strerror}; name an editor in $VISUAL or $EDITOR") from None
    if code != 0:
        raise EngineError(f"{words[0]} ended with exit code {code}; nothing was changed, your text is in {name}")
    return read_text(name)
