"""What contributors are told to run is there: targets, folders, versions of Python; files for a public host are valid."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
FILES = [
    ROOT / ".pre-commit-config.yaml",
    *sorted((ROOT / ".github").rglob("*.yml")),
]


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_for_a_host_is_valid(path: Path) -> None:
    assert isinstance(loaded(path), dict)


def test_workflow_calls_the_check_on_every_python_that_is_supported() -> None:
    job = loaded(ROOT / ".github/workflows/ci.yml")["jobs"]["run"]
    assert job["strategy"]["matrix"]["python"] == ["3.10", "3.11", "3.12", "3.13", "3.14"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o100
    assert 'requires-python = ">=3.10"' in (ROOT / "pyproject.toml").read_text()


def test_every_target_named_is_in_the_makefile_and_its_folders_exist() -> None:
    targets = set(re.findall(r"^(\w+):", MAKEFILE, re.M))
    named = set(re.findall(r"\bmake (\w+)`", (ROOT / "CONTRIBUTING.md").read_text()))
    assert {"quick", "test", "slow", "ci", "docs", "bench"} <= named <= targets
    folders = re.findall(r"tests/\S+", MAKEFILE)
    assert folders and all((ROOT / folder).exists() for folder in folders)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not on this machine")
def test_targets_expand_to_the_commands_of_the_table() -> None:
    done = subprocess.run(["make", "-n", "quick", "slow", "docs"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[:3] == ["ruff check .", "ruff format --check .", "mypy"] and lines[3].startswith(
        "pytest -q -n 2 tests/"
    )
    assert lines[4:] == ["pytest -m slow", "python -m docs.generate"]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_links_of_the_page_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text()):
        assert (ROOT / link).exists(), link
