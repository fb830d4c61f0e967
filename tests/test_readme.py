"""The README is true: its commands, links, help text, study files, tables and examples are those of the program.

`python -m tests.test_readme` writes the help text and docs/algorithms.md anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hpo_engine import assembly, errors
from hpo_engine.cli import cli
from hpo_engine.studyfile.document import read_document
from hpo_engine.studyfile.native import parse_document
from hpo_engine.studyfile.native.form import StudyForm, TrialForm, names

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "examples").rglob("README.md"))]
ALGORITHMS = ROOT / "docs" / "algorithms.md"
HELP = re.compile(r"(<!-- help: .*? -->\n```text\n)(.*?)(```\n<!-- /help -->)", re.DOTALL)


def fences(language: str) -> list[str]:
    """The contents of the README's code blocks of a language."""
    found = re.findall(r"^```(\S*)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return [content for word, content in found if word == language]


def table(first_heading: str) -> list[list[str]]:
    """The cells of the README's table whose first heading is this, a list for each row."""
    _, _, below = re.split(rf"^(\| {first_heading} \|.*\n\| ---.*\n)", TEXT, flags=re.MULTILINE)
    rows = []
    for line in below.splitlines():
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" |")])
    return rows


def hpo_engine(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("HPO_")}
    env |= {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    argv = [sys.executable, "-m", "hpo_engine.cli", *words]
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=240)


def help_text() -> str:
    return "".join(line.rstrip() + "\n" for line in hpo_engine("--help").stdout.splitlines())


def algorithms_page() -> str:
    return hpo_engine("algorithms", "--markdown").stdout


def test_the_two_commands_stand_first_and_in_order() -> None:
    first = "".join(re.findall(r"^```\S*\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)[:2])
    assert first.splitlines() == [
        "pip install '.[lightning]' && hpo-engine submit examples/digits/algo.yaml",
        "pip install -e '.[test]' && pytest",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_picture_of_this_project_exists(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    targets = [t for t in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"[a-z]+:|#", t)]
    missing = [t for t in targets if not (page.parent / t.partition("#")[0]).exists()]
    assert not missing


def test_the_pictures_load_nothing_from_elsewhere() -> None:
    for path in (ROOT / "docs").glob("*.svg"):
        outside = [url for url in re.findall(r"https?://[^\"')\s]+", path.read_text()) if "www.w3.org" not in url]
        assert not outside


def test_the_help_text_is_that_of_the_program() -> None:
    shown = HELP.search(TEXT)
    # Word by word: where lines break is the business of the library that prints them.
    assert shown and shown[2].split() == help_text().split(), "write it anew: python -m tests.test_readme"


def test_the_page_of_algorithms_is_that_of_the_program() -> None:
    assert ALGORITHMS.read_text() == algorithms_page(), "write it anew: python -m tests.test_readme"


def test_every_study_file_shown_is_one(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    (tmp_path / "data").mkdir()
    shown = fences("yaml")
    assert len(shown) >= 2
    for text in shown:
        document = read_document(text, str(tmp_path / "algo.yaml"))
        parse_document(document, base_dir=str(tmp_path), algorithms=assembly.algorithms())


def test_the_smallest_study_ends_as_shown(tmp_path: Path) -> None:
    folder = tmp_path / "descent"
    folder.mkdir()
    (folder / "train.py").write_text(fences("python")[0])
    (folder / "algo.yaml").write_text(fences("yaml")[0])
    done = hpo_engine("submit", "algo.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    outcome, tree = fences("text")[0].split("\n\n")
    # The last digits are the processor's: what is shown is what this study comes to, or nearly.
    shown, found = (
        re.search(r"best loss (\S+), trial \d+((?:\n  \w+ +\S+)+)", text) for text in (outcome, done.stdout)
    )
    assert shown and found and float(found[1]) < 1e-9 and float(shown[1]) < 1e-9
    assert re.findall(r"^  (\w+)", shown[2], re.MULTILINE) == re.findall(r"^  (\w+)", found[2], re.MULTILINE)
    root, *inside = re.findall(r"^ *(\S+)  ", tree, re.MULTILINE)
    assert inside and all((folder / root / name).exists() for name in inside)


def test_the_searcher_shown_runs_as_said_and_copes_with_conditions(tmp_path: Path) -> None:
    said = re.search(r"`algorithm: (\S+)` and `options: (\{.*?\})`", TEXT)
    assert said
    for file, text in (("train.py", fences("python")[0]), ("climb.py", fences("python")[1])):
        (tmp_path / file).write_text(text)
    more = "  kind: {choice: [a, b]}\n  only_a: {float: [0, 1], when: {kind: a}}\n"
    study = fences("yaml")[0].replace("options: {seed: 1}\n", f"algorithm: {said[1]}\noptions: {said[2]}\n")
    (tmp_path / "algo.yaml").write_text(study + more)
    done = hpo_engine("submit", "algo.yaml", cwd=tmp_path)
    assert done.returncode == 0 and "30 completed" in done.stdout, done.stdout + done.stderr


def test_the_table_of_verbs_is_complete() -> None:
    context = cli.make_context("hpo-engine", ["list"], resilient_parsing=True)
    assert [re.sub(r"`(\S+?)[ `].*", r"\1", row[0]) for row in table("verb")] == cli.list_commands(context)


def test_the_table_of_fields_is_complete() -> None:
    named = {word for row in table("field") for cell in row for word in re.findall(r"`([a-z_]+)`", cell)}
    assert {*names(StudyForm), *names(TrialForm)} <= named


def test_the_table_of_algorithms_is_that_of_the_program() -> None:
    named = [re.findall(r"`(.*?)`", row[0]) for row in table("algorithm")]
    assert sorted(name for row in named for name in row if ":" not in name) == sorted(assembly.SEARCHERS)


def test_the_table_of_exit_codes_has_those_of_every_error() -> None:
    codes = {int(code) for row in table("exit code") for code in row[0].split(",")}
    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.EngineError)]
    assert {kind.exit_code for kind in kinds} <= codes


if __name__ == "__main__":
    ALGORITHMS.write_text(algorithms_page(), encoding="utf-8")
    README.write_text(HELP.sub(lambda m: m[1] + help_text() + m[3], TEXT), encoding="utf-8")
