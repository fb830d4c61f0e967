"""The table of wings in docs/architecture.md is what the imports of the package say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from docs.wings import PACKAGE, ROOT, imports, table, wings


def test_every_wing_is_in_the_table_and_imports_from_lower_floors_only() -> None:
    floors, found = {name: wing.floor for name, wing in table().items()}, wings()
    assert set(floors) == set(found)
    upward = [
        f"{path.relative_to(PACKAGE)}:{line} imports {module}"
        for wing, top in found.items()
        for path in (top.rglob("*.py") if top.is_dir() else [top])
        for module, line in imports(path)
        if (other := module.split(".")[1]) in floors and other != wing and floors[other] >= floors[wing]
    ]
    assert not upward, "\n".join(upward)


def test_the_two_packages_never_import_each_other() -> None:
    """But for the Python interface, as a function that is tuned runs in the same environment."""
    for folder, other in (("engine", "hpo_trainees"), ("trainees", "hpo_engine")):
        for path in (p for p in (ROOT / folder).rglob("*.py") if other in p.read_text(encoding="utf-8")):
            if PACKAGE / "api" in path.parents or path == PACKAGE / "__init__.py":
                continue
            assert not [name for name in imported(path) if name.split(".")[0] == other], path


def test_test_modules_import_helpers_from_support_only() -> None:
    """A helper inside a test module ties tests together that have nothing to do with each other."""
    for path in [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        if not re.search(r"\btests\b(?!\.support\b)", path.read_text(encoding="utf-8")):
            continue  # no import of another module of theirs, which takes long to find out by parsing
        names = [f"{name}." for name in imported(path)]
        assert not [n for n in names if n.startswith("tests.") and not n.startswith("tests.support.")], path


def imported(path: Path) -> list[str]:
    """Names of the modules that a file imports; a relative import begins with dots."""
    nodes = [n for n in ast.walk(ast.parse(path.read_bytes())) if isinstance(n, ast.Import | ast.ImportFrom)]
    names = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    return names + ["." * n.level + (n.module or "") for n in nodes if isinstance(n, ast.ImportFrom)]
