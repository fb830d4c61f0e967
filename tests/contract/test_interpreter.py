"""Which Python runs a script, and what is installed there."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest

from hpo_engine.contract.interpreter import Interpreter, interpreter_of

ENV = dict(os.environ)


def test_packages_of_the_engines_own_python_are_those_that_it_would_import(tmp_path: Path) -> None:
    found = interpreter_of([sys.executable, "train.py"], ENV, str(tmp_path))
    assert (found.path, found.version) == (sys.executable, platform.python_version())
    for name in ("numpy", "pytest", "pydantic"):
        assert found.packages[name] == metadata.version(name)
    known = {str(d.metadata["Name"]).lower().replace("_", "-").replace(".", "-") for d in metadata.distributions()}
    assert known <= {name.replace(".", "-") for name in found.packages}


def test_packages_of_another_environment_are_its_own(tmp_path: Path) -> None:
    site = tmp_path / f"env/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    for entry in ("Some_Thing-1.2.post1.dist-info", "old-0.9-py3.10.egg-info", "not a package"):
        (site / entry).mkdir(parents=True)
    (tmp_path / "env" / "bin").mkdir()
    (tmp_path / "env" / "bin" / "python3").symlink_to(os.path.realpath(sys.executable))
    home = os.path.dirname(os.path.realpath(sys.executable))
    (tmp_path / "env" / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    (tmp_path / "env" / "bin" / "torchrun").write_text(f"#!{tmp_path}/env/bin/python3\nimport broken\n")
    (tmp_path / "env" / "bin" / "torchrun").chmod(0o755)
    expected = Interpreter(
        f"{tmp_path}/env/bin/python3", platform.python_version(), {"old": "0.9", "some-thing": "1.2.post1"}
    )
    env = {"PATH": f"{tmp_path}/env/bin:{os.environ['PATH']}"}
    for command in (["python3", "train.py"], [f"{tmp_path}/env/bin/python3"], ["torchrun", "train.py"]):
        assert interpreter_of(command, env, str(tmp_path)) == expected
    elsewhere = interpreter_of(["./env/bin/python3"], {**env, "PYTHONPATH": str(tmp_path / "more")}, str(tmp_path))
    assert elsewhere.packages == expected.packages
    (tmp_path / "more" / "extra-3.dist-info").mkdir(parents=True)
    again = interpreter_of(["./env/bin/python3"], {**env, "PYTHONPATH": str(tmp_path / "more")}, str(tmp_path))
    assert again.packages == {**expected.packages, "extra": "3"}


@pytest.mark.parametrize("command", [["sh", "run.sh"], ["./none", "x"], ["{program}", "x"], ["/bin/ls"]])
def test_command_without_a_python_has_no_packages(tmp_path: Path, command: list[str]) -> None:
    assert interpreter_of(command, ENV, str(tmp_path)) == Interpreter()


@pytest.mark.parametrize("script", ["exit 3", "echo nonsense", "echo '[1]'"])
def test_python_that_cannot_answer_has_no_packages(tmp_path: Path, script: str) -> None:
    path = tmp_path / "python"
    shutil.copy("/bin/sh", tmp_path / "sh")
    path.write_text(f"#!{tmp_path}/sh\n{script}\n")
    path.chmod(0o755)
    assert interpreter_of([str(path), "train.py"], ENV, str(tmp_path)) == Interpreter(str(path))
