"""Absolute paths that lead back into the script's folder: which are a trial's own instead, and which stay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

from hpo_engine.contract.snapshot import freeze
from hpo_engine.contract.snapshot.redirect import Redirect, redirect
from tests.support.helpers import put

TRIAL = "/trial"


class Project:
    """A script's folder, also known by a link, its frozen copy, and an environment to run Python in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.model = root / "my proj"
        for name in (
            "train.py", "conf/a.yaml", "data/x 1.csv", "src/pkg/__init__.py", "src/pkg/sub.py", "flat/__init__.py", "ns/part.py",
            "bin/tool", "checkpoints/c.ckpt", ".venv/pyvenv.cfg", ".venv/bin/python", "hpo-runs/x", "build/strict/pkg/__init__.py",
        ):  # fmt: skip
            put(f"{self.model}/{name}", "#!/bin/sh\n")
        os.chmod(self.model / "bin/tool", 0o755)
        os.chmod(self.model / ".venv/bin/python", 0o755)
        (root / "short").symlink_to(self.model)
        put(f"{root}/elsewhere/train.py", "")
        (self.model / "out").symlink_to(root / "elsewhere")
        self.copied = False

    def redirect(
        self, *argv: str, base: Mapping[str, str] | None = None, own: Mapping[str, str] | None = None
    ) -> Redirect:
        if not self.copied:
            freeze(
                str(self.model),
                str(self.root / "model"),
                exclude_paths=[f"{self.model}/hpo-runs"],
                patterns=["checkpoints"],
            )
            self.copied = True
        base = {"PATH": "/nowhere"} if base is None else base
        return redirect(argv or ("sh",), base, own or {}, str(self.model), str(self.root / "model"))

    def site(self, **files: str) -> str:
        """A virtual environment with these files in its site-packages; its Python."""
        home = self.root / "env"
        if not home.exists():
            venv.create(home, with_pip=False)
        (folder,) = home.glob("lib/python3*/site-packages")
        for name, text in files.items():
            put(f"{folder}/{name}", text)
        return str(home / "bin/python")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


WORDS = {  # P: the folder, S: its other name, T: the trial's
    "P/train.py": "T/train.py",
    "P": "T",
    "P/": "T",
    "P/conf/": "T/conf/",
    "P/./conf/../train.py": "T/train.py",
    "S/train.py": "T/train.py",
    "--config=P/conf/a.yaml": "--config=T/conf/a.yaml",
    "--config=S/conf/a.yaml": "--config=T/conf/a.yaml",
    "conf.path=P/conf/a.yaml": "conf.path=T/conf/a.yaml",
    "-IP/src": "-IT/src",
    "P/src:/usr/lib:S/conf": "T/src:/usr/lib:S/conf",
    "/usr/lib:S/conf": "/usr/lib:T/conf",
    "a=P/src,b=P/conf": "a=T/src,b=T/conf",
    "file://P/conf/a.yaml": "file://T/conf/a.yaml",
    "open('P/conf/a.yaml'); open(\"P/train.py\")": "open('T/conf/a.yaml'); open(\"T/train.py\")",
    "cd 'P' && python P/train.py --x 1": "cd 'T' && python T/train.py --x 1",
    "P/data/x 1.csv": "T/data/x 1.csv",
    "--data=P/data/x 1.csv": "--data=T/data/x 1.csv",
    "P/data/*.csv": "T/data/*.csv",
    "P/data/x{1,2}": "T/data/x{1,2}",
    "P/{lr}": "T/{lr}",  # once the folder's own slash went away with it
    "--out=P/*.csv": "--out=T/*.csv",
    "../my proj/train.py": "T/train.py",
    "../short/train.py": None,
    "P/out/train.py": "T/out/train.py",  # a link that leads out does so from there, too
    "P/.venv/bin/python": None,  # what is not copied stays where it is
    "P/checkpoints/c.ckpt": None,
    "P/hpo-runs": None,
    "P/new.txt": None,  # to be written there
    "--out=P/outputs/new": None,
    "P2/train.py": None,
    "P.old/train.py": None,
    "/aP/train.py": None,
    "http://hostP/train.py": None,
    "train.py": None,
    "conf/../train.py": None,
    "": None,
}


@pytest.mark.parametrize("word", WORDS)
def test_words_of_the_command(word: str, project: Project) -> None:
    def named(text: str) -> str:
        return text.replace("P", str(project.model)).replace("S", str(project.root / "short"))

    expected = WORDS[word]
    expected = named(word) if expected is None else named(expected.replace("T", "\0")).replace("\0", TRIAL)
    made = project.redirect("prog", named(word))
    assert made.command(("prog", named(word)), TRIAL) == ("prog", expected)
    assert made.notes == ()
    made = project.redirect(own={"X": named(word)})
    assert made.environment({"X": named(word), "Y": "1"}, TRIAL) == {"X": expected, "Y": "1"}


