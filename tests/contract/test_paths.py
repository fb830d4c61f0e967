"""Paths as the kernel resolves them, and what a study file says with them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hpo_engine import assembly
from hpo_engine.contract.paths import absolute, locate, runs_root
from hpo_engine.errors import SpecError, StudyNotFound
from hpo_engine.studyfile import native
from hpo_engine.studyfile.wmla.arguments import inside
from tests.support.helpers import put


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """`lnk` leads to sub/deep, so that lnk/.. is sub; `top` leads to the folder itself, `out` to another one."""
    home = tmp_path / "home"
    (home / "sub/deep").mkdir(parents=True)
    (tmp_path / "else/where").mkdir(parents=True)
    (home / "lnk").symlink_to("sub/deep")
    (home / "top").symlink_to(home)
    (home / "out").symlink_to(tmp_path / "else/where")
    (home / "file").write_text("")
    (home / "name").symlink_to("file")
    return home


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("a/b", "a/b"),
        ("./a//b/.", "a/b"),
        ("a/../b", "b"),
        ("lnk", "lnk"),
        ("name", "name"),
        ("lnk/x", "lnk/x"),
        ("lnk/../x", "sub/x"),
        ("sub/deep/../x", "sub/x"),
        ("lnk/../../x", "x"),
        ("top/../x", "../x"),
        ("top/lnk/../x", "sub/x"),
        ("out/../x", "../else/x"),
        ("out/../../home/lnk/x", "lnk/x"),
        ("none/../x", "x"),
        ("..", ".."),
    ],
)
def test_absolute_leads_where_the_kernel_goes(linked: Path, path: str, leads_to: str) -> None:
    expected = os.path.normpath(linked / leads_to)
    assert absolute(path, str(linked)) == expected
    assert os.path.realpath(f"{linked}/{path}") == os.path.realpath(expected)


def test_absolute_of_absolute_paths_and_of_none(linked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(linked)
    assert absolute("/a/../b/", "anywhere") == "/b"
    assert absolute("/..") == absolute("/") == absolute("//") == "/"
    assert absolute("lnk/../x") == f"{linked}/sub/x"
    assert absolute("x", "lnk/..") == f"{linked}/sub/x"
    assert absolute("") == str(linked)


def test_a_study_file_and_all_its_paths_lead_where_the_kernel_goes(linked: Path) -> None:
    sub, other = linked / "sub", linked.parent / "else"
    for place in (linked, sub, other):  # what a text alone would find is there, too
        put(f"{place}/train.py", "")
        put(f"{place}/data/x", "")
        put(f"{place}/bin/python", "#!/bin/sh\n")
        (place / "bin/python").chmod(0o755)
        put(f"{place}/climb.py", "")
        put(f"{place}/algo.json", json.dumps({"name": place.name, "command": "python train.py", "objective": "min loss",
            "space": {"x": {"float": [0, 1]}}}))  # fmt: skip
    found, _ = assembly.load_spec(str(linked / "lnk/../algo.json"), os.environ)
    assert (found.name, found.model_dir) == ("sub", str(sub))
    text = """\
command: python train.py
model_dir: lnk/..
interpreter: out/../bin/python
data_dir: lnk/../data
data_root: out/..
algorithm: lnk/../climb.py:Climb
warm_start: [lnk/../runs/a]
objective: minimize loss
space: {x: {float: [0, 1]}}
"""
    study = native.parse(text, file="algo.yaml", base_dir=str(linked))
    assert study.model_dir == str(sub)
    assert study.interpreter == str(other / "bin/python")
    assert (study.data_dir, study.data_root) == (str(sub / "data"), str(other))
    assert (study.algorithm.name, study.warm_start) == (f"{sub}/climb.py:Climb", (f"{sub}/runs/a",))


def test_roots_studies_and_data_paths_lead_where_the_kernel_goes(linked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(linked)
    assert runs_root("lnk/../runs", {}) == runs_root(None, {"HPO_ENGINE_ROOT": "lnk/../runs"}) == f"{linked}/sub/runs"
    put(f"{linked}/sub/runs/a/study.db", "")
    assert locate("lnk/../runs/a", "none").root == f"{linked}/sub/runs/a"
    with pytest.raises(StudyNotFound):
        locate("./runs/a", "none")
    assert inside(str(linked), "lnk/../x") == f"{linked}/sub/x"
    assert inside(str(linked), "top/../x") is None


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("lnk/../train.py", None),
        ("lnk/../../main.py", None),
        ("lnk/../main.py", 'there is no "lnk/../main.py" in'),  # though a text alone would find main.py
        ("out/../far.py", None),  # the link is the same in a trial
        ("top/../far.py", "is outside model_dir"),
        ("../home/main.py", None),
        ("../far.py", "is outside model_dir"),
    ],
)
def test_the_script_of_a_command_is_looked_for_where_the_kernel_goes(
    linked: Path, script: str, problem: str | None
) -> None:
    put(f"{linked}/main.py", "")
    put(f"{linked}/sub/train.py", "")
    put(f"{linked.parent}/else/far.py", "")
    put(f"{linked.parent}/far.py", "")
    text = f"command: python {script}\nobjective: minimize loss\nspace: {{x: {{float: [0, 1]}}}}\n"
    if problem is None:
        native.parse(text, file="algo.yaml", base_dir=str(linked))
        return
    with pytest.raises(SpecError) as caught:
        native.parse(text, file="algo.yaml", base_dir=str(linked))
    assert problem in str(caught.value)
