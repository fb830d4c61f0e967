"""The desk: every dialect of the service asks it, and nothing else touches studies."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from hpo_engine.contract.paths import StudyPaths, is_study, studies
from hpo_engine.errors import EngineError, JournalError, SpecError, StudyGone, StudyLocked, StudyNotFound, nearest
from hpo_engine.service.desk.looking import Glances, Histories
from hpo_engine.service.desk.specs import Specs
from hpo_engine.service.desk.states import Standing, state_of
from hpo_engine.service.desk.values import Caller, Model, View
from hpo_engine.service.desk.warming import Warming
from hpo_engine.service.host import Host
from hpo_engine.service.intake.spool import Spool
from hpo_engine.service.places import ServicePaths
from hpo_engine.service.records import uploads as texts
from hpo_engine.service.records.submissions import Content, Key, Phase, Submission, Submissions
from hpo_engine.service.records.uploads import Kept, Uploads
from hpo_engine.store.lock import who_leads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec

STUDIES = 16
"""How many studies run at the same time, unless `serve` is told otherwise; their trials share the machine."""
_POLL_S = 0.02
_ENDED = ("finished", "failed", "stopped")
_LEAVE_S = 10.0  # how long the engine of a study that has ended may take to leave
_STOP_S = 30.0  # how long a forced removal waits for the engine to end


class Desk:
    """May be used from several threads. Methods that name a study raise StudyNotFound if there is none that the caller
    may see: their own, and for an admin all.

    Args:
        root: of the studies, absolute. studies: how many run at the same time, at most.
    """

    def __init__(self, root: str, *, studies: int = STUDIES) -> None:
        self.root, self._most = root, studies
        self._places = ServicePaths(root)
        self._places.make()
        self._submissions = Submissions.at(self._places.db)
        self._uploads = Uploads(self._places, Spool.below(root))
        self._glances, self._histories = Glances(), Histories()
        self._warming = Warming(root, self._glances, self._histories)
        self._specs = Specs(self._submissions, self._uploads, root)
        self._host = Host(root, self._submissions, self._uploads, studies)
        self._lock, self._open = threading.Lock(), False

    def open(self) -> None:
        """Takes over what the service before has left, and starts engines from now on; a second time, nothing."""
        with self._lock:
            if not self._open:
                self._open = True
                self._host.start()
                self._finish_removals()
                self._warming.start()

    def close(self) -> None:
        """Studies go on."""
        with self._lock:
            if self._open:
                self._host.close()
                self._warming.close()
            self._uploads.close()
            self._submissions.close()

    def checked(self, text: str, *, file: str = "request", model_dir: str | None = None) -> tuple[StudySpec, str]:
        """The study that a text describes (study file or WMLA request), and the text to keep, without secrets. Raises
        SpecError with every problem in it."""
        return texts.spec_of(texts.read(text, file), text, self.root, model_dir)

    def submit(
        self,
        caller: Caller,
        text: str,
        model: Model | None = None,
        *,
        file: str = "request",
        name: str | None = None,
        key: str | None = None,
    ) -> View:
        """Takes a study in. When it returns, nothing loses the study any more.

        Args:
            model: the script or its folder, which comes in place of the text's model_dir. file: what messages call the
            text. name: of a study whose text names none (None: one is made). key: the client's own name for the
            request; the same request with the same key is the same study, however often it comes.

        Raises:
            SpecError: the text or the model is not sound. StudyExists: the name is taken, or the key is that of
            another request. JournalError: it cannot be written down; nothing was taken in.
        """
        doc, now = texts.read(text, file), time.time()
        script = texts.script_of(doc)
        if model is not None and model.kind == "script":
            script = script or os.path.basename(model.name) or "train.py"
        told = None if key is None else Key(key, _sha256(text, model))
        with self._kept(model, script) as kept:
            folder = kept.folder if kept is not None else None
            called = name or texts.new_name(caller.name, now)
            try:
                spec, source = texts.spec_of(doc, text, self.root, folder, user=caller.name, name=called)
            except SpecError as error:
                raise _without_place(error, folder) from None
            self.open()
            new = Submission(
                0, spec.name, caller.name, now, file, "" if model is None else model.kind, script,
                kept.name if kept is not None else "",
            )  # fmt: skip
            given = Content(source, kept.content if kept is not None else None)
            row, is_new = self._submissions.add(new, given, now, partial(self._taken, new.name), told)
            if is_new:
                self._specs.put(row, spec, folder)
                self._host.enqueue(row)
        if not is_new and kept is not None:
            self._uploads.drop(kept.name)
        return self.view(caller, row.name)

    def views(self, caller: Caller) -> list[View]:
        """All studies that the caller may see, by name."""
        rows = {row.name: row for row in self._submissions.all()}
        names = {os.path.basename(paths.root) for paths in studies(self.root)}
        found = [self._view(caller, name, rows.get(name)) for name in sorted({*names, *rows})]
        return [view for view in found if view is not None]

    def view(self, caller: Caller, name: str) -> View:
        view = None
        if os.sep not in name and "\0" not in name and not name.startswith("."):
            view = self._view(caller, name, self._submissions.get(name))
        if view is None:
            raise StudyNotFound(f'no study "{name}"{nearest(name, self._names(caller))}')
        return view

    def stop(self, caller: Caller, name: str, *, kill: bool = False) -> View:
        """Asks for the stop; does not wait for it. A study that waits for its turn leaves the line.

        Raises:
            StudyLocked: its engine cannot be reached.
        """
        view = self.view(caller, name)
        row = self._submissions.get(name)
        if row is not None and row.phase in (Phase.QUEUED, Phase.BEGUN):
            self._submissions.change(name, (Phase.QUEUED, Phase.BEGUN), phase=Phase.IDLE, changes={})
            self._host.withdraw(name)
        if view.paths is not None or (row is not None and self._host.has(row.id)):
            self._stop_engine(self._paths(name), row, kill=kill)
        return self.view(caller, name)

    def restart(self, caller: Caller, name: str, changes: dict[str, Any] | None = None) -> View:
        """Goes on where the study stood; finished trials are kept. It waits for its turn.

        Args:
            changes: new limits, see `control.changes`.

        Raises:
            StudyLocked: it runs, or could never begin. SpecError: a limit is below what the study has had.
            JournalError: its log cannot be read.
        """
        from hpo_engine.control.changes import refuse_fewer

        view = self.view(caller, name)
        row, turn = self._submissions.get(name), time.time()
        self._await_the_end(view, row)
        if row is not None and row.phase is Phase.REFUSED:
            raise StudyLocked(f"{name} could not begin: {row.reason}; submit it again")
        if view.paths is not None and view.summary is None:
            raise JournalError(view.problem)
        if view.paths is not None and (holder := who_leads(view.paths.lock)) is not None:
            raise StudyLocked(f"{name} runs already ({holder})", str(holder))
        if changes and view.history is not None:
            refuse_fewer(view.history, changes, "{}: ")
        self.open()
        if row is None:
            assert view.paths is not None
            row = self._submissions.adopt(name, view.created, turn, changes or {})
        else:
            row = self._submissions.change(
                name, phase=Phase.QUEUED, turn=turn, changes={**row.changes, **(changes or {})}, reason=""
            )
        if row is not None:
            self._host.enqueue(row)
        return self.view(caller, name)

    def remove(self, caller: Caller, name: str, *, force: bool = False) -> None:
        """Removes the study's folder. `force`: a study that runs is stopped first.

        Raises:
            StudyLocked: it runs, and is to be stopped first; or it cannot be stopped.
        """
        view = self.view(caller, name)
        row = self._submissions.get(name)
        self._await_the_end(view, row)
        if not force and view.paths is not None and (holder := who_leads(view.paths.lock)) is not None:
            raise StudyLocked(f"{name} runs ({holder}); stop it first", str(holder))
        if not force and row is not None and row.phase in (Phase.QUEUED, Phase.BEGUN) and self._host.has(row.id):
            raise StudyLocked(f"{name} is about to run; stop it first")
        noted = row is not None and self._note_removal(row)
        try:
            self._remove(name, row, force=force)
        except BaseException as error:
            if row is not None and noted:
                self._submissions.change(name, (Phase.REMOVING,), phase=row.phase)
            elif isinstance(error, JournalError) and not os.path.lexists(self._paths(name).root):
                return  # only its row is left, which nobody sees without a folder
            raise

    # -- what is taken in ------------------------------------------------------------------------------------------

    @contextmanager
    def _kept(self, model: Model | None, script: str) -> Iterator[Kept | None]:
        if model is None:
            yield None
            return
        with self._uploads.taken(model, script) as kept:
            yield kept

    def _taken(self, name: str, there: Submission | None) -> str:
        """Why a new study cannot have this name; "" if it can."""
        paths = self._paths(name)
        if there is not None and (not there.placed or there.phase is Phase.REMOVING or os.path.lexists(paths.root)):
            return f"a study {name} exists; choose another name, or remove it"
        if os.path.lexists(paths.root):
            what = "a study" if is_study(paths) else "something else"
            return f"{what} with the name {name} is in {self.root}; choose another name, or remove it"
        return ""

    # -- what is shown ---------------------------------------------------------------------------------------------

    def _paths(self, name: str) -> StudyPaths:
        return StudyPaths(os.path.join(self.root, name))

    def _names(self, caller: Caller) -> list[str]:
        rows = {row.name: row for row in self._submissions.all()}
        names = {os.path.basename(paths.root) for paths in studies(self.root)}
        names |= {name for name, row in rows.items() if not row.placed}  # others have lost their folders
        return [name for name in names if _may_see(caller, rows.get(name))]

    def _view(self, caller: Caller, name: str, row: Submission | None) -> View | None:
        """None: there is no such study, or not for this caller."""
        if row is not None and row.phase is Phase.REMOVING:
            return None
        paths = self._paths(name)
        if row is not None and not row.placed:
            return self._unplaced(row) if _may_see(caller, row) else None
        if not is_study(paths):
            return None
        glance, problem = None, ""
        try:
            glance = self._glances.of(paths)
        except StudyGone:
            return None
        except JournalError as error:
            problem = str(error)
        if row is not None and glance is not None and glance.opened_at != row.created:
            row = None  # the study of that submission was removed, and another one has its name
        if not _may_see(caller, row):
            return None
        holder = who_leads(paths.lock)
        known = holder is not None and holder.pid  # 0: it is about to write its name
        elsewhere = str(holder) if known and not self._host.is_leading(known) else ""
        reason = problem or (self._host.problems.get(name, "") if holder is None else "")
        phase, turn = (row.phase, row.turn) if row is not None else (None, 0.0)
        standing = Standing(phase, holder is not None, bool(reason) and not problem, turn)
        state, recovery = state_of(standing, None if glance is None else glance.summary)
        where = "-" if glance is None else f"{glance.number}-{glance.crc:08x}"
        return View(
            name, "" if row is None else row.owner, state, 0.0 if glance is None else glance.opened_at,
            f"{where}-{state}-{recovery}-{int(bool(elsewhere))}", paths, None if glance is None else glance.summary,
            elsewhere, reason, recovery, load=partial(self._history, paths),
        )  # fmt: skip

    def _unplaced(self, row: Submission) -> View:
        state = {Phase.REFUSED: "failed", Phase.IDLE: "stopped"}.get(row.phase, "queued")
        version = f"{row.id}-{state}"
        return View(
            row.name, row.owner, state, row.created, version, problem=row.reason, read=partial(self._specs.of, row)
        )

    def _history(self, paths: StudyPaths) -> History | None:
        try:
            return self._histories.of(paths)
        except (JournalError, StudyGone):
            return None

    # -- what is ended ---------------------------------------------------------------------------------------------

    def _await_the_end(self, view: View, row: Submission | None) -> None:
        """Waits while the engine of a study that has ended leaves: clients read that it has, and ask for the next."""
        deadline = time.monotonic() + _LEAVE_S
        while view.state in _ENDED and time.monotonic() < deadline:
            led = view.paths is not None and who_leads(view.paths.lock) is not None
            if not led and (row is None or not self._host.has(row.id)):
                return
            time.sleep(_POLL_S)

    def _stop_engine(self, paths: StudyPaths, row: Submission | None, *, kill: bool) -> None:
        from hpo_engine.control.stopping import ask_to_stop, stop_unled

        deadline = time.monotonic() + _STOP_S
        while who_leads(paths.lock) is None and row is not None and self._host.has(row.id):  # it is about to lead
            if time.monotonic() > deadline:
                raise StudyLocked(f"{row.name} is about to begin, and takes long over it; try again")
            time.sleep(_POLL_S)
        if not is_study(paths):  # it was stopped before it had a folder
            return
        if who_leads(paths.lock) is not None:
            ask_to_stop(paths, kill=kill)
            return
        history = self._history(paths)
        if history is not None and history.running:
            try:
                stop_unled(paths, kill=kill)
            except EngineError as error:
                raise StudyLocked(f"{os.path.basename(paths.root)}: {error}") from error

    def _remove(self, name: str, row: Submission | None, *, force: bool) -> None:
        from hpo_engine import studies as folders

        paths = self._paths(name)
        if force and (not is_study(paths) or self._is_its_folder(paths, row)):
            self._end(paths, row)
        if is_study(paths) and self._is_its_folder(paths, row):
            try:
                folders.remove(paths)
            except (StudyLocked, StudyGone):
                raise
            except EngineError as error:
                raise StudyLocked(f"{name}: {error}") from error
        self._glances.forget(paths)
        self._histories.forget(paths)
        if row is not None:
            self._uploads.drop(row.kept)
            self._submissions.remove(name)

    def _note_removal(self, row: Submission) -> bool:
        """So that the next service finishes it. False: the disk is full; a study that is over is removed all the same,
        as that makes room, and its row goes when somebody misses its folder. Raises JournalError."""
        try:
            self._submissions.change(row.name, phase=Phase.REMOVING)
        except JournalError:
            if not row.placed or row.phase is not Phase.IDLE:
                raise
            return False
        self._host.withdraw(row.name)
        return True

    def _is_its_folder(self, paths: StudyPaths, row: Submission | None) -> bool:
        """Whether the folder is that of the submission, and not of a study that has taken its name."""
        if row is None:
            return True
        try:
            return self._glances.of(paths).opened_at == row.created
        except JournalError:
            return row.placed  # a damaged study may be removed, too
        except StudyGone:
            return False

    def _end(self, paths: StudyPaths, row: Submission | None) -> None:
        self._stop_engine(paths, row, kill=True)
        deadline = time.monotonic() + _STOP_S
        while (holder := who_leads(paths.lock)) is not None:
            if time.monotonic() > deadline:
                raise StudyLocked(f"{os.path.basename(paths.root)}: its engine does not answer ({holder})")
            time.sleep(_POLL_S)

    def _finish_removals(self) -> None:
        """Those that the service before had begun."""
        for row in self._submissions.all():
            if row.phase is Phase.REMOVING:
                threading.Thread(target=self._remove_late, args=(row,), name="removal", daemon=True).start()

    def _remove_late(self, row: Submission) -> None:
        try:
            self._remove(row.name, row, force=True)
        except (EngineError, OSError):
            self._submissions.change(row.name, (Phase.REMOVING,), phase=Phase.IDLE)


def _without_place(error: SpecError, folder: str | None) -> SpecError:
    """The error in the client's words, who does not know where the upload lies at the moment."""
    if folder is None:
        return error
    problems = [problem._replace(text=problem.text.replace(folder, "the uploaded model")) for problem in error.problems]
    return SpecError(problems, error.source)


def _may_see(caller: Caller, row: Submission | None) -> bool:
    return caller.admin or (row is not None and row.owner == caller.name)


def _sha256(text: str, model: Model | None) -> str:
    found = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    if model is not None:
        found.update(model.name.encode("utf-8", "surrogatepass") + b"\0")
        with open(model.path, "rb") as file:
            while part := file.read(1 << 20):
                found.update(part)
    return found.hexdigest()
