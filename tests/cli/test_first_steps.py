"""What a newcomer meets first: init in a project's folders, slips in words, what the machine makes of `parallel`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpo_engine.cli import cli
from hpo_engine.reports import forecast
from hpo_engine.study.spec import Budget, Resources
from hpo_engine.studyfile.starter import find
from tests.support import random_logs
from tests.support.shell import Shell

SCRIPT = """\
import csv, json
config = json.load(open("config.json"))
rows = list(csv.reader(open("data/x.csv")))
json.dump([{"loss": config["lr"] + len(rows)}], open("val_dict_list.json", "w"))
"""


def notes(shell: Shell) -> list[str]:
    return [line.removeprefix("hpo-engine: note: ") for line in shell.err.splitlines() if "note: " in line]


def test_init_for_a_script_that_is_run_from_the_projects_folder(shell: Shell) -> None:
    (shell.folder / "algo.yaml").unlink()
    shell.write("scripts/train.py", SCRIPT)
    shell.write("data/x.csv", "1,2\\n")
    out = shell.run("init", "scripts/train.py")
    assert "wrote algo.yaml" in out and "note: trials run from this folder, as the script reads data/x.csv" in out
    text = (shell.folder / "algo.yaml").read_text()
    assert "command: python scripts/train.py" in text and "\nmodel_dir" not in text
    shell.run("submit", "algo.yaml", "--trials", "1")


def test_init_for_a_script_that_finds_its_files_beside_it(shell: Shell) -> None:
    shell.write("scripts/train.py", SCRIPT)
    (shell.folder / "scripts/data").mkdir()
    shell.write("scripts/data/x.csv", "1,2\\n")
    shell.write("data/x.csv", "1,2\\n")
    assert "wrote scripts/algo.yaml" in shell.run("init", "scripts/train.py")
    assert "command: python train.py" in (shell.folder / "scripts/algo.yaml").read_text()


def test_init_says_on_the_terminal_what_it_found_and_what_has_to_be_done(shell: Shell) -> None:
    options = '("--lr", type=float, default=0.01)', '("--seed", type=int, default=1)', '("--vocabulary", required=True)'
    shell.write("options.py", "".join(f"parser.add_argument{option}\n" for option in options) + 'print(f"loss: {1}")')
    out = shell.run("init", "options.py", "--output", "other.yaml")
    assert "  found      3 parameters in argparse\n  searched   lr\n  left alone seed\n" in out
    assert "  objective  minimize loss (in its output)\n" in out
    assert "note: the script needs --vocabulary, and no value is known: write it into command." in out


def test_notes_of_init_are_broken_between_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "options.py"
    script.write_text("import lightning\nconfig = json.load(open('config.json'))\nTrainer(logger=False)\n")
    monkeypatch.setattr("hpo_engine.cli.common.output_width", lambda: 60)
    out = CliRunner().invoke(cli, ["init", str(script)]).output
    notes = out[out.index("note: ") : out.index("next  ")].splitlines()
    assert max(map(len, notes)) <= 60
    assert " ".join(notes) == "note: " + find(str(script), script.read_text()).remarks[0]


def test_slips_in_a_command_or_a_verb(shell: Shell) -> None:
    shell.refuses("sumbit", "algo.yaml", words='No such command "sumbit"; did you mean "submit"')
    shell.refuses("submit", "train.py", words="train.py looks like a script|train.py: looks like a script")
    algo = (shell.folder / "algo.yaml").read_text()
    for command in ("~/x/python train.py", "[~/x/python, train.py]", "~/run.sh"):
        shell.write("tilde.yaml", algo.replace("command: python train.py", f"command: {command}"))
        said = shell.refuses("submit", "tilde.yaml", words=r'command: "~/.*" begins with ~, .*; write "/.*"')
        assert len(said.splitlines()) == 1


def test_what_the_machine_makes_of_parallel(shell: Shell) -> None:
    cores = len(os.sched_getaffinity(0))
    algo = (shell.folder / "algo.yaml").read_text()
    shell.write("algo.yaml", f"{algo}trial: {{cpus: {cores}}}\n")
    shell.run("submit", "algo.yaml", "--trials", "2", "--parallel", "2")
    told = f"1 trial at a time, not 2: {cores} core{'s' * (cores != 1)} each of {cores}"
    assert [note for note in notes(shell) if "at a time" in note] == [told]


@pytest.mark.parametrize(("parallel", "told"), [(30, True), (4, False), (1, False)])
def test_many_trials_at_a_time_take_many_times_the_memory(parallel: int, told: bool) -> None:
    spec = random_logs.spec(resources=Resources(parallel), budget=Budget(None))
    found = list(forecast.at_once(spec, parallel, 2, 0))
    line = "30 trials at a time share 2 cores and need the memory of 30; with --parallel 2 each has a core to itself"
    assert found == ([line] if told else [])
    shared = replace(spec, resources=Resources(parallel, None, 0.5))
    assert bool(list(forecast.at_once(shared, 2, 2, 1))) == (parallel > 2)
