"""docs/check.md names every code of a finding and every field of the JSON that `check --json` prints."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.support.checked import PRINTS, study
from tests.support.shell import Shell

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`(\w+)`", PAGE))


def codes() -> set[str]:
    """The third argument of each Finding, and what rooms return in its place."""
    found = set()
    for path in (ROOT / "engine" / "hpo_engine" / "probe").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                found |= {each.value for each in ast.walk(node.args[2]) if isinstance(each, ast.Constant)}
            if isinstance(node, ast.Return) and path.name in ("processes.py", "parameters.py"):
                values = node.value.elts[:1] if isinstance(node.value, ast.Tuple) else [node.value]
                texts = {
                    each.value
                    for value in values
                    if value
                    for each in ast.walk(value)
                    if isinstance(each, ast.Constant)
                }
                found |= {text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z]+(_[a-z]+)+", text)}
    return {code for code in found if isinstance(code, str)}


def test_every_code_is_explained() -> None:
    assert len(codes()) > 30 and codes() <= NAMED, codes() - NAMED


def test_every_field_is_explained(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("train.py", PRINTS)
    shell.write("algo.yaml", study())
    found = shell.json("check", "algo.yaml", "--no-each")
    fields = {*found, *found["trials"][0], *found["findings"][0], *found["cost"]}
    assert fields <= NAMED, fields - NAMED
    assert [trial["purpose"] for trial in found["trials"]] == ["first", "other", "again"]
