"""What studies are to do that have no log yet: their texts, read again when somebody asks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from hpo_engine.errors import EngineError
from hpo_engine.service.records import uploads as texts

if TYPE_CHECKING:
    from hpo_engine.service.records.submissions import Submission, Submissions
    from hpo_engine.service.records.uploads import Uploads
    from hpo_engine.study.spec import StudySpec

_MOST = 1000


class Specs:
    def __init__(self, submissions: Submissions, uploads: Uploads, root: str) -> None:
        self._submissions, self._uploads, self._root = submissions, uploads, root
        self._known: OrderedDict[int, tuple[StudySpec, str | None]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, row: Submission) -> StudySpec | None:
        """None: the text cannot be read any more (a plugin that it names is gone, say)."""
        with self._lock:
            if row.id in self._known:
                self._known.move_to_end(row.id)
                return texts.settled(*self._known[row.id], self._root)
        try:
            spec = self._read(row)
        except (EngineError, LookupError, OSError):
            return None
        self.put(row, spec)
        return spec

    def put(self, row: Submission, spec: StudySpec, folder: str | None = None) -> None:
        """`folder`: that of the upload with which the spec was read (None: it is as it will be, see `settled`)."""
        with self._lock:
            self._known[row.id] = spec, folder
            while len(self._known) > _MOST:
                self._known.popitem(last=False)

    def _read(self, row: Submission) -> StudySpec:
        content = self._submissions.content(row)
        with self._uploads.held(row.kept, content.model, row.script) as folder:
            doc = texts.read(content.text, row.file)
            spec, _ = texts.spec_of(doc, content.text, self._root, folder, user=row.owner or None, name=row.name)
            return texts.settled(replace(spec, name=row.name), folder, self._root)
