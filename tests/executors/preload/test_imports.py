"""What is read from a script's text: the imports that happen before anything that could change them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from hpo_engine.executors.preload import imports


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def of(text: str, **files: str) -> list[str]:
        for name, content in {"train": text, **files}.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(content))
        return [_short(step) for step in imports.of_script(str(tmp_path / "train.py"), ["EACH"]).steps]

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return of


def _short(step: list[object]) -> str:
    kind, name, value = step
    if kind == "set":
        return f"{name}={value}"
    return f"{name}:{','.join(value)}" if value else str(name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import json, numpy as np\nfrom numpy import linalg, array", ["json", "numpy", "numpy:linalg,array"]),
        ("from __future__ import annotations\nimport numpy.random", ["numpy.random"]),
        ("try:\n    import numpy\nexcept ImportError:\n    import scipy", ["numpy"]),
        ("try:\n    import not_there_at_all\nexcept ImportError:\n    pass\nimport numpy", ["numpy"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import scipy", ["typing:TYPE_CHECKING"]),
        ("def f():\n    import numpy\nimport json", ["json"]),
        ("import sys\nif len(sys.argv) > 5:\n    import numpy\nimport json", ["sys"]),
        ("if __name__ == '__main__':\n    import numpy", ["numpy"]),
        ("if __name__ != '__main__':\n    import scipy\nimport numpy", ["numpy"]),
        ("import os\nif 'PATH' not in os.environ:\n    import scipy\nimport numpy", ["os"]),
        ("class A:\n    x = len('a')\nimport numpy", ["numpy"]),
        ("x = 3\nnames = ['a'] * x\nprint(names)\nimport numpy", ["numpy"]),
    ],
)
def test_imports_at_the_top(text: str, found: list[str], read) -> None:  # type: ignore[no-untyped-def]
    assert read(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import os\nos.environ['A_B'] = '1'\nimport numpy", ["os", "A_B=1", "numpy"]),
        ("import os\nos.environ.setdefault('A_B', '1')\nimport numpy", ["os", "A_B=1", "numpy"]),
        ("import os\nos.environ.setdefault('PATH', '1')\nimport numpy", ["os", "numpy"]),
        ("import os\nos.environ.setdefault('EACH', '1')\nimport numpy", ["os", "numpy"]),
        ("import numpy, os\nos.environ['A_B'] = '1'\nimport scipy", ["numpy", "os", "A_B=1", "scipy"]),
    ],
)
def test_variables_set_to_constants_before_an_import(text: str, found: list[str], read) -> None:  # type: ignore[no-untyped-def]
    assert read(text) == found


@pytest.mark.parametrize(
    "statement",
    [
        "os.environ['A'] = str(len(sys.argv))",
        "os.environ.update(A='1')",
        "os.environ |= {'A': '1'}",
        "del os.environ['PATH']",
        "os.putenv('A', '1')",
        "os.chdir('/')",
        "sys.path.insert(0, '/elsewhere')",
        "sys.path = []",
        "sys.path.insert(0, os.environ['LIB'])",
        "sys.path.insert(0, unknown)",
        "sys.path.remove('')",
        "path = sys.path",
        "from sys import path",
        "for name in ('A', 'B'):\n    os.environ[name] = '1'",
        "for os.environ['A'] in ('1', '2'):\n    pass",
        "if len(sys.argv) > 1:\n    os.environ['A'] = '1'",
        "while True:\n    os.environ['A'] = '1'",
        "class C:\n    os.environ['A'] = '1'",
        "env = os.environ",
        "from os import environ as E\nE['A'] = '1'",
        "if 'A' not in os.environ:\n    os.environ['A'] = '1'",
        "x = [os.environ]",
        "x = dict(os.environ)",
        "x = {**os.environ}",
        "sys.path.append(set_up())",
        "os.environ.clear()",
        "if __name__ == 'other':\n    import scipy",
        "import warnings\nwarnings.simplefilter('error')",
        "sys.modules['scipy'] = None",
        "json.dumps = None",
        "exec('import x')",
        "setattr(json, 'dumps', None)",
        "importlib.import_module('scipy')",
        "numpy.seterr(all='raise')",
        "np.seterr(all='raise')",
        "set_up()",
        "mine.set_up()",
        "set_up_too()",
        "for i in range(3):\n    import scipy",
        "while True:\n    set_up()",
        "with mine.context():\n    import scipy",
        "x = [set_up() for _ in range(2)]",
        "@mine.decorator\nclass A: pass",
    ],
)
def test_reading_stops_where_a_statement_could_change_an_import(statement: str, read) -> None:  # type: ignore[no-untyped-def]
    before = (
        "import importlib, json, numpy, os, sys\nimport numpy as np\nimport mine\nfrom mine import set_up_too\n"
        "def set_up(): pass\n"
    )
    files = {"mine": "def set_up(): pass\ndef set_up_too(): pass\ndef context(): pass\n"}
    found = read(f"{before}{statement}\nimport scipy", **files)
    found = [step for step in found if step not in ("sys:path", "warnings")]
    assert found == ["importlib", "json", "numpy", "os", "sys", "numpy"]


@pytest.mark.parametrize(
    "statement",
    [
        "sys.path.append('lib')",
        "sys.path.insert(0, os.path.dirname(__file__))",
        "os.makedirs('out', exist_ok=True)",
        "config = json.load(open('config.json'))",
        "warnings.filterwarnings('ignore')",
        "logging.basicConfig(level=10)",
        "debug = os.environ.get('DEBUG')",
        "from os import path, sep",
        "debug = 'DEBUG' in os.environ and os.environ['DEBUG']",
        "sys.path.append('/elsewhere')",
        "sys.path.append(os.environ.get('LIB', unknown))",
        "here = os.path.dirname(os.path.abspath(__file__)); sys.path.insert(0, os.path.join(here, 'lib'))",
        "from pathlib import Path; sys.path.append(str(Path(__file__).resolve().parents[1] / 'lib'))",
        "set_up = lambda: other()",
    ],
)
def test_reading_goes_on_after_what_changes_nothing(statement: str, read) -> None:  # type: ignore[no-untyped-def]
    before = "import json, logging, os, sys, warnings\n"
    assert read(f"{before}{statement}\nimport scipy")[-1] == "scipy"


def test_own_modules_are_looked_through_and_not_named(read) -> None:  # type: ignore[no-untyped-def]
    files = {
        "pack/__init__": "import decimal",
        "pack/net": "from . import parts\nfrom .parts import a\nimport numpy",
        "pack/parts": "import fractions\nfrom ..nowhere import b",
        "helper": "import train\nimport scipy",
    }
    found = read("import json\nfrom pack.net import Net\nimport helper\nimport csv", **files)
    assert found == ["json", "decimal", "fractions", "numpy", "scipy", "csv"]


def test_package_of_ones_own_hides_an_installed_one(read, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delitem(sys.modules, "numpy", raising=False)  # a launcher has not imported it
    assert read("import numpy\nimport json", numpy="import csv") == ["csv", "json"]


def test_text_that_cannot_be_read_ends_the_reading(read) -> None:  # type: ignore[no-untyped-def]
    assert read("import json\nimport helper\nimport csv", helper="def f(:") == ["json"]


def test_quiet_where_warnings_are_changed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "train.py"
    path.write_text("import warnings\nwarnings.simplefilter('ignore')\nimport numpy")
    assert imports.of_script(str(path)).quiet
    path.write_text("import numpy\nimport warnings\nwarnings.simplefilter('ignore')")
    assert not imports.of_script(str(path)).quiet


def test_what_own_modules_do_as_programs_is_not_read(read) -> None:  # type: ignore[no-untyped-def]
    files = {"helper": "if __name__ == '__main__':\n    import scipy\nimport decimal"}
    assert read("import helper\nif __name__ == '__main__':\n    import numpy", **files) == ["decimal", "numpy"]
