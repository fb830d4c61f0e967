"""The Dockerfile, checked without Docker: what it installs, copies and starts is what this project has."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

tomllib = pytest.importorskip("tomllib")

ROOT = Path(__file__).resolve().parent.parent


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines) if name]


def arguments_of(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


def pip_lines() -> list[str]:
    return [line for line in arguments_of("RUN") if line.startswith("pip ")]


def project() -> dict[str, Any]:
    with open(ROOT / "pyproject.toml", "rb") as file:
        data: dict[str, Any] = tomllib.load(file)
    return data


def copied() -> list[tuple[str, str]]:
    out = []
    for line in arguments_of("COPY"):
        *sources, target = line.split()
        out += [(source, target) for source in sources]
    return out


def lay_out_context(folder: Path) -> None:
    """The folder /src of the image, as COPY leaves it."""
    for source, target in copied():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, folder / target)


def run_as_docker_does(line: str, cwd: Path, path: str, **env: str) -> None:
    environment = {**os.environ, "TORCH_INDEX": "", **env, "PATH": f"{path}:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(["/bin/sh", "-c", line], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_extra_that_is_installed_exists_in_pyproject() -> None:
    extras = project()["project"]["optional-dependencies"]
    asked = [name for line in pip_lines() for group in re.findall(r"\.\[([^]]+)\]", line) for name in group.split(",")]
    assert asked, "the image installs no extra, so it could not train"
    assert set(asked) <= set(extras)


def test_every_copied_path_exists_and_passes_the_dockerignore() -> None:
    patterns = [p for p in (ROOT / ".dockerignore").read_text().splitlines() if p and not p.startswith("#")]
    for source, _ in copied():
        assert (ROOT / source).exists(), source
        ignored = False
        for pattern in patterns:  # the last one that fits decides
            if fnmatch.fnmatch(source, pattern.lstrip("!")):
                ignored = not pattern.startswith("!")
        assert not ignored, f".dockerignore keeps {source} out of the build"


def test_all_that_the_build_reads_is_copied() -> None:
    about = project()
    packages = set(about["tool"]["setuptools"]["packages"]["find"]["where"])
    needed = {"pyproject.toml", about["project"]["readme"], *about["project"]["license-files"], *packages}
    assert needed <= {source for source, _ in copied()}


def test_sources_come_after_torch_so_that_a_change_keeps_its_layer() -> None:
    order = [rest for word, rest in instructions() if word in ("RUN", "COPY")]
    torch = next(i for i, rest in enumerate(order) if re.search(r"pip install .*\btorch$", rest))
    assert torch < min(i for i, rest in enumerate(order) if "engine" in rest)


def test_base_image_is_a_python_that_the_project_allows() -> None:
    image = arguments_of("FROM")
    version = re.fullmatch(r"python:3\.(\d+)-slim", image[0])
    least = re.fullmatch(r">=3\.(\d+)", project()["project"]["requires-python"])
    assert len(image) == 1 and version and least
    assert int(version[1]) >= int(least[1])


def test_it_starts_the_console_script_without_root() -> None:
    assert json.loads(arguments_of("ENTRYPOINT")[-1]) == ["hpo-engine"]
    assert "hpo-engine" in project()["project"]["scripts"]
    user = arguments_of("USER")[-1]
    assert user != "root" and any(f"useradd --create-home --uid 1000 {user}" in line for line in arguments_of("RUN"))
    assert arguments_of("WORKDIR")[-1] == "/work" and "/work" in json.loads(arguments_of("VOLUME")[-1])


@pytest.mark.parametrize(
    ("index", "options"), [("", []), ("file:///some index", ["--index-url", "file:///some index"])]
)
def test_the_index_of_torch_is_passed_only_when_given(tmp_path: Path, index: str, options: list[str]) -> None:
    pip = tmp_path / "pip"
    pip.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done >{shlex.quote(str(tmp_path / "seen"))}\n')
    pip.chmod(0o755)
    run_as_docker_does(pip_lines()[0], tmp_path, str(tmp_path), TORCH_INDEX=index)
    assert (tmp_path / "seen").read_text().splitlines() == ["install", "--no-cache-dir", *options, "torch"]


@pytest.mark.slow
def test_its_pip_lines_make_a_working_engine_and_trainer_in_a_clean_environment(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    bin_dir = tmp_path / "venv" / "bin"
    (tmp_path / "src").mkdir()
    lay_out_context(tmp_path / "src")
    for line in pip_lines():
        run_as_docker_does(line, tmp_path / "src", str(bin_dir))
    (tmp_path / "work").mkdir()
    run_as_docker_does("hpo-engine --help", tmp_path / "work", str(bin_dir))
    check = "import hpo_trainees.digits, hpo_trainees.lightning, tensorboard, hpo_engine; print(hpo_engine.__file__)"
    run_as_docker_does(f'python -c "{check}"', tmp_path / "work", str(bin_dir))
