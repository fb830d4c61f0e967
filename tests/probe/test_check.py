"""`hpo-engine check` names what is wrong with broken scripts, and raises no alarm about sound ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.checked import BROKEN, SOUND, Case
from tests.support.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def cases(table: tuple[Case, ...]) -> list[Any]:
    return [pytest.param(c, id=c.name, marks=() if c.quick else pytest.mark.slow) for c in table]


def checked(shell: Shell, case: Case) -> dict[str, Any]:
    outside = shell.folder.parent / "outside"
    outside.mkdir()
    shell.write("train.py", case.script.replace("%(outside)s", str(outside)))
    shell.write("algo.yaml", case.algo)
    for name, text in case.files.items():
        shell.write(name, text)
    before = {path: path.read_bytes() for path in shell.folder.rglob("*") if path.is_file()}
    found: dict[str, Any] = shell.json("check", "algo.yaml", *case.options, code=case.exit)
    assert {path: path.read_bytes() for path in shell.folder.rglob("*") if path.is_file()} == before
    assert not (shell.folder / "hpo-runs").exists() and not shell.left()
    return found


@pytest.mark.by_default(3)
@pytest.mark.parametrize("case", cases(BROKEN))
def test_what_is_wrong_with_a_broken_script_is_named(shell: Shell, case: Case) -> None:
    found = checked(shell, case)
    named = [f for f in found["findings"] if f["code"] == case.code]
    assert len(named) == 1, found["findings"]
    assert case.words in named[0]["text"] + named[0]["action"], named
    assert found["ok"] is (case.exit == 0)
    worst = {f["code"] for f in found["findings"] if f["level"] in ("problem", "warning")}
    assert case.code in worst and len(worst) <= 2, found["findings"]


@pytest.mark.by_default("argparse")
@pytest.mark.parametrize("case", cases(SOUND))
def test_no_alarm_about_a_sound_script(shell: Shell, case: Case) -> None:
    found = checked(shell, case)
    assert not [f for f in found["findings"] if f["level"] in ("problem", "warning")], found["findings"]
    assert {f["code"] for f in found["findings"]} >= {"effective", "objective_there"}, found["findings"]
