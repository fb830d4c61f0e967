"""The laws of a metric source, as a class to inherit from: give it `make`, `path` and `text`, and run pytest."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hpo_engine.contract.layout import lay_out, lay_out_study
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.sources import earlier
from hpo_engine.contract.sources.found import Found
from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.errors import ContractError
from hpo_engine.study.objective import Row
from hpo_engine.study.rows import same_rows

ROWS = [Row(i + 1, {"loss": value, "acc": i / 8}) for i, value in enumerate((0.5, -0.0, 1e308, 5e-324, -7.0, 0.1))]
ODD = [Row(1, {"loss": math.nan}), Row(2, {"loss": math.inf}), Row(3, {"loss": -math.inf}), Row(4, {"loss": 1.0})]
_READ = 100_000  # bytes that a look may read of a file to which a few were added


class SourceLaws:
    """Subclass it and say how to `make` a source, and how a script reports to it."""

    grows = True
    """Whether the script appends to the file; if not, it writes the whole file again."""
    odd = True
    """Whether the format has nan and infinity."""
    metrics: Sequence[str] = ("loss", "acc")
    """Those that one file holds; `loss` is one of them. The script reports no others."""

    def make(self, trial: TrialFiles) -> MetricSource:
        raise NotImplementedError

    def path(self, trial: TrialFiles) -> str:
        """The file in which the script reports."""
        raise NotImplementedError

    def text(self, rows: Sequence[Row]) -> str:
        """What the file holds when these rows were reported: `step` and metrics called loss and acc."""
        raise NotImplementedError

    def data(self, rows: Sequence[Row]) -> bytes:
        """The same as bytes; for formats that are not text, instead of `text`."""
        return self.text(rows).encode()

    @pytest.fixture(autouse=True)
    def _trial(self, tmp_path: Path) -> None:
        study = StudyPaths(str(tmp_path / "a 'b' $c"))
        os.makedirs(study.root)
        lay_out_study(study, "law")
        lay_out(study.trial(3))
        self.trial = TrialFiles(study.trial(3))
        self.file = Path(self.path(self.trial))
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.source = self.make(self.trial)

    def reported(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with the metrics that the file holds."""
        return [Row(row.step, {name: row.values[name] for name in self.metrics if name in row.values}) for row in rows]

    def put(self, content: bytes, *, anew: bool = False) -> None:
        """The file holds this from now on; `anew`: and is another one."""
        if anew:
            aside = self.file.with_name("aside")
            aside.write_bytes(content)
            os.replace(aside, self.file)
        elif self.grows and self.file.exists() and content.startswith(old := self.file.read_bytes()):
            with open(self.file, "ab") as file:
                file.write(content[len(old) :])
        else:
            self.file.write_bytes(content)

    def seen(self) -> Sequence[Row]:
        """The rows, after as many looks as it takes."""
        while self.source.look():
            time.sleep(0.03)  # a change within one tick of the clock is looked at again
        return list(self.source.rows)

    def final(self, *, cut: bool = False) -> Reading:
        try:
            reading = self.make(self.trial).final(cut=cut)
        except ContractError as error:
            reading = Reading(problem=str(error))
        assert reading.rows or (reading.problem and "\n" not in reading.problem), "no reason in one line"
        return reading

    def test_every_row_is_read_once_live_and_once_in_the_end(self) -> None:
        for rows in map(self.reported, (ROWS, ODD if self.odd else [])):
            for count in range(1, len(rows) + 1):
                self.put(self.data(rows[:count]))
                assert same_rows(self.seen(), rows[:count]), f"live, after {count} of {len(rows)} rows"
                reading = self.final()
                assert same_rows(reading.rows, rows[:count]), f"in the end, after {count} of {len(rows)} rows"
                assert reading.source and reading.problem is None

    def test_a_torn_report_is_not_there_yet_and_lost_never(self) -> None:
        reported = self.reported(ROWS)
        data = self.data(reported)
        for end in range(len(data)):
            self.put(data[:end])
            self.source.look()
            rows = list(self.source.rows)
            assert same_rows(rows, reported[: len(rows)]), f"of the first {end} bytes it makes {rows}"
            rows = list(self.final(cut=True).rows)
            assert same_rows(rows, reported[: len(rows)]), f"of the first {end} bytes it makes {rows} in the end"
        self.put(data)
        assert same_rows(self.seen(), reported)

    def test_a_file_that_was_replaced_or_written_anew_is_read_from_its_beginning(self) -> None:
        reported = self.reported(ROWS)
        other = self.reported([Row(row.step, {"loss": 3.0 + row.step, "acc": 0.25}) for row in ROWS])
        for anew in (True, False):
            for rows in (reported[:4], other[:2], reported, other):
                self.put(self.data(rows), anew=anew)
                assert same_rows(self.seen(), rows), f"another file: {anew}, {len(rows)} rows"

    def test_what_has_not_changed_is_not_opened_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.put(self.data(self.reported(ROWS)))
        os.utime(self.file, (1e9, 1e9))
        assert self.seen()
        with monkeypatch.context() as patched:
            for name in ("builtins.open", "os.open"):
                patched.setattr(name, lambda *args, **options: pytest.fail("opened again"))
            changed = self.source.look()
        assert not changed

    def test_of_what_grows_only_the_new_part_is_read(self) -> None:
        if not self.grows:
            return
        rows = self.reported([Row(i, {"loss": 1 / (i + 1), "acc": 0.5}) for i in range(10_000)])
        self.put(self.data(rows))
        assert len(self.seen()) == len(rows)
        self.put(self.data([*rows, *(Row(len(rows) + i, {"loss": 0.5}) for i in range(5))]))
        before = _bytes_read()
        self.source.look()
        assert len(self.source.rows) == len(rows) + 5
        assert _bytes_read() - before < _READ, "the whole file was read again"

    def test_whatever_is_in_its_place_no_look_fails(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_bytes(self.data(self.reported(ROWS)))
        for make in (os.mkfifo, os.mkdir, lambda path: os.symlink(secret, path)):
            make(self.file)
            self.source.look()
            assert not self.final().rows and not self.source.rows
            (self.file.rmdir if self.file.is_dir() and not self.file.is_symlink() else self.file.unlink)()
        for data in (b"", b"\0" * 999, b"\xff\xfe\xff" * 99, b"[" * 9999, b"\n" * 999, os.urandom(4096)):
            self.put(data, anew=True)
            self.source.look()
            self.final()
        os.rename(self.file.parent, tmp_path / "moved")
        self.source.look()
        assert not self.final().rows

    def test_nothing_to_read_is_no_fault(self) -> None:
        self.source.look()
        assert not self.source.rows and not self.final().rows and self.source.title
        assert [name for name in self.source.files if os.path.isabs(name) or ".." in name.split("/")] == []


class FoundSourceLaws(SourceLaws):
    """For sources that find their file in RESULT_DIR by a pattern: what lay there before the attempt is no report."""

    def test_what_lay_in_the_scripts_own_folder_is_none_of_its_reports(self) -> None:
        reported = self.reported(ROWS)
        frozen = Path(self.trial.paths.study.model, os.path.relpath(self.file, self.trial.paths.result_dir))
        frozen.parent.mkdir(parents=True)
        frozen.write_bytes(self.data(self.reported(ROWS)))
        self.put(self.data(self.reported(ROWS)))
        Path(self.trial.paths.config).write_text("{}")
        assert not self.seen() and not self.final().rows
        time.sleep(0.05)
        self.put(self.data(reported[:2]), anew=True)
        assert same_rows(self.final().rows, reported[:2]), "a file of its own in the same place"
        self.source = self.make(self.trial)
        assert same_rows(self.seen(), reported[:2])

    def test_what_an_attempt_finds_that_continues_is_none_of_its_reports(self) -> None:
        reported = self.reported(ROWS)
        self.put(self.data(self.reported(ROWS)))
        self.trial = replace(self.trial, attempt=2)
        os.makedirs(self.trial.paths.attempt(2))
        patterns = self.make(self.trial).patterns
        earlier.record(self.trial.paths, 2, Found(self.trial, patterns).all())
        self.source = self.make(self.trial)
        assert patterns and not self.seen() and not self.final().rows
        time.sleep(0.05)
        self.put(self.data(reported[:2]), anew=True)
        assert same_rows(self.final().rows, reported[:2])

    def test_a_folder_that_is_a_link_is_not_entered(self, tmp_path: Path) -> None:
        self.put(self.data(self.reported(ROWS)))
        os.rename(self.file.parent, tmp_path / "elsewhere")
        os.symlink(tmp_path / "elsewhere", self.file.parent)
        assert not self.seen() and not self.final().rows


def _bytes_read() -> int:
    """What this process has read so far; it reads this from a file, too."""
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])
