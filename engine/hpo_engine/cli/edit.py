"""`edit`, and `submit --update`: changes a study that exists, whether an engine runs it or not."""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import find, json_option, note, root_option, study_argument, yes_option
from hpo_engine.control.requests import change
from hpo_engine.errors import EngineError, Problem, SpecError
from hpo_engine.reports.objects import dump

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.events import Event
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec
    from hpo_engine.studyfile.document import Document

_LIMITS = ("trials", "runs", "time_limit", "parallel")
_RULES = ("stop", "early_stopping", "failures")
"""Fields that are one list in a StudySpec."""


@click.command()
@study_argument
@root_option
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
    from hpo_engine.store import journal

    paths = find(study, root)
    history = journal.read_history(paths.db)
    _writable(paths)
    file = StudyFile.of(paths, history)
    edited = file.with_changes(sets, unsets) if sets or unsets else file.in_editor()
    if edited is None:
        click.echo("nothing was changed")
        return 0
    return revise(paths, history, *edited, dry_run=dry_run, yes=yes, as_json=as_json)


VERBS = (edit,)


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
    from hpo_engine import assembly, studies
    from hpo_engine.store.inbox import Request
    from hpo_engine.study.revision import changed_by, fingerprint, revised

    spec = revised(history, new)
    assembly.changed_parts(history.spec, spec, paths)
    lines = studies.changes(history.spec, spec)
    if not lines and spec == history.spec:
        click.echo(dump({"changed": False, "lines": []}) if as_json else "nothing changes")
        return 0
    effects = _effects(history, spec) if spec.space != history.spec.space else []
    if not as_json:
        for line in [*lines, *effects]:
            click.echo(f"  {line}")
    if dry_run:
        if as_json:
            click.echo(dump({"changed": False, "lines": lines, "effects": effects}))
        return 0
    if not yes and not as_json and sys.stdin.isatty():
        click.confirm(f"Change {spec.name}?", abort=True)
    body = {
        "spec": spec.to_json(),
        "source": source,
        "lines": lines,
        "who": _who(),
        "before": fingerprint(history.spec),
    }

    def events(now_history: History, now: float) -> Sequence[Event]:
        return [changed_by(now_history, body, now)]

    led = change(paths, Request("edit", why="edit", body=body), events)
    if as_json:
        click.echo(dump({"changed": True, "lines": lines, "effects": effects}))
    else:
        click.echo(
            f"{spec.name} is changed" + (f"; to continue: hpo-engine resume {spec.name}" if hint and not led else "")
        )
    return 0


def _effects(history: History, new: StudySpec) -> list[str]:
    """What a change of the space means for the trials so far and for the queue."""
    from hpo_engine.study.projection import fitting, member
    from hpo_engine.text.tables import counted

    before, inside = (
        sum(member(trial.params, spec.space, spec.was) is not None for trial in history.trials)
        for spec in (history.spec, new)
    )
    dropped = sum(fitting(entry, new.space) is None for entry in history.queue)
    found = []
    if history.next_id and inside < history.next_id:
        outside, trials = history.next_id - inside, counted(history.next_id, "trial")
        are = "is" if outside == 1 else "are"
        found.append(f"of {trials}, {outside} {are} outside the new space: still shown, but no evidence for the search")
    elif inside > before:
        found.append("all trials are evidence for the search")
    if dropped:
        found.append(f"{counted(dropped, 'queued configuration')} outside the new space will not be tried")
    return found


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{os.uname().nodename}"
    except (KeyError, OSError):  # a uid without a name
        return f"uid {os.getuid()}@{os.uname().nodename}"


def _writable(paths: StudyPaths) -> None:
    """Refuses a study that this user cannot change, before anything is asked."""
    if not all(os.access(path, os.W_OK) for path in (paths.root, paths.db)):
        raise EngineError(
            f"{paths.root}: no permission to change the study (it belongs to uid {os.stat(paths.db).st_uid})"
        )


