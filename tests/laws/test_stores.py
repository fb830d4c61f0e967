from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo_engine.store.journal import Journal
from hpo_engine.testing.stores import StoreLaws
from tests.support.fakes import MemoryStore


class TestJournal(StoreLaws):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "a b'%23\n?"
        self.folder.mkdir()

    def open(self) -> Any:
        return Journal(str(self.folder / "study.db"), write=True)


class TestMemoryStore(StoreLaws):
    @pytest.fixture(autouse=True)
    def _store(self) -> None:
        self.store = MemoryStore()

    def open(self) -> Any:
        return self.store
