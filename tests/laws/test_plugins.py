"""What the author of a plugin has: names at the top of the package, and the laws, run in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import hpo_engine
from hpo_engine import testing

SEARCHER = """
from hpo_engine import History, Proposal, StudySpec, trial_rng

class MySearcher:
    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec

    def ask(self, history: History, count: int):
        ids = range(history.next_id, history.next_id + count)
        return [Proposal(self.spec.space.sample(trial_rng(self.spec, i))) for i in ids]
"""


def laws_run(folder: Path, searcher: str) -> subprocess.CompletedProcess[str]:
    """pytest on the example of the package's docstring, with this searcher in `mine.py`."""
    shown = (testing.__doc__ or "").split(":\n\n", 1)[1].split("\n\nThe other")[0]
    (folder / "mine.py").write_text(searcher)
    (folder / "test_mine.py").write_text(dedent(shown))
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    argv += ["--basetemp", str(folder / "tmp")]  # else it would remove folders of earlier runs at its end: minutes
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_the_laws_hold_for_a_plugin_as_the_docstring_says(tmp_path: Path) -> None:
    done = laws_run(tmp_path, SEARCHER)
    assert done.returncode == 0 and " passed" in done.stdout and "failed" not in done.stdout, done.stdout


def test_a_plugin_that_breaks_a_law_is_told_which_and_where(tmp_path: Path) -> None:
    done = laws_run(tmp_path, SEARCHER.replace("+ count)", "+ count + 1)"))
    assert done.returncode == 1, done.stdout
    assert "FAILED test_mine.py::TestMine::test_never_more_than_asked_for" in done.stdout
    assert "one float, new: 41 proposals where 40 were asked for" in done.stdout and "assert 41 <= 40" in done.stdout


def test_every_name_at_the_top_is_there_and_nothing_is_imported_before_it_is_used() -> None:
    for name in hpo_engine.__all__:
        assert getattr(hpo_engine, name) is not None and name in dir(hpo_engine)
    with pytest.raises(AttributeError, match="module 'hpo_engine' has no attribute 'Sercher'"):
        hpo_engine.Sercher  # noqa: B018
    code = "import hpo_engine, sys; print([m for m in sys.modules if m.startswith('hpo_engine.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_nothing_but_the_laws_imports_pytest() -> None:
    package = Path(hpo_engine.__file__).parent
    found = {
        path.relative_to(package).parts[0] for path in package.rglob("*.py") if "import pytest" in path.read_text()
    }
    assert found == {"testing"}