def test_search_paths_of_the_shell_are_led_and_its_other_variables_stay(project: Project) -> None:
    top = str(project.model)
    base = {
        "PYTHONPATH": f"{top}/src:rel:/else", "PATH": f"{top}/bin:{top}/.venv/bin:/bin", "R_LIBS": f"{top}/conf", "HOME": top,
        "PWD": top, "DATA_DIR": f"{top}/data", "CACHE": f"{top}/data", "NODE_PATH": "/x",
    }  # fmt: skip
    own = {"DATA_DIR": f"{top}/data", "TMPDIR": f"{top}/conf", "CONF": f"{top}/conf/a.yaml"}
    made = project.redirect(base=base, own=own)
    env = {**base, **own}
    assert made.environment(env, TRIAL) == {
        **env, "PYTHONPATH": f"{TRIAL}/src:rel:/else", "PATH": f"{TRIAL}/bin:{top}/.venv/bin:/bin", "R_LIBS": f"{TRIAL}/conf",
        "CONF": f"{TRIAL}/conf/a.yaml",
    }  # fmt: skip


def test_programs_of_the_folder(project: Project) -> None:
    top = str(project.model)
    for program, expected in {
        f"{top}/bin/tool": f"{TRIAL}/bin/tool",
        "bin/tool": "bin/tool",
        "./bin/tool": "./bin/tool",
        f"{top}/.venv/bin/python": f"{top}/.venv/bin/python",
        "./.venv/bin/python": f"{top}/./.venv/bin/python",  # not copied: else it could not be started
        "none/at/all": "none/at/all",
        "tool": "tool",
    }.items():
        assert project.redirect(program, "x").command((program, "x"), TRIAL) == (expected, "x")


@pytest.mark.parametrize(
    ("argv", "noted"),
    [
        (("python", "E/train.py"), True),
        (("python", "-u", "out/train.py"), True),
        (("sh", "E/run.sh"), False),  # is not there
        (("python", "P/train.py"), False),
        (("python", "S/train.py"), False),
        (("python", "train.py", "E/train.py"), False),
        (("python", "-m", "out.train"), False),
        (("prog",), False),
    ],
)
def test_a_script_outside_is_noted(argv: tuple[str, ...], noted: bool, project: Project) -> None:
    names = {"E": f"{project.root}/elsewhere", "P": str(project.model), "S": f"{project.root}/short"}
    argv = tuple(names[w[0]] + w[1:] if w[:2] in ("E/", "P/", "S/") else w for w in argv)
    notes = project.redirect(*argv).notes
    assert len(notes) == noted
    if noted:
        assert notes[0].startswith(f"{argv[-1]} is outside model_dir and not copied")


# -- projects that are installed from their folder ---------------------------------------------------------------------

FINDER = """\
import sys
from importlib.util import spec_from_file_location
from pathlib import Path

MAPPING: dict[str, str] = {MAP}
NAMESPACES: dict[str, list[str]] = {{}}


class _EditableFinder:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname in MAPPING:
            for candidate in (Path(MAPPING[fullname], "__init__.py"), Path(MAPPING[fullname]).with_suffix(".py")):
                if candidate.exists():
                    return spec_from_file_location(fullname, candidate)


def install():
    if not any(finder == _EditableFinder for finder in sys.meta_path):
        sys.meta_path.APPEND
"""
MODULE_AND_PTH = {  # what installers leave: file -> text; P is the folder
    "setuptools, src": {"__editable__.pkg-0.1.pth": "P/src\n"},
    "setuptools, flat": {
        "__editable__.flat-0.1.pth": "import __editable___flat_0_1_finder; __editable___flat_0_1_finder.install()",
        "__editable___flat_0_1_finder.py": FINDER.replace("MAP}", "'flat': 'P/flat'}").replace("{{", "{").replace("}}", "}")
        .replace("APPEND", "append(_EditableFinder)"),
    },
    "setuptools, strict": {"__editable__.pkg-0.1.pth": "P/build/strict\n"},
    "setup.py develop": {"easy-install.pth": "/elsewhere\nP/src\n"},
    "editables (hatch, pdm)": {
        "_pkg.pth": "import _editable_impl_pkg",
        "_editable_impl_pkg.py": FINDER.replace(" = {MAP}", " = {}").replace("{{}}", "{}")
        .replace("APPEND", "append(_EditableFinder)") + "\n\ndef map_module(name, path):\n"
        "    MAPPING[name] = path.removesuffix('/__init__.py')\n\n\ninstall()\nmap_module('pkg', 'P/src/pkg/__init__.py')\n",
    },
    "conda develop": {"conda.pth": "P/src"},
}  # fmt: skip


