"""A study's report as a file: one HTML page, or its figures as pictures."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_engine.errors import EngineError, SpecError, nearest
from hpo_engine.system.files import put_in_place

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History

_FORMATS = ("html", "png", "svg", "pdf")


def write_report(
    history: History,
    paths: StudyPaths,
    out: str | None = None,
    *,
    form: str | None = None,
    figure: str | None = None,
    theme: str = "",
) -> list[Path]:
    """Writes the report of a study; returns its files.

    Args:
        out: where to; None: a name made of the study's, in the current folder. For several pictures it is a folder.
        form: html, png, svg or pdf; None: what `out` ends with, else html. figure: only this one.
        theme: dark, light, or "": as the reader's system.

    Raises:
        SpecError: there is no such figure. NothingToShow. EngineError: it cannot be written, or a package is missing.
    """
    from hpo_engine.reports.figures import FIGURES

    if figure is not None and figure not in FIGURES:
        raise SpecError(f'there is no figure "{figure}"{nearest(figure, FIGURES)}')
    form = form or _by_name(out)
    if form not in _FORMATS:
        raise SpecError(f"a report is {', '.join(_FORMATS)}, not {form}")
    if form != "html":
        return _pictures(history, out, form, figure, dark=theme == "dark")
    target = Path(out or f"{history.spec.name}-{figure or 'report'}.html")
    _write(target, _html(history, paths, theme, figure).encode())
    return [target]


def _by_name(out: str | None) -> str:
    """The format that the file's name asks for; html if it says nothing."""
    suffix = Path(out or "").suffix.lstrip(".").lower()
    return suffix if suffix in _FORMATS else "html"


def _html(history: History, paths: StudyPaths, theme: str, figure: str | None) -> str:
    from hpo_engine.contract.placing import filled_command
    from hpo_engine.reports.objects import state_word
    from hpo_engine.reports.page import page
    from hpo_engine.reports.page.sections import Moment
    from hpo_engine.store.lock import who_leads

    command: Sequence[str] | None = None
    if history.best is not None:
        command = filled_command(history.spec, paths.trial(history.best.id), history.result_config(history.best))
    state = state_word(history.state.value, who_leads(paths.lock) is not None)
    moment = Moment(state, time.time(), paths.root, shlex.join(command or ()))
    return page(history, moment, theme=theme, only=figure)


def _pictures(history: History, out: str | None, form: str, figure: str | None, *, dark: bool) -> list[Path]:
    """One picture, or one of each figure in a folder."""
    from hpo_engine.reports.figures import FIGURES, NothingToShow
    from hpo_engine.reports.pictures import picture

    if figure is not None:
        target = Path(out or f"{history.spec.name}-{figure}.{form}")
        _write(target, picture(history, [figure], form, dark=dark)[figure])
        return [target]
    folder = Path(out or f"{history.spec.name}-figures")
    if folder.suffix.lstrip(".").lower() in _FORMATS:
        names = ", ".join(FIGURES)
        raise SpecError(f"{folder} is one file, and there are several figures: --figure names one of {names}")
    found = picture(history, list(FIGURES), form, dark=dark)
    if not found:
        raise NothingToShow(f"{history.spec.name} has nothing yet that a figure could show")
    for name, content in found.items():
        _write(folder / f"{name}.{form}", content)
    return [folder / f"{name}.{form}" for name in found]


def _write(target: Path, content: bytes) -> None:
    """The whole file or nothing; folders are made."""
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        put_in_place(aside, target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise EngineError(f"{target} cannot be written: {error.strerror}; another place: --out FILE") from error
