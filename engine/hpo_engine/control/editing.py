"""A study that exists is changed: its study file as it is now, what a change comes to, and the change itself."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpo_engine.control.requests import change
from hpo_engine.errors import EngineError, Problem, SpecError

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.events import Event
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec
    from hpo_engine.studyfile.document import Document

_LIMITS = ("trials", "runs", "time_limit", "parallel")
_RULES = ("stop", "early_stopping", "failures")
"""Fields that are one list in a StudySpec."""


@dataclass(frozen=True)
class Revision:
    """A change of a study, before it is made.

    `spec`: the study from now on, `source`: its study file (None: it has none). `lines`: what is different, one line
    each. `effects`: what that means for the trials so far and for the queue. `before`: the study that was edited.
    """

    before: StudySpec
    spec: StudySpec
    source: str | None
    lines: Sequence[str]
    effects: Sequence[str]

    @property
    def empty(self) -> bool:
        return not self.lines and self.spec == self.before


def revision_to(paths: StudyPaths, history: History, new: StudySpec, source: str | None) -> Revision:
    """What it takes to make the study what `new` says. Raises SpecError with everything that cannot be changed.

    Args:
        history: the study that was edited.
    """
    from hpo_engine import assembly, studies
    from hpo_engine.study.revision import revised

    spec = revised(history, new)
    assembly.changed_parts(history.spec, spec, paths)
    effects = _effects(history, spec) if spec.space != history.spec.space else []
    return Revision(history.spec, spec, source, studies.changes(history.spec, spec), effects)


def revise(paths: StudyPaths, revision: Revision, who: str = "") -> bool:
    """Makes the change. Returns whether an engine that runs the study has done it.

    Args:
        who: has made it; "": the user of this process.

    Raises:
        SpecError: the study was changed meanwhile, or the engine cannot serve it. EngineError: it does not answer.
    """
    from hpo_engine.store.inbox import Request
    from hpo_engine.study.revision import changed_by, fingerprint

    body = {
        "spec": revision.spec.to_json(),
        "source": revision.source,
        "lines": list(revision.lines),
        "who": who or _who(),
        "before": fingerprint(revision.before),
    }

    def events(history: History, now: float) -> Sequence[Event]:
        return [changed_by(history, body, now)]

    return bool(change(paths, Request("edit", why="edit", body=body), events))


def refuse_unwritable(paths: StudyPaths) -> None:
    """Raises EngineError if this user cannot change the study, before anything is asked."""
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

    @property
    def name(self) -> str:
        """The study's."""
        return self.spec.name

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

    def with_text(self, text: str, file: str) -> tuple[StudySpec, str | None]:
        """The study that the whole text describes, changed by hand, and the text. `file`: what messages call it.

        Raises:
            SpecError.
        """
        from hpo_engine.studyfile.document import read_document

        self.refuse_text()
        return self._meaning(read_document(text, file)), text

    def refuse_text(self) -> None:
        """Raises SpecError if the text cannot be changed as a whole."""
        if not self.native:
            raise SpecError(f"{self.spec.name} was made of a WMLA request: use --set trials=, --set time_limit=, ...")

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
            spec = assembly.read_changed(Document(data, edited.file, edited.marks), self.spec.model_dir, self.spec)
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