@pytest.mark.parametrize("how", MODULE_AND_PTH)
@pytest.mark.parametrize("name", ["my proj", "short"])
def test_an_installed_project_comes_from_the_trials_folder(how: str, name: str, project: Project) -> None:
    files = {f: text.replace("P/", f"{project.root}/{name}/") for f, text in MODULE_AND_PTH[how].items()}
    python = project.site(**files)
    module = "flat" if "flat" in how else "pkg"
    for root in (project.model, project.root / "trial"):
        for place in ("src/pkg", "flat", "build/strict/pkg"):
            put(f"{root}/{place}/__init__.py", f"where = {str(root)!r}\n")
    (project.root / "elsewhere/lib").mkdir()
    code = f"import json, sys, {module}; print(json.dumps([{module}.where, {module}.__file__, sys.path[1:3]]))"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{project.root}/elsewhere/lib"}

    def run(env: Mapping[str, str]) -> list[str]:
        done = subprocess.run(
            [python, "-c", code], cwd=project.root, env=dict(env), capture_output=True, text=True, check=True
        )
        found: list[str] = json.loads(done.stdout)
        return found

    assert run(env)[0] == str(project.model)  # as installed
    made = project.redirect(python, "train.py", base=env)
    assert made.notes == ()
    trial = str(project.root / "trial")
    where, file, path = run(made.environment(env, trial))
    assert where == trial and file.startswith(f"{trial}/")
    assert path[0] == env["PYTHONPATH"]  # what the user puts first stays first
    assert redirect((python, "x"), {}, {}, str(project.root / "elsewhere"), str(project.root / "model")).variables == {}


def test_what_cannot_be_led_is_said_once_and_why(project: Project) -> None:
    top = str(project.model)
    early = FINDER.replace("{MAP}", repr({"pkg": f"{top}/src/pkg", "pkg.sub": f"{top}/src/pkg/sub.py"})).replace(
        "{{}}", "{}"
    )
    python = project.site(
        **{
            "early.pth": "import _pkg_editable",
            "_pkg_editable.py": early.replace("APPEND", "insert(0, _EditableFinder)"),
            "other.pth": "import __editable___other_1_finder",
            "__editable___other_1_finder.py": f"MAPPING = {{'other': '{top}/conf'}}\n",
            "mesonish.pth": "import _mesonish_editable_loader",
            "_mesonish_editable_loader.py": f"install({{'mesonish'}}, '{top}/build')\n",
            "plain.pth": f"{top}/conf\n",
        }
    )
    put(f"{top}/conf/random.py", "")
    said = "is imported from the original folder, not from the study's copy"
    assert sorted(project.redirect(python, "train.py").notes) == [
        f"mesonish {said} (by _mesonish_editable_loader.py): what is edited there changes trials that begin later",
        f"other {said} (__editable___other_1_finder.py gives it another name than its folder has): "
        "what is edited there changes trials that begin later",
        f"pkg {said} (_pkg_editable.py comes before every search path): "
        "what is edited there changes trials that begin later",
        f"plain {said} (beside it, random.py would hide a module of Python's own): "
        "what is edited there changes trials that begin later",
    ]
    project.site(**{"src.pth": f"{top}/src\n"})
    notes = project.redirect(python, "-u", "-I", "train.py").notes
    assert any("src is imported" in note and "told to ignore PYTHONPATH" in note for note in notes)


def test_interpreters_are_found_behind_scripts_and_on_the_path(project: Project) -> None:
    python = project.site(**{"pkg.pth": f"{project.model}/src\n"})
    path = os.path.dirname(python)
    put(f"{path}/entry", f"#!{python}\n")
    put(f"{project.model}/run", "#!/usr/bin/env -S python -u\n")
    put(f"{project.root}/shims/python3", f'#!/bin/sh\nexec "{python}" "$@"\n')
    for file in (f"{path}/entry", f"{project.model}/run", f"{project.root}/shims/python3"):
        os.chmod(file, 0o755)
    expected = {"PYTHONPATH": f"{TRIAL}/src"}
    for argv, search in (
        ((f"{path}/entry", "--x"), "/usr/bin:/bin"),
        (("entry", "--x"), f"{path}:/usr/bin:/bin"),
        (("./run",), f"{path}:/usr/bin:/bin"),
        (("bash", "-c", "python train.py"), f"{path}:/usr/bin:/bin"),
        (("python3", "train.py"), f"{project.root}/shims:/usr/bin:/bin"),
        (("python", "train.py"), f"{path}:/usr/bin:/bin"),
    ):
        env = {"PATH": search}
        assert project.redirect(*argv, base=env).environment({}, TRIAL) == expected, argv
    assert project.redirect(sys.executable, "train.py", base={"PATH": path}).environment({}, TRIAL) == {}
