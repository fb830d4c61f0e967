"""The manual is true: links, commands, paths, study files, tables, examples and generated parts are those of the program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from docs import generate
from hpo_engine import assembly, errors
from hpo_engine.cli import cli
from hpo_engine.study.trial import FailureKind
from hpo_engine.studyfile.document import read_document
from hpo_engine.studyfile.native import parse_document
from hpo_engine.studyfile.native.form import StudyForm, TrialForm, names
from tests.support.command import run as run_command

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
MANUAL = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *MANUAL, *sorted(ROOT.glob("[CS]*.md")), *sorted(ROOT.glob("examples/**/README.md"))]
PAGES += sorted(ROOT.glob("benchmarks/**/*.md"))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def fences(page: Path, language: str) -> list[str]:
    """The contents of a page's code blocks of a language."""
    found = re.findall(r"^```(\S*)\n(.*?)^```", text(page), re.DOTALL | re.MULTILINE)
    return [content for word, content in found if word == language]


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", text(page), flags=re.DOTALL | re.MULTILINE)


def table(page: Path, first_heading: str) -> list[list[str]]:
    """The cells of a page's table with this first heading, one list per row."""
    _, _, below = re.split(rf"^(\| {first_heading} \|.*\n\| ---.*\n)", text(page), maxsplit=1, flags=re.MULTILINE)
    lines = re.match(r"(\|.*\n)*", below)
    assert lines
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines[0].splitlines()]


def hpo_engine(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("HPO_")}
    return run_command(*words, cwd=cwd, env=env)


# -- every page --------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_every_link_and_picture_of_this_project_leads_somewhere(page: Path) -> None:
    targets = [t for t in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if not re.match(r"[a-z]+:", t)]
    for target in targets:
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@each_page
def test_no_heading_stands_twice_below_the_same_one(page: Path) -> None:
    path: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for marks, heading in re.findall(r"^(#+) (.*)$", prose(page), re.MULTILINE):
        path = [*path[: len(marks) - 1], heading]
        assert tuple(path) not in seen, heading
        seen.add(tuple(path))


def commands(page: Path) -> Iterator[str]:
    """What a page says to type after `hpo-engine`."""
    shell = "\n".join(fences(page, "sh") + re.findall(r"`([^`]+)`", " ".join(prose(page).split())))
    yield from re.findall(r"\bhpo-engine ((?:-{0,2}\w[\w-]*)(?: [^\n|&>#;)`]*)?)", shell)


@each_page
def test_every_command_shown_has_a_verb_and_options_that_exist(page: Path) -> None:
    above = click.Context(cli, info_name="hpo-engine")
    general = {"--help", "-h", *(name for option in cli.params for name in option.opts)}
    for command in commands(page):
        verb, *words = [word for word in command.split() if word not in (*general, "VERB")] or ["list"]
        found = cli.get_command(above, verb)
        assert found is not None, f"hpo-engine {command}"
        while words and (own := getattr(found, "commands", {}).get(words[0])) is not None:
            found, words = own, words[1:]
        known = {name for p in found.params if isinstance(p, click.Option) for name in p.opts} | {"--help", "-h"}
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= known, f"hpo-engine {command}"


@each_page
def test_every_file_of_this_project_that_is_named_exists(page: Path) -> None:
    tops = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
    named = re.findall(rf"`((?:{tops})/[\w./-]*)(?:::\w+)?`", prose(page))
    assert not [name for name in named if not (ROOT / name).exists()]


