"""The table of wings in docs/architecture.md is what the imports of the package say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "engine" / "hpo_engine"


def floors() -> dict[str, int]:
    """Wing -> floor, as the page has it."""
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", PAGE.read_text(encoding="utf-8"), re.M)
    return {wing: int(floor) for floor, cell in rows for wing in re.findall(r"`(\w+)/?`", cell)}


def wings() -> dict[str, Path]:
    """Wing -> its file or folder."""
    found = {path.stem: path for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    del found["__init__"]
    return found


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """The modules of the package that a file imports anywhere in it, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "hpo_engine":
            yield from ((f"hpo_engine.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hpo_engine."):
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names if a.name.startswith("hpo_engine."))


def test_every_wing_is_in_the_table_and_imports_from_lower_floors_only() -> None:
    table, found = floors(), wings()
    assert set(table) == set(found)
    upward = [
        f"{path.relative_to(PACKAGE)}:{line} imports {module}"
        for wing, top in found.items()
        for path in (top.rglob("*.py") if top.is_dir() else [top])
        for module, line in imports(path)
        if (other := module.split(".")[1]) in table and other != wing and table[other] >= table[wing]
    ]
    assert not upward, "\n".join(upward)


def test_the_two_packages_never_import_each_other() -> None:
    for folder, other in (("engine", "hpo_trainees"), ("trainees", "hpo_engine")):
        for path in (ROOT / folder).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            names = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
            names += [str(n.module) for n in nodes if isinstance(n, ast.ImportFrom)]
            assert not [name for name in names if name.split(".")[0] == other], path


def test_test_modules_import_helpers_from_support_only() -> None:
    """A helper inside a test module ties tests together that have nothing to do with each other."""
    for path in [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = [f"{n.module}." for n in nodes if isinstance(n, ast.ImportFrom) and n.level == 0]
        names += [f"{a.name}." for n in nodes if isinstance(n, ast.Import) for a in n.names]
        assert not [n for n in names if n.startswith("tests.") and not n.startswith("tests.support.")], path