@dataclass(frozen=True)
class StudyFile:
    """The study file of a study as it is now: the text as submitted, with the changes since.

    `spec`: what it means. `document`, `text`: of a native study; of a WMLA request its native form, of which only
    limits can change.
    """

    paths: StudyPaths
    spec: StudySpec
    document: Document
    text: str
    native: bool

    @classmethod
    def of(cls, paths: StudyPaths, history: History) -> StudyFile:
        from hpo_engine.studyfile.common import is_wmla
        from hpo_engine.studyfile.document import Document, read_document
        from hpo_engine.studyfile.document import dump as dump_yaml
        from hpo_engine.studyfile.edits import rewritten
        from hpo_engine.studyfile.native import to_native

        spec, text = history.spec, _source(paths)
        form = to_native(spec)
        document: Document | None = None
        try:
            document = read_document(text, "algo.yaml")
        except SpecError:
            text = ""
        if document is None or is_wmla(document.data) or spec.submitted_code is not None:
            native = document is None and spec.submitted_code is None
            text = dump_yaml(form)
            return cls(paths, spec, Document(form, "algo.yaml"), text, native)
        data = dict(document.data)
        for key in _LIMITS:  # they may have been given by options, or changed by resume
            if not _same_limit(history, key, data):
                data = {**{k: v for k, v in data.items() if k != key}, **({key: form[key]} if key in form else {})}
        if data != document.data:
            text = rewritten(document, text, data)
            document = read_document(text, "algo.yaml")
        return cls(paths, spec, document, text, True)

    def with_changes(self, sets: Sequence[str], unsets: Sequence[str]) -> tuple[StudySpec, str | None]:
        """The study and its text after these changes. Raises SpecError."""
        from hpo_engine.studyfile.document import Document
        from hpo_engine.studyfile.edits import rewritten, with_set, without

        data = dict(self.document.data)
        for path in unsets:
            data = without(data, path)
        for assignment in sets:
            data = with_set(data, assignment)
        try:
            spec = self._meaning(Document(data, ""))
        except SpecError as error:
            raise SpecError([problem._replace(line=None) for problem in error.problems]) from None
        return spec, rewritten(self.document, self.text, data) if self.native else None

    def in_editor(self) -> tuple[StudySpec, str | None] | None:
        """The same after the user has edited the text; None: it was left as it was. Raises SpecError, EngineError."""
        if not self.native:
            raise SpecError(f"{self.spec.name} was made of a WMLA request: use --set trials=, --set time_limit=, ...")
        words = _editor()
        handle, name = tempfile.mkstemp(prefix=f"{self.spec.name}-", suffix=".yaml")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(self.text)
        while True:
            text = _edited(words, name)
            if text == self.text:
                os.unlink(name)
                return None
            try:
                found = self._read(text, name), text
            except SpecError as error:
                if not sys.stdin.isatty():
                    raise SpecError(f"{error}\nyour text is in {name}") from None
                note(str(error))
                if not click.confirm("Edit it again?", default=True):
                    raise SpecError(f"nothing was changed; your text is in {name}") from None
                continue
            os.unlink(name)
            return found

    def _read(self, text: str, file: str) -> StudySpec:
        from hpo_engine.studyfile.document import read_document

        return self._meaning(read_document(text, file))

    def _meaning(self, edited: Document) -> StudySpec:
        """The study that the edited document describes: fields that were left alone mean what they meant."""
        from hpo_engine import assembly
        from hpo_engine.study.revision import fixed_keys
        from hpo_engine.studyfile.document import Document
        from hpo_engine.studyfile.native import to_native

        before, after = self.document.data, edited.data
        if not isinstance(after, dict):
            raise SpecError("must be a mapping of fields", edited.file)
        changed = {key for key in {*before, *after} if before.get(key, _NONE) != after.get(key, _NONE)}
        if not self.native and (more := sorted(changed - set(_LIMITS))):
            raise SpecError(
                f"{', '.join(more)}: cannot be changed: {self.spec.name} was made of a WMLA request, of which only "
                f"{', '.join(_LIMITS)} can change"
            )
        if not changed:
            return self.spec
        if changed & set(_RULES):
            changed |= set(_RULES)
        data: dict[str, Any] = {**to_native(self.spec), "model_dir": self.paths.model}
        data.pop("points", None)  # those that wait are in the queue
        for key in changed:
            data.pop(key, None)
            if key in after:
                data[key] = after[key]
        if "trials" not in after and "trials" not in changed and self._is_size():
            data["trials"] = "unlimited"
        try:
            spec = assembly.read_changed(Document(data, edited.file, edited.marks), self.spec.model_dir)
        except SpecError:
            if fixed := [Problem(key, why, edited.line(key)) for key, why in fixed_keys(changed)]:
                raise SpecError(fixed, edited.file) from None
            raise
        if "points" not in changed:
            spec = replace(spec, points=self.spec.points)
        return spec if "model_dir" in changed else replace(spec, model_dir=self.spec.model_dir)

    def _is_size(self) -> bool:
        """Whether the number of trials is that of the configurations that there are."""
        from hpo_engine import assembly

        here = replace(self.spec, model_dir=self.paths.model)
        return self.spec.budget.trials is not None and assembly.searcher(here).traits.size == self.spec.budget.trials


_NONE = object()


def _source(paths: StudyPaths) -> str:
    """The latest text of the study file in the log."""
    from hpo_engine.store.journal import Journal
    from hpo_engine.study.events import SpecChanged, StudyOpened

    log = Journal(paths.db)
    try:
        texts = [e.source for e in log.read() if isinstance(e, (StudyOpened, SpecChanged)) and e.source]
    finally:
        log.close()
    return texts[-1] if texts else ""


def _same_limit(history: History, key: str, data: dict[str, Any]) -> bool:
    """Whether a limit in the text is the one that the study has."""
    from hpo_engine.studyfile.native.form import StudyForm

    before, now = _limit(history.opened_spec, key), _limit(history.spec, key)
    if key not in data:  # then it was left open, or said by an option, when the study began
        return bool(now == before)
    try:
        return bool(now == getattr(StudyForm.model_validate({"command": "-", key: data[key]}), key))
    except ValueError:
        return False


def _limit(spec: StudySpec, key: str) -> Any:
    budget = spec.budget
    limits = {
        "trials": budget.trials, "runs": budget.runs, "time_limit": budget.time_s, "parallel": spec.resources.parallel,
    }  # fmt: skip
    return limits[key]


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
