"""Words of a command that are meant for a shell or for a tool that fills in placeholders; and those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_engine.studyfile.foreign import in_arguments, in_command, in_environment
from tests.support.native import folder, parse, problems, small

__all__ = ["folder"]
NAMES = ("lr", "batch size")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python train.py > log.txt", '">": no shell runs the command; what a trial prints is kept anyway'),
        ("python train.py >log 2>&1", '">log", "2>&1": no shell runs the command'),
        ("python train.py &> log", '"&>": no shell runs'),
        ("python train.py 2> err.txt", '"2>": no shell runs'),
        ("python train.py < in.txt", 'write command: [sh, -c, "python train.py < in.txt"]'),
        ("python train.py <<< yes", '"<<<": no shell runs'),
        ("python train.py | tee log", '"|": no shell runs'),
        ("python train.py && echo done", '"&&": no shell runs'),
        ("python train.py || true", '"||": no shell runs'),
        ("python train.py; echo done", '"train.py;": no shell runs'),
        ("python train.py ; echo done", '";": no shell runs'),
        ("python train.py &", '"&": no shell runs'),
        ("nohup python train.py&", '"train.py&": no shell runs'),
        ("python prep.py&&python train.py", '"prep.py&&python": no shell runs'),
        ("A=1 B='x y' python train.py", 'write env: {A: "1", B: "x y"}'),
        ("export A=1", 'write env: {A: "1"}'),
        ("cd sub && python train.py", "write model_dir: sub"),
        ("source venv/bin/activate && python train.py", "write interpreter: venv/bin/python"),
        (". venv/bin/activate; python train.py", "write interpreter: venv/bin/python"),
        ("conda activate env && python train.py", "write interpreter: with the path of its bin/python"),
        ("python prep.py\npython train.py", 'several commands, the second one begins with "python"'),
        ("python train.py --lr=${lr}", "${lr} is not filled in; write {lr}"),
        ("python train.py --lr $lr", "$lr is not filled in"),
        ("python train.py --lr {{ hp.lr }}", "{{ hp.lr }} is not filled in"),
        ("python train.py --lr {lr:.4f}", "{lr:.4f} is not filled in; write {lr}"),
        ("python train.py --lr %lr%", "%lr% is not filled in"),
        ("python train.py --lr %(lr)s", "%(lr)s is not filled in"),
        ("python train.py --lr <lr>", "<lr> is not filled in"),
        ("python train.py --lr ${trialParameters.lr}", "${trialParameters.lr} is not filled in; write {lr}"),
        ("python train.py ${args}", "${args} is not filled in; write {params}"),
    ],
)
def test_what_can_only_be_meant_for_somebody_else_is_refused_with_the_remedy(command: str, said: str) -> None:
    found = in_command(command, NAMES, "/nowhere")
    assert any(said in problem for problem in found.problems), found
    assert len(found.problems) == 1, "one mistake, one message"


@pytest.mark.parametrize(
    "command",
    [
        "python train.py --epochs 5 -v --path a/b.c --x=1,2 -- -y",
        "python train.py '>' \"|\" \\& 'a && b' '$HOME' '`x`' \\$HOME",
        "sh -c 'cd sub && A=1 python train.py --lr $lr > log 2>&1 | tee x; `date`'",
        'bash -lc "python train.py > log"',
        "env A=1 python train.py",
        "python -c 'print(f\"{lr}\")'",
        "node -e 'console.log(`${lr}`)'",
        "python train.py --url http://host/?a=1&b=2 --where a>1 --or a|b --range 1..2 --pattern ^a$",
        "python train.py --json '{\"lr\": 1}' --set optimizer={lr:0.1} --name {other} --percent 5%",
        "python train.py \\\n  --epochs 3 \\\n  --seed 1\n",
        "python train.py\n  --epochs 3\n",
        "python train.py --lr 0.1 lr {} [lr] (lr) -> -lr --lr",
        "python train.py --lr {lr} --other={{lr}} {params}",
        "python train.py --unclosed 'x > y",
        "",
    ],
)
def test_what_a_script_may_be_given_is_let_through(command: str) -> None:
    found = in_command(command, NAMES, "/nowhere")
    assert not found.problems and not found.notes


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python train.py --data $HOME/x", '"$HOME/x" is passed on with its $HOME: no shell runs'),
        ('python train.py --data "${DATA_DIR}/x"', "with its ${DATA_DIR}"),
        ("python train.py --now `date`", "with its `...`"),
        ("python train.py --now $(date +%s)", "with its $(...)"),
        ("python train.py --all $@;", "with its $@"),
    ],
)
def test_what_a_shell_would_replace_is_noted(command: str, said: str) -> None:
    found = in_command(command, NAMES, "/nowhere")
    assert not found.problems and len(found.notes) == 1 and said in found.notes[0]


def test_a_list_has_no_shell_and_only_placeholders_are_noted() -> None:
    assert in_command(["python", "train.py", ">", "$HOME", "|", "A=1"], NAMES, "/").notes == ()
    found = in_command(["python", "train.py", "--lr", "<lr>", "${lr}"], NAMES, "/")
    assert not found.problems and [note.split()[0] for note in found.notes] == ["<lr>", "${lr}"]
    assert in_command(["sh", "-c", "python train.py --lr $lr {lr}"], NAMES, "/") == in_command(["x"], NAMES, "/")


def test_file_names_that_a_shell_would_have_filled_in_are_noted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    notes = in_command("python train.py *.csv b?.csv ~/data '*.csv' --x=*.csv", NAMES, str(tmp_path)).notes
    assert [note.split('"')[1] for note in notes] == ["*.csv", "~/data"]


def test_arguments_and_variables_are_only_noted() -> None:
    assert in_arguments(["--lr", "${lr}", ">", "log"], NAMES)[1] == (
        '">": handed over to the script as written; no shell reads it'
    )
    assert in_arguments(["--lr", "0.1", "a>b"], NAMES) == ()
    assert in_environment({"A": "$HOME/x", "B": "<lr>", "C": "1 > 2", "D": "{lr}"}, NAMES) == (
        "env.A: $HOME is not replaced: no shell reads the value",
        "env.B: <lr> is not filled in; write {lr}",
    )


def test_the_study_file_tells_them_with_their_line(folder: Path) -> None:
    found = problems(small(command="python train.py --lr <lr> > log"), folder)
    assert [line.split(": ", 2)[:2] for line in found] == [["algo.yaml:1", "command"]] * 2
    assert len(problems(small(command="A=./x/y python train.py"), folder)) == 1
    epochs = small("resource: {name: epochs, max: 3}", command="python train.py $epochs")
    assert problems(epochs, folder)[0].startswith("algo.yaml:1: command: $epochs is not filled in")
    listed = parse(small('env: {A: "$B"}', command='[python, train.py, "<lr>", ">"]'), folder)
    assert listed.command[2:] == ("<lr>", ">") and len(listed.notes) == 2


@pytest.mark.parametrize("text", ["$" * 5000, "{lr" * 3000, "'" + "x" * 10000, "@lr" * 3000, "[" * 5000 + " *" * 2000])
def test_odd_texts_take_no_time(text: str, tmp_path: Path) -> None:
    in_command(text, [f"p{i}" for i in range(300)], str(tmp_path))
