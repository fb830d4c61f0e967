"""The desk: every dialect of the service asks it, and nothing else touches studies."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import StudyExists, StudyLocked, StudyNotFound, nearest
from hpo_engine.service.desk.values import Caller, Model, View

if TYPE_CHECKING:
    from hpo_engine.control.reading import Reader
    from hpo_engine.study.spec import StudySpec


class Desk:
    """May be used from several threads. Methods that name a study raise StudyNotFound if there is none that the caller
    may see."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._readers: dict[str, Reader] = {}

    def checked(self, text: str, *, file: str = "request", model_dir: str | None = None) -> tuple[StudySpec, str]:
        """The study that a text describes (study file or WMLA request), and the text to keep, without secrets. Raises
        SpecError with every problem in it."""
        from hpo_engine import assembly
        from hpo_engine.studyfile import document

        read = document.read_document(text, file)
        return assembly.spec_of(read, text, model_dir or self.root, os.environ)

    def submit(self, caller: Caller, text: str, model: Model | None = None, *, file: str = "request") -> View:
        """Takes a study in. When it returns, nothing loses the study any more.

        Raises:
            SpecError. StudyExists: the name is taken.
        """
        from hpo_engine.contract.paths import StudyPaths
        from hpo_engine.control.engines import start_engine
        from hpo_engine.control.submitting import created

        spec, kept = self.checked(text, file=file)
        paths = StudyPaths(os.path.join(self.root, spec.name))
        if not created(spec, kept, paths, lambda note: None):
            raise StudyExists(f"a study {spec.name} exists; choose another name, or remove it")
        start_engine(paths, {})
        return self.view(caller, spec.name)

    def views(self, caller: Caller) -> list[View]:
        """All studies that the caller may see, by name."""
        from hpo_engine.contract.paths import studies

        return [self.view(caller, os.path.basename(paths.root)) for paths in studies(self.root)]

    def view(self, caller: Caller, name: str) -> View:
        from hpo_engine.contract.paths import StudyPaths, is_study, studies
        from hpo_engine.control.reading import Reader
        from hpo_engine.reports.objects import state_word
        from hpo_engine.store.lock import who_leads

        paths = StudyPaths(os.path.join(self.root, name))
        if os.sep in name or name.startswith(".") or not is_study(paths):
            known = [os.path.basename(each.root) for each in studies(self.root)]
            raise StudyNotFound(f'no study "{name}"{nearest(name, known)}')
        history = self._readers.setdefault(name, Reader(paths)).read()
        led = who_leads(paths.lock)
        state = state_word(history.state.value, led is not None)
        return View(
            name, caller.name, state, history.opened_at, f"{history.events}-{state}", history.spec, history, paths
        )

    def stop(self, caller: Caller, name: str, *, kill: bool = False) -> View:
        """Asks for the stop; does not wait for it."""
        from hpo_engine.control.stopping import ask_to_stop

        view = self.view(caller, name)
        assert view.paths is not None
        ask_to_stop(view.paths, kill=kill)
        return view

    def restart(self, caller: Caller, name: str, changes: dict[str, Any] | None = None) -> View:
        """Goes on where the study stood; finished trials are kept. `changes`: new limits, see `control.changes`."""
        from hpo_engine.control.engines import start_engine

        view = self.view(caller, name)
        assert view.paths is not None
        start_engine(view.paths, {"changes": changes or {}})
        return self.view(caller, name)

    def remove(self, caller: Caller, name: str, *, force: bool = False) -> None:
        """Removes the study's folder. `force`: a study that runs is stopped first.

        Raises:
            StudyLocked: it runs, and is to be stopped first.
        """
        from hpo_engine import studies
        from hpo_engine.store.lock import who_leads

        view = self.view(caller, name)
        assert view.paths is not None
        if force:
            self.stop(caller, name, kill=True)
            while who_leads(view.paths.lock) is not None:
                time.sleep(0.05)
        elif who_leads(view.paths.lock) is not None:
            raise StudyLocked(f"{name} runs; stop it first")
        studies.remove(view.paths)
