"""Shows a study in the running cell until no engine runs it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

from hpo_engine.api.notebook.live import LiveView
from hpo_engine.api.notebook.page import study_page

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History

_POLL_S = 0.1
_EVERY_S = 0.5


class Followed(Protocol):
    """A study whose engine is waited for, see `api.study.Study`."""

    @property
    def running(self) -> bool: ...
    @property
    def history(self) -> History: ...
    def wait(self) -> object: ...


def follow(study: Followed, paths: StudyPaths) -> None:
    """Returns when no engine runs it. The button asks its engine to stop it, as `Study.stop` does."""
    from hpo_engine.control.stopping import ask_to_stop

    pressed = threading.Event()
    view = LiveView(page_of(study), repr(study), pressed.set)
    shown_at = time.monotonic()
    try:
        while study.running:
            if pressed.is_set():
                pressed.clear()
                ask_to_stop(paths, kill=False, why="the notebook's button")
            if time.monotonic() - shown_at >= _EVERY_S:
                view.show(page_of(study), repr(study))
                shown_at = time.monotonic()
            time.sleep(_POLL_S)
    finally:
        view.close(page_of(study), repr(study))


def page_of(study: Followed) -> str:
    """The study as HTML, as it stands now."""
    led = study.running
    return study_page(study.history, time.time(), led=led)
