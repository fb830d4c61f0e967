"""Classes of users' files: executed once, shared by nobody else, with the modules beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hpo_engine.plugins.loader import load_class

CLIMB = """\
import pathlib
import helper, pack.inner
import pack.inner as inner
from helper import name
from pack import inner as again
from pack.inner import number

pathlib.Path(__file__).with_suffix(".runs").open("a").write("x")


class Climb:
    name, number = name, number
    same = helper.name == name and pack.inner is inner is again

    def later(self):
        import lazy
        return lazy.name
"""


def write(folder: Path, name: str) -> Path:
    (folder / "pack").mkdir(parents=True)
    (folder / "climb.py").write_text(CLIMB)
    (folder / "helper.py").write_text(f"name = {name!r}\n")
    (folder / "lazy.py").write_text(f"name = 'lazy ' + {name!r}\n")
    (folder / "pack" / "__init__.py").write_text("")
    (folder / "pack" / "inner.py").write_text("from . import deep\nnumber = deep.number\n")
    (folder / "pack" / "deep.py").write_text("from helper import name\nnumber = len(name)\n")
    return folder


@pytest.mark.parametrize("where", ["climb:Climb", "climb.py:Climb"])
def test_two_folders_with_a_climb_share_nothing(where: str, tmp_path: Path) -> None:
    before, path = set(sys.modules), list(sys.path)
    one, other = (load_class(where, str(write(tmp_path / name, name))) for name in ("one", "other"))
    assert one is not other and (one.name, one.number, other.name, other.number) == ("one", 3, "other", 5)  # type: ignore[attr-defined]
    assert one.same and other.same  # type: ignore[attr-defined]
    assert (one().later(), other().later()) == ("lazy one", "lazy other")
    left = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert all(name.startswith("_hpo_plugins_") for name in left) and sys.path == path


def test_a_file_is_executed_once_however_it_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "here", "here")
    (tmp_path / "link").symlink_to(folder)
    places = [("climb:Climb", folder), ("climb.py:Climb", folder), ("here/climb.py:Climb", tmp_path)]
    places += [("climb.py:Climb", tmp_path / "link"), (f"{folder}/climb.py:Climb", Path("/"))]
    found = {load_class(where, str(base)) for where, base in places}
    assert len(found) == 1 and (folder / "climb.runs").read_text() == "x"


def test_a_file_that_failed_is_executed_again(tmp_path: Path) -> None:
    (tmp_path / "climb.py").write_text("raise RuntimeError('not yet')\n")
    for where in ("climb.py:Climb", "climb:Climb"):
        with pytest.raises(RuntimeError, match="not yet"):
            load_class(where, str(tmp_path))
    (tmp_path / "climb.py").write_text("class Climb: pass  # mended\n")
    assert load_class("climb.py:Climb", str(tmp_path)).__name__ == "Climb"


def test_what_is_not_in_the_folder_is_what_everybody_has(tmp_path: Path) -> None:
    (tmp_path / "climb.py").write_text("import json, os.path\nfrom hpo_engine.errors import SpecError\n")
    (tmp_path / "hpo_engine.py").write_text("raise RuntimeError('never')\n")
    from hpo_engine.errors import SpecError

    assert load_class("climb.py:SpecError", str(tmp_path)) is SpecError
    assert load_class("hpo_engine.errors:SpecError", str(tmp_path)) is SpecError
    assert load_class("json:JSONDecoder", str(tmp_path)) is sys.modules["json"].JSONDecoder


def test_names_of_files_that_no_import_could_write(tmp_path: Path) -> None:
    (tmp_path / "my plugin-2.0.py").write_text("import beside\nclass Climb: x = beside.x\n")
    (tmp_path / "beside.py").write_text("x = 7\n")
    assert load_class("my plugin-2.0.py:Climb", str(tmp_path)).x == 7  # type: ignore[attr-defined]
