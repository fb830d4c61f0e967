"""Native study files to parse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo_engine.errors import SpecError
from hpo_engine.study.spec import StudySpec
from hpo_engine.studyfile import native as spec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study's folder: a script, data, an interpreter."""
    (tmp_path / "train.py").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "python").chmod(0o755)
    return tmp_path


def parse(text: str, folder: Path, **options: Any) -> StudySpec:
    return spec.parse(text, file="algo.yaml", base_dir=str(folder), **options)


def small(fields: str = "", space: str = "{lr: {float: [0, 1]}}", command: str = "python train.py") -> str:
    return f"command: {command}\nobjective: minimize loss\nspace: {space}\n{fields}"


def problems(text: str, folder: Path, **options: Any) -> list[str]:
    with pytest.raises(SpecError) as error:
        parse(text, folder, **options)
    lines = str(error.value).split("\n")
    assert all(line.startswith("algo.yaml") for line in lines)
    return lines
