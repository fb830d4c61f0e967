"""Placeholders of a study file: what is refused, what is noted, and what is read back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpo_engine.study.spec import StudySpec
from hpo_engine.studyfile import native
from hpo_engine.studyfile.document.yamltext import dump
from tests.support.native import folder, parse, problems

__all__ = ["folder"]
SPACE = """\
space:
  lr: {float: [0.1, 1.0], arg: -l}
  optimizer: {choice: [sgd, adam]}
  momentum: {float: [0.1, 0.9], when: {optimizer: sgd}}
"""


def study(command: str, more: str = "") -> str:
    return f"command: {command}\nobjective: minimize loss\n{SPACE}{more}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (study("python train.py {lrr}"), 'algo.yaml:1: command: {lrr} names no parameter; did you mean "lr"?'),
        (study("python train.py x{params}"), "algo.yaml:1: command: {params} stands for several words"),
        (study("'{momentum} train.py'"), "a trial without momentum would have no program to run"),
        (
            study('["{momentum?python}", train.py]'),
            "{momentum?python} may be no word at all, so that there is no program",
        ),
        (study('["{lr...}", train.py]'), "{lr...} may be no word at all"),
        (study("python train.py", 'env: {A: "{params}"}'), "algo.yaml:7: env.A: {params} stands for several words"),
        (study("python train.py", 'env: {A: "{lrr}"}'), "env.A: {lrr} names no parameter"),
        (study("python train.py", 'params_env: "A="'), "params_env: "),
        (study("python train.py", "params_env: HP_").replace("momentum", "LR"), "LR and lr would both be HP_LR"),
        (study("python train.py <lr>"), "<lr> is not filled in; write {lr}"),
        (study("python train.py { lr }"), "{ lr } is not filled in; write {lr}"),
        (study("python train.py {lr[0]}"), "{lr[0]} is not filled in; write {lr}"),
        (study("python train.py {lr:.3f}"), "{lr:.3f} is not filled in; write {lr}"),
        (study("python train.py {LR}"), '{LR} names no parameter; did you mean "lr"?'),
        (study("python train.py {lr?}"), "{lr?} lacks what to write if lr is true"),
        (study("python train.py {params:--lr}"), "{params:--lr} must be {params:--name=value}"),
        (
            study("python train.py", "params_env: RESULT_").replace("momentum", "dir"),
            "params_env: dir would be in RESULT_DIR, which is set by the engine; choose another name",
        ),
        (
            study("python train.py", "params_env: HPO_RESUME_").replace("momentum", "from"),
            "from would be in HPO_RESUME_FROM",
        ),
        (
            study("python train.py", "params_env: P").replace("momentum", "ath"),
            "ath would be in PATH, which programs need",
        ),
        (
            study("python train.py", "env: {DATA_DIR: /data}"),
            "algo.yaml:7: env.DATA_DIR: is set by the engine, to what data_dir says; choose another name",
        ),
        *(
            (study("python train.py", f"env: {{{name}: x}}"), f"env.{name}: is set by the engine; choose another name")
            for name in (
                "RESULT_DIR",
                "LOG_DIR",
                "SUBID",
                "TRAINING_ID",
                "JOB_STATE_DIR",
                "PWD",
                "HPO_ATTEMPT",
                "HPO_RESUME_FROM",
                "HPO_ENGINE_ROOT",
                "HPO_FAILPOINT",
                "DLI_EXECID",
                "DLI_RESULT_FS",
            )
        ),
    ],
)
def test_what_cannot_be_filled_is_refused_in_one_line(text: str, said: str, folder: Path) -> None:
    (found,) = problems(text, folder)
    assert said in found


@pytest.mark.parametrize(
    ("command", "more", "noted"),
    [
        ("python train.py --lr {lr}", "", "momentum, optimizer: only in config.json"),
        ("python train.py", 'env: {LR: "{lr}"}', "momentum, optimizer: only in config.json"),
        ("python train.py --lr {lr} {params}", "", ""),
        ("python train.py --lr {lr}", "params_env: HP_", ""),
        ("python train.py", "", ""),
    ],
)
def test_parameters_that_are_placed_nowhere_are_noted(command: str, more: str, noted: str, folder: Path) -> None:
    notes = [note for note in parse(study(command, more), folder).notes if "config.json" in note]
    assert [note.startswith(noted) for note in notes] == ([True] if noted else [])


def test_which_script_runs_may_depend_on_the_trial(folder: Path) -> None:
    assert parse(study("python '{optimizer}.py' {params}"), folder).command[1] == "{optimizer}.py"
    assert parse(study("sh './run-{optimizer}.sh' {params}"), folder).command[1] == "./run-{optimizer}.sh"


def test_a_placeholder_in_the_text_of_a_program_is_noted(folder: Path) -> None:
    (note, *_) = parse(study("sh -ec 'python train.py --lr {lr}'"), folder).notes
    assert note.startswith("command: {lr} stays as it is")


def test_the_resource_and_what_every_trial_has_can_be_placed(folder: Path) -> None:
    command = "python train.py {epochs} {trial} {study} {seed} {result_dir} {log_dir} {data_dir}"
    assert parse(study(command, "resource: {name: epochs, max: 9}"), folder).command[2] == "{epochs}"


def test_it_is_written_as_it_was_read(folder: Path) -> None:
    more = 'env: {A: "{lr}"}\nparams_env: HP_'
    spec = parse(study("python train.py {params:name=value} '{{lr}}'", more), folder)
    assert (spec.spellings, spec.params_env) == ({"lr": "-l"}, "HP_")
    assert parse(dump(native.to_native(spec)), folder) == spec
    assert StudySpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ("{c.yaml: {lrr: lr}}", 'files.c.yaml: "c.yaml" has no lrr; did you mean "lr"? (+lrr adds it)'),
        ("{c.yaml: {lr: lrr}}", 'files.c.yaml: "c.yaml" is to get lrr, which is no parameter; did you mean "lr"?'),
        ("{d.yaml: {lr: lr}}", 'files.d.yaml: "d.yaml" cannot be read: No such file'),
        ('{c.yaml: {lr: "{lrr}"}}', 'files.c.yaml: "c.yaml" {lrr} names no parameter; did you mean "lr"?'),
        ("{../c.yaml: {lr: lr}}", "files.../c.yaml: must be a path in the script's folder"),
        ("{/c.yaml: {lr: lr}}", "must be a path in the script's folder"),
        ("{config.json: {lr: lr}}", "files.config.json: is config.json, which has all parameters anyway"),
        ("{t.txt: {lr: lr}}", 'files.t.txt: "t.txt" cannot set values in t.txt; known are .cfg'),
        ("{x: {template: none.in}}", 'files.x: "none.in" cannot be read: No such file'),
        ("{x: {template: t.txt}}", 'files.x: "t.txt" {lrr} names no parameter'),
        ("{b.yaml: {lr: lr}}", 'files.b.yaml: "b.yaml" is not text in UTF-8'),
        ("c.yaml", 'files: must be a mapping, not "c.yaml"'),
        ("{c.yaml: lr}", 'files.c.yaml: must be a mapping, not "lr"'),
        ("{c.yaml: {lr: 3}}", "files.c.yaml.lr: must be text, not 3"),
        ("{c.yaml: {lr.x: lr}}", '"c.yaml" has a single value where lr.x asks for x'),
        ("{c.yaml: {lr: lr, +lr: optimizer}}", '"c.yaml" is to get two values at lr'),
        ("{c.yaml: {'+': lr}}", '"c.yaml" has no key without a name'),
        ("{a.yaml: {a.lr: lr, b.lr: lr}}", '"a.yaml" is to get two values in one place (by an alias, or'),
        ("{empty.yaml: {lr: lr}}", '"empty.yaml" is empty'),
        ("{c.yaml: {template: c.yaml, lr: lr}}", '"c.yaml" is to get c.yaml, which is no parameter'),
        ("{x: {template: /etc/passwd}}", 'files.x: template must be a path in the script\'s folder, not "/etc/passwd"'),
        ("{x: {template: ../a/c.yaml}}", "template must be a path in the script's folder"),
        ("{x: {template: sub}}", 'files.x: "sub" is not a regular file'),
        ("{sub: {template: c.yaml}}", 'files.sub: "sub" is a folder'),
        ("{x: {template: pipe}}", 'files.x: "pipe" is not a regular file'),
        ("{null.yaml: {lr: lr}}", 'files.null.yaml: "null.yaml" is not a regular file'),
        ("{big.yaml: {lr: lr}}", 'files.big.yaml: "big.yaml" is too big (300,006 bytes, at most 262,144)'),
        ('{"c\\n.yaml": {lr: lr}}', "must be a path in the script's folder"),
        ("{none/x: {template: c.yaml}}", 'files.none/x: there is no folder "none" in'),
        ("{c.yaml/x: {template: c.yaml}}", 'files.c.yaml/x: there is no folder "c.yaml" in'),
        ("{link/c.yaml: {lr: lr}}", 'files.link/c.yaml: "link" is a link or in one'),
    ],
)
def test_files_that_cannot_take_the_values_are_refused(files: str, said: str, folder: Path, tmp_path: Path) -> None:
    (folder / "c.yaml").write_text("lr: 1\n")
    (folder / "b.yaml").write_bytes(b"lr: \xff\n")
    (folder / "t.txt").write_text("{lrr}\n")
    (folder / "a.yaml").write_text("a: &a {lr: 1}\nb: *a\n")
    (folder / "big.yaml").write_text("lr: 1\n" + "#" * 300_000)
    (folder / "empty.yaml").touch()
    (folder / "null.yaml").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe")
    for place in (folder / "sub", tmp_path / "elsewhere"):
        place.mkdir()
        (place / "c.yaml").write_text("lr: 1\n")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (found,) = problems(study("python train.py", f"files: {files}"), folder)
    assert said in found


def test_files_are_written_as_they_were_read(folder: Path) -> None:
    (folder / "c.yaml").write_text("lr: 1\nname: a\n")
    (folder / "t.in").write_text("{optimizer}\n")
    text = study("python train.py", 'files: {c.yaml: {lr: lr, name: "{trial}-{momentum}"}, t: {template: t.in}}')
    spec = parse(text, folder)
    assert [file.names for file in spec.files] == [("lr", "momentum"), ("optimizer",)]
    assert not [note for note in spec.notes if "config.json" in note]
    assert parse(dump(native.to_native(spec)), folder) == spec
    assert StudySpec.from_json(spec.to_json()) == spec
