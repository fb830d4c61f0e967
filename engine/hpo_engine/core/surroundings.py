"""What the engine runs on, found out in a thread beside the loop and recorded when it is known.

Trials do not wait for it. A study that ends sooner waits a moment, so that short studies have their record, too.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from hpo_engine.core.recorder import Recorder
from hpo_engine.failpoints import failpoint
from hpo_engine.study.events import ProvenanceFound
from hpo_engine.study.provenance import Runtime

Look = Callable[[], Runtime]
"""Finds out what the engine runs on; called in a thread, may take seconds."""
_FAREWELL_S = 1.0  # what the end of a study waits for the answer
_log = logging.getLogger(__name__)


class Surroundings:
    """Records the runtime of this engine, if it is another one than the log has.

    Args:
        look: None: nothing is recorded.
    """

    def __init__(self, recorder: Recorder, look: Look | None) -> None:
        self._recorder, self._look = recorder, look
        self._found: queue.SimpleQueue[Runtime | None] = queue.SimpleQueue()
        self._awaited = False

    def begin(self) -> None:
        """Starts to look."""
        if self._look is None:
            return
        try:
            threading.Thread(target=self._run, name="hpo-engine surroundings", daemon=True).start()
        except RuntimeError:  # no room for a thread at present
            return
        self._awaited = True

    def record(self, now: float, *, last: bool = False) -> None:
        """Records what was found, once. `last`: waits for it, for a second at most."""
        if not self._awaited:
            return
        try:
            runtime = self._found.get(timeout=_FAREWELL_S) if last else self._found.get_nowait()
        except queue.Empty:
            return
        self._awaited = False
        if runtime is not None and runtime != self._recorder.history.runtime:
            self._recorder.record(ProvenanceFound(now, runtime=runtime.to_json()))
            self._recorder.commit()
            failpoint("provenance.recorded")

    def _run(self) -> None:
        assert self._look is not None
        try:
            self._found.put(self._look())
        except Exception as error:  # a record of the surroundings is worth no trial
            self._found.put(None)
            _log.debug("what this runs on is not known: %s", error)
