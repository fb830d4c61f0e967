"""Stoppers and trackers by name: the house's, installed ones', users' own; options told by field."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_engine import assembly
from hpo_engine.errors import SpecError
from hpo_engine.study.spec import GUARDS, Named, StudySpec
from tests.support.shell import Shell

STUDY = "command: [cat]\nobjective: minimize loss\nspace: {x: {float: [0, 1]}}\n"
PLATEAU = """\
from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers import Rule


class Plateau(Rule):
    card = Card(summary="ends the study after some trials", options={"after": Option("trials", int, 2, least=1)})

    def __init__(self, spec, *, after=2):
        self.after = after

    def end_study(self, history, now):
        return f"plateau after {self.after}" if history.ended_count >= self.after else None
"""
SHEET = """\
import pathlib


class Sheet:
    def __init__(self, paths, *, to="sheet.txt"):
        self.file = pathlib.Path(paths.root) / to

    def open(self, history, now): self.file.write_text("open\\n")
    def on(self, event, history): self.file.open("a").write(event.kind + "\\n")
    def tick(self, history, now): pass
    def close(self, history): self.file.open("a").write("close\\n")
"""


def loaded(folder: Path, more: str) -> StudySpec:
    (folder / "algo.yaml").write_text(STUDY + more)
    return assembly.load_spec(str(folder / "algo.yaml"), {"PATH": "/bin:/usr/bin"})[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stop.py").write_text(PLATEAU)
    (tmp_path / "track.py").write_text(SHEET)
    return tmp_path


def test_lists_of_the_study_file_become_the_studys(folder: Path) -> None:
    spec = loaded(folder, "stop: [rank, {name: 'stop.py:Plateau', after: 3}]\ntrackers: [track:Sheet]\n")
    assert spec.stop == (*GUARDS, Named("rank"), Named(f"{folder}/stop.py:Plateau", {"after": 3}))
    assert spec.trackers == (Named("track:Sheet"),) and loaded(folder, "").trackers == (Named("tensorboard"),)
    assert loaded(folder, "trackers: []\n").trackers == ()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("stop: [rnk]", '4: stop[0]: no stopper "rnk"; did you mean "rank"?'),
        ("stop: [{name: rank, keep: 2}]", "4: stop[0].keep: must be a number above 0 up to 0.9, not 2"),
        ("stop: [{name: rank, kep: 0.5}]", '4: stop[0].kep: is not an option of rank; did you mean "keep"?'),
        ("stop: [{name: 'stop.py:Plateau', after: '3'}]", '4: stop[0].after: must be a whole number from 1 on, not the text "3"; remove the quotes'),
        ("stop: [rank]\nearly_stopping: rank", '4: stop[0]: "rank" is already listed'),
        ("stop: [diverged]", '4: stop[0]: "diverged" is already listed'),
        ("stop: ['stop.py:Plateau', 'stop.py:Plateau']", "4: stop[1]: "),
        ("stop: [{keep: 1}]", "4: stop[0].name: is missing"),
        ("stop: 3", "stop: must be a list, not 3"),
        ("stop: ['nothing.py:X']", "4: stop[0]: "),
        ("trackers: [tensorbord]", '4: trackers[0]: no tracker "tensorbord"; did you mean "tensorboard"?'),
        ("trackers: [{tensorboard: {}}]", "4: trackers[0]: has no name; write {name: \"tensorboard\"}"),
        ("results: {csv: {file: a.csv}}", "4: results[0]: has no name; write {name: \"csv\", file: \"a.csv\"}"),
        ("trackers: [{name: 'track.py:Sheet', too: x}]", '4: trackers[0].too: is not an option of '),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_field(more: str, told: str, folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        loaded(folder, more)
    assert told in str(caught.value)


def test_a_new_stopper_is_one_file_and_one_line(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(assembly.STOPPERS.own, "plateau", "stop:Plateau")
    spec = loaded(folder, "stop: [{name: plateau, after: 5}]\n")
    assert [type(rule).__name__ for rule in assembly.stopper(spec)._rules][-1] == "Plateau"
    assert assembly.stopper(spec)._rules[-1].after == 5  # type: ignore[attr-defined]


def test_a_study_with_a_stopper_and_a_tracker_of_ones_own(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("stop.py", PLATEAU)
    shell.write("track.py", SHEET)
    shell.write("train.py", "import json\njson.dump([{'loss': 1}], open('val_dict_list.json', 'w'))\n")
    shell.write(
        "algo.yaml",
        "command: python train.py\nobjective: minimize loss\nname: own\nspace: {x: {float: [0, 1]}}\n"
        "stop: [{name: 'stop.py:Plateau', after: 3}]\ntrackers: [{name: 'track:Sheet', to: t.txt}]\n",
    )
    shell.run("submit", "algo.yaml")
    assert "plateau after 3" in shell.run("show", "own")
    (sheet,) = shell.folder.rglob("t.txt")
    lines = sheet.read_text().split()
    assert lines[0] == "open" and lines[-1] == "close" and lines.count("trial_ended") == 3
    assert not list(shell.folder.rglob("events.out.tfevents*")), "no TensorBoard, as it is not in the list"