@each_page
def test_every_study_file_shown_is_one(page: Path, tmp_path: Path) -> None:
    """A block without a command is a part of one: it is completed before it is read."""
    (tmp_path / "train.py").write_text("WIDTH = 8\nclass Config:\n    lr = 0.1\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "train.yaml").write_text("optimizer: {lr: 0.1}\nname: run\n")
    (tmp_path / "run.cfg.in").write_text("lr = {lr}\n")
    for folder in ("draws", "my_plugin"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "optimizer.py").touch()
    installed = dict(re.findall(r'"hpo_engine.searchers" = {(\w+) = "(.+?)"', text(page)))
    for shown in fences(page, "yaml"):
        whole = shown
        if not re.search(r"^command:", shown, re.MULTILINE):
            rest = {"command": "python train.py", "objective": "minimize loss", "space": "{lr: {float: [0, 1]}}"}
            missing = [name for name in rest if not re.search(rf"^{name}s?:", shown, re.MULTILINE)]
            whole += "".join(f"{name}: {rest[name]}\n" for name in missing)
        document = read_document(whole, str(tmp_path / "algo.yaml"))
        names = {**assembly.SEARCHERS.known(), **installed, "mine": "an installed search plugin"}
        parse_document(document, base_dir=str(tmp_path), algorithms=names)


def test_the_pictures_load_nothing_from_elsewhere() -> None:
    for path in (ROOT / "docs").glob("*.svg"):
        outside = [url for url in re.findall(r"https?://[^\"')\s]+", path.read_text()) if "www.w3.org" not in url]
        assert not outside


def test_what_is_generated_is_up_to_date() -> None:
    # Word by word, so that the version of a library that prints a line does not matter.
    stale = [path.name for path, new in generate.results() if text(path).split() != new.split()]
    assert not stale, "write them anew: python -m docs.generate"


def test_every_page_of_the_manual_is_in_the_readme() -> None:
    links = {target for row in table(README, "page") for target in re.findall(r"\]\((\S+?)\)", row[0])}
    assert links == {str(page.relative_to(ROOT)) for page in MANUAL}


# -- the README --------------------------------------------------------------------------------------------------------


def test_the_two_commands_stand_first_and_in_order() -> None:
    assert "".join(fences(README, "sh")[:2]).splitlines() == [
        "pip install '.[lightning]' && hpo-engine submit examples/digits/algo.yaml",
        "pip install -e '.[test]' && pytest",
    ]


@pytest.mark.slow
def test_init_says_of_the_example_what_is_shown(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(text(ROOT / "examples/lightning_argparse/train.py"))
    done = hpo_engine("init", "train.py", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == fences(README, "console")[0]
    searched = re.findall(r"^  (\w+) +\S+$", fences(README, "console")[1], re.MULTILINE)
    assert f"  searched   {', '.join(searched)}\n" in done.stdout


def smallest_study(folder: Path) -> str:
    """Writes the README's script into the folder; its study file."""
    (folder / "train.py").write_text(fences(README, "python")[0])
    return fences(README, "yaml")[0]


def test_the_smallest_study_ends_as_shown(tmp_path: Path) -> None:
    folder = tmp_path / "descent"
    folder.mkdir()
    (folder / "algo.yaml").write_text(smallest_study(folder))
    done = hpo_engine("submit", "algo.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    outcome, tree = fences(README, "text")[0].split("\n\n")
    # The last digits depend on the processor: what is shown is what this study comes to, or nearly.
    shown, found = (
        re.search(r"best loss (\S+), trial \d+((?:\n  \w+ +\S+)+)", output) for output in (outcome, done.stdout)
    )
    assert shown and found and float(found[1]) < 1e-9 and float(shown[1]) < 1e-9
    assert re.findall(r"^  (\w+)", shown[2], re.MULTILINE) == re.findall(r"^  (\w+)", found[2], re.MULTILINE)
    root, *inside = re.findall(r"^ *(\S+)  ", tree, re.MULTILINE)
    assert inside and all((folder / root / name).exists() for name in inside)


COMING = ROOT / "docs/coming-from.md"
IN_ARGUMENTS = [shown for shown in fences(COMING, "yaml") if "{params:name=value}" not in shown]


@pytest.mark.parametrize(
    "shown", [IN_ARGUMENTS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in IN_ARGUMENTS[1:-1])]
)
def test_what_other_tools_do_is_done_here(shown: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(fences(COMING, "python")[0])
    (tmp_path / "algo.yaml").write_text(re.sub(r"^trackers:.*\n", "", shown, flags=re.MULTILINE))
    done = hpo_engine("submit", "algo.yaml", "--trials", "3", cwd=tmp_path)
    assert done.returncode == 0 and "3 completed" in done.stdout, done.stdout + done.stderr


# -- the tables --------------------------------------------------------------------------------------------------------


def test_the_fields_of_the_study_file_are_complete() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", text(ROOT / "docs/study-file.md"), re.MULTILINE))
    assert {*names(StudyForm), *names(TrialForm)} <= named


def test_the_algorithms_are_complete() -> None:
    named = [re.findall(r"`(.*?)`", row[0])[0] for row in table(ROOT / "docs/algorithms.md", "algorithm")]
    assert named == list(assembly.SEARCHERS)


def test_what_is_added_is_registered_where_the_page_says() -> None:
    for _, write, register in table(ROOT / "docs/architecture.md", "to add"):
        path = re.findall(r"`([\w/]+\.py)`", f"{write} {register}")[-1]
        for name in re.findall(r"`(_?[A-Z]+)`", register):
            assert re.search(rf"^{name}\b", text(ROOT / path), re.MULTILINE), f"{name} in {path}"


def test_the_verbs_with_json_are_those_that_have_the_option() -> None:
    said = re.search(r"^(`[^.]*) take\s`--json`", text(ROOT / "docs/cli.md"), re.MULTILINE)
    above = click.Context(cli, info_name="hpo-engine")
    verbs = {name: cli.get_command(above, name) for name in cli.list_commands(above)}
    have = {n for n, verb in verbs.items() if verb and any("--json" in option.opts for option in verb.params)}
    assert said and set(re.findall(r"`(\w+)`", said[1])) == have


def test_the_exit_codes_are_those_of_every_error() -> None:
    codes = {int(code) for row in table(ROOT / "docs/cli.md", "exit code") for code in row[0].split(",")}
    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.EngineError)]
    assert {kind.exit_code for kind in kinds} <= codes


def test_the_kinds_of_failure_are_complete() -> None:
    named = {name for row in table(ROOT / "docs/reliability.md", "kind") for name in re.findall(r"`(\w+)`", row[0])}
    assert named == {kind.value for kind in FailureKind}


# -- the contract ------------------------------------------------------------------------------------------------------


def test_every_variable_that_a_trial_gets_is_in_the_contract(tmp_path: Path) -> None:
    program = """sh, -c, "env -0 > variables; echo '[{\\"loss\\": 1}]' > val_dict_list.json\""""
    study = f"name: s\ncommand: [{program}]\nobjective: minimize loss\ntrials: 2\nparallel: 2\nspace: {{x: {{float: [0, 1]}}}}\n"
    (tmp_path / "algo.yaml").write_text(study)
    done = hpo_engine("submit", "algo.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = (tmp_path / "hpo-runs/s/results/0/variables").read_text().split("\0")
    given = {variable.partition("=")[0] for variable in found if variable} - {
        *os.environ,
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    }
    page = prose(ROOT / "docs" / "contract.md") + prose(ROOT / "docs" / "resources.md")
    assert {"RESULT_DIR", "SUBID"} <= given
    assert not [name for name in given if not name.startswith("HPO_") and not re.search(rf"\b{name}\b", page)]


def test_the_script_that_continues_trains_only_what_is_missing(tmp_path: Path) -> None:
    script, *_ = fences(ROOT / "docs" / "contract.md", "python")
    (tmp_path / "train.py").write_text(script.replace("    ...", "    print(epoch)"))
    printed = []
    for epochs, resumed in ((2, {}), (4, {"HPO_RESUME_FROM": "0"})):
        (tmp_path / "config.json").write_text(f'{{"epochs": {epochs}}}')
        argv, env = [sys.executable, "train.py"], {**os.environ, **resumed}
        printed += subprocess.check_output(argv, cwd=tmp_path, env=env, text=True).split()
    assert printed == ["1", "2", "3", "4"]


def test_the_scripts_that_are_ended_save_what_they_have(tmp_path: Path) -> None:
    _, handles, asks = fences(ROOT / "docs" / "contract.md", "python")
    ended = "\nepoch = 3\nsignal.raise_signal(signal.SIGTERM)\n"
    subprocess.run([sys.executable, "-c", handles + ended], cwd=tmp_path, check=True)
    assert (tmp_path / "state.json").read_text() == '{"epoch": 3}'
    around = """
import json, time
def train(epoch):
    if epoch == 2:
        note = {"cause": "early", "reason": "", "at": time.time(), "deadline": time.time() + 9}
        json.dump(note, open("stop.json", "w"))
    return 1 / epoch
def save_checkpoint():
    open("checkpoint", "w").close()
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "trainees"), "RESULT_DIR": str(tmp_path)}
    (tmp_path / "config.json").write_text("{}")
    subprocess.run([sys.executable, "-c", around + asks], cwd=tmp_path, check=True, env=env)
    assert (tmp_path / "checkpoint").exists()
    assert (tmp_path / "val_dict_list.json").read_text().count("step") == 2


# -- plugins -----------------------------------------------------------------------------------------------------------

PLUGINS = ROOT / "docs" / "writing-plugins.md"


def plugin_files() -> dict[str, str]:
    """The files that the page shows: each code block has the name that was last mentioned before it."""
    blocks = re.finditer(r"^```python\n(.*?)^```", text(PLUGINS), re.DOTALL | re.MULTILINE)
    return {re.findall(r"`(\w+\.py)`", text(PLUGINS)[: block.start()])[-1]: block[1] for block in blocks}


@pytest.fixture
def with_plugins(tmp_path: Path) -> dict[str, object]:
    """A folder with the smallest study's script and every plugin; the study."""
    for name, content in plugin_files().items():
        (tmp_path / name).write_text(content)
    study = yaml.safe_load(smallest_study(tmp_path))
    # A parameter that does not always apply is where a searcher of one's own goes wrong first.
    study["space"] |= {"kind": {"choice": ["a", "b"]}, "only_a": {"float": [0, 1], "when": {"kind": "a"}}}
    return {**study, "name": "s"}


def run_with(part: str, study: dict[str, object], folder: Path) -> str:
    (folder / "algo.yaml").write_text(yaml.safe_dump(study | yaml.safe_load(part)))
    done = hpo_engine("submit", "algo.yaml", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def the_part_with(field: str) -> str:
    """The first one on the page that begins with the field."""
    return next(part for part in fences(PLUGINS, "yaml") if part.startswith(f"{field}:"))


@pytest.mark.slow
def test_the_searcher_shown_runs_a_study(with_plugins: dict[str, object], tmp_path: Path) -> None:
    assert "30 completed" in run_with(the_part_with("algorithm"), with_plugins, tmp_path)


@pytest.mark.slow
def test_the_stopper_shown_ends_trials(with_plugins: dict[str, object], tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(f"import time\n{script.read_text()}    time.sleep(0.3)\n")
    space = {"learning_rate": {"choice": [0.3, 1.0]}, "momentum": 0.0}  # with 1.0 the loss is 9 in each epoch
    study = {**with_plugins, "algorithm": "grid", "space": space, "trials": 2}
    assert "1 completed, 1 pruned" in run_with(the_part_with("stop"), study, tmp_path)


@pytest.mark.slow
def test_the_tracker_shown_writes_its_file(with_plugins: dict[str, object], tmp_path: Path) -> None:
    run_with(the_part_with("trackers"), with_plugins, tmp_path)
    lines = (tmp_path / "hpo-runs/s/trials.csv").read_text().splitlines()
    assert len(lines) == 30 and all(re.match(r"\d+,completed,[\d.e-]+,", line) for line in lines)


@pytest.mark.slow
def test_the_metric_source_shown_reads_another_file(with_plugins: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import json\n"
        "rate = json.load(open('config.json'))['learning_rate']\n"
        "print(f'epoch=1 loss={rate}', file=open('progress.txt', 'a'))\n"
    )
    (tmp_path / "progress.txt").write_text("epoch=1 loss=-9\n")  # of a run by hand
    out = run_with(the_part_with("results"), with_plugins, tmp_path)
    assert "30 completed" in out and "loss=-9" not in out and "loss -9" not in out
    (tmp_path / "train.py").write_text("pass\n")
    study = {**with_plugins, "name": "none", "trials": 1, "results": ["reader.py:Progress", "val_dict_list"]}
    (tmp_path / "none.yaml").write_text(yaml.safe_dump(study))
    done = hpo_engine("submit", "none.yaml", cwd=tmp_path)
    assert "wrote no progress.txt in RESULT_DIR (and no val_dict_list.json in RESULT_DIR)" in done.stdout + done.stderr


@pytest.mark.slow
def test_the_executor_shown_runs_trials_through_another_program(
    with_plugins: dict[str, object], tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text(f"import os\nprint('niceness', os.nice(0))\n{script.read_text()}")
    run_with(the_part_with("executor"), {**with_plugins, "trials": 1}, tmp_path)
    assert "niceness 19" in hpo_engine("logs", "s", "0", cwd=tmp_path).stdout
    assert f"  runs on {tmp_path}/through.py:Through\n" in hpo_engine("show", "s", cwd=tmp_path).stdout


@pytest.mark.slow
def test_the_package_shown_installs_plugins_that_a_study_uses_by_name(tmp_path: Path) -> None:
    pytest.importorskip("pip")
    package, site, folder = (tmp_path / name for name in ("package", "site", "study"))
    for place in (package, folder):
        place.mkdir()
    for name, content in plugin_files().items():
        (package / name).write_text(content)
    (package / "pyproject.toml").write_text(fences(PLUGINS, "toml")[0])
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, "--target", site, package], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr

    (folder / "train.py").write_text(
        "import json\n"
        "rate = json.load(open('config.json'))['rate']\n"
        "print(f'epoch=1 loss={rate}', file=open('progress.txt', 'a'))\n"
    )
    study = {"command": "python -S train.py", "name": "s", "objective": "minimize loss", "trials": 3}
    study |= yaml.safe_load(fences(PLUGINS, "yaml")[-1]) | {"space": {"rate": {"float": [0, 1]}}}
    (folder / "algo.yaml").write_text(yaml.safe_dump(study))
    # Entry points are those of the directories of sys.path, which a new interpreter reads.
    argv, env = [sys.executable, "-m", "hpo_engine.cli"], {**os.environ, "PYTHONPATH": str(site)}
    submitted = subprocess.run([*argv, "submit", "algo.yaml"], cwd=folder, env=env, capture_output=True, text=True)
    assert "3 completed" in submitted.stdout, submitted.stdout + submitted.stderr
    assert len((folder / "hpo-runs/s/mine.csv").read_text().splitlines()) == 3
    shown = subprocess.run([*argv, "show", "s"], cwd=folder, env=env, capture_output=True, text=True).stdout
    assert "climb" in shown and "  runs on through\n" in shown

    gone = hpo_engine("resume", "s", "--trials", "4", cwd=folder)
    assert gone.returncode != 0 and "Traceback" not in gone.stderr and "climb" in gone.stderr, gone.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("with_plugins")
def test_the_plugins_shown_keep_the_laws_as_shown(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "test_plugins.py"]
    argv += ["--basetemp", str(tmp_path / "tmp")]  # else it would remove folders of earlier runs at its end: minutes
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout + done.stderr
