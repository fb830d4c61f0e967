"""Studies on folders as people have them: outputs of earlier runs, a config.json, links that lead out."""

from __future__ import annotations

import json
import os
import venv
from pathlib import Path

import pytest

from tests.support.shell import Shell

SCRIPT = """\
import json, os
config = json.load(open("config.json"))
seen = sorted(os.path.join(f, n)[2:] for f, _, names in os.walk(".") for n in names)
json.dump({"config": config, "seen": seen}, open("seen.json", "w"))
json.dump([{"loss": config["x"]}], open("val_dict_list.json", "w"))
"""
ALGO = """\
command: python train.py
objective: minimize loss
algorithm: random
options: {seed: 1}
trials: 2
space: {x: {float: [0, 2]}}
"""


@pytest.fixture
def folder(shell: Shell) -> Shell:
    shell.write("train.py", SCRIPT)
    shell.write("algo.yaml", ALGO)
    return shell


def seen(shell: Shell, trial: int = 0) -> dict[str, object]:
    found: dict[str, object] = json.loads(shell.result(trial, "seen.json").read_text())
    return found


def put(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def notes(shell: Shell) -> list[str]:
    return [line.removeprefix("hpo-engine: note: ") for line in shell.err.splitlines() if "note: " in line]


@pytest.mark.slow
def test_outputs_of_earlier_runs_are_told_and_left_out_or_not(folder: Shell) -> None:
    for name in ("lightning_logs/version_0/hparams.yaml", "wandb/run-1-a/x.wandb", "checkpoints/last.ckpt", "old.pt"):
        put(folder.folder / name)
    folder.run("submit", "algo.yaml")
    assert seen(folder)["seen"] == ["algo.yaml", "checkpoints/last.ckpt", "config.json", "old.pt", "train.py"]
    left, maybe = notes(folder)
    assert left.startswith(
        "not copied (earlier runs wrote it): lightning_logs/ (1 file, 1 byte), wandb/ (1 file, 1 byte)"
    )
    assert maybe.endswith('to leave it out: exclude: [checkpoints/, "*.pt"]')
    folder.run("submit", "algo.yaml")
    assert notes(folder) == []  # once
    line = maybe.partition("to leave it out: ")[2]
    folder.write("algo.yaml", f"{ALGO}{line}\n")
    folder.run("submit", "algo.yaml", "--name", "my-study", code=2)
    assert 'exclude: none -> ["checkpoints/", "*.pt"]' in folder.err
    folder.run("remove", "my-study", "--yes")
    folder.write(".hpoignore", "!lightning_logs/\nalgo.*\n")
    folder.run("submit", "algo.yaml")
    assert seen(folder)["seen"] == [".hpoignore", "config.json", "lightning_logs/version_0/hparams.yaml", "train.py"]


@pytest.mark.slow
def test_patterns_that_leave_the_script_out_are_refused(folder: Shell) -> None:
    for command in ("python train.py", f"[python, {folder.folder}/train.py]", "python ./train.py"):
        folder.write("algo.yaml", ALGO.replace("python train.py", command) + 'exclude: "*.py"\n')
        folder.refuses("submit", "algo.yaml", words=r'exclude: ".*train.py", which the command runs, is left out by it')
    assert not (folder.folder / "hpo-runs/my-study").exists()


@pytest.mark.by_default(1)
@pytest.mark.parametrize(
    ("files", "more", "words"),
    [
        ("{conf/a.yaml: {lr: x}}", 'exclude: "*.yaml"', r'files.conf/a.yaml: "conf/a.yaml" is left out by exclude or'),
        ("{conf/a.yaml: {lr: x}}", "exclude: conf/", r'"conf/a.yaml" is left out by exclude'),
        ("{run.txt: {template: run.in}}", "exclude: run.in", r'files.run.txt: "run.in" is left out by exclude'),
        ("{conf/run.txt: {template: run.in}}", "exclude: conf/", r'the folder "conf" is not copied'),
        ("{venv/a.yaml: {lr: x}}", "", r'"venv/a.yaml" is not copied'),
    ],
)
@pytest.mark.parametrize("verb", [["submit", "algo.yaml"], ["submit", "algo.yaml", "--dry-run"]], ids=["", "dry"])
def test_files_with_values_that_are_not_copied_are_refused(
    folder: Shell, files: str, more: str, words: str, verb: list[str]
) -> None:
    for name in ("conf/a.yaml", "venv/a.yaml", "venv/pyvenv.cfg"):
        put(folder.folder / name, "lr: 1\n")
    put(folder.folder / "run.in", "{x}")
    folder.write("algo.yaml", f"{ALGO}files: {files}\n{more}\n")
    folder.refuses(*verb, words=words)
    assert not (folder.folder / "hpo-runs/my-study").exists()


@pytest.mark.slow
def test_a_config_of_the_project_is_missed_in_words_or_the_base(folder: Shell) -> None:
    folder.write("config.json", '{"depth": 3, "x": 99, "net": {"width": 4}, "seed": null}')
    folder.run("submit", "algo.yaml")
    assert set(seen(folder)["config"]) == {"x"}  # type: ignore[call-overload]
    assert notes(folder) == [
        "config.json of model_dir is not used: depth, net, seed are missing in the trials' config.json, which holds only "
        "the study's parameters; to start from it: base_config: config.json"
    ]
    folder.write("algo.yaml", f"{ALGO}base_config: config.json\n")
    folder.run("submit", "algo.yaml", "--name", "based")
    assert notes(folder) == []
    folder.run("best", "based", "--config")
    whole = json.loads(folder.run("best", "based", "--config"))
    trial = folder.json("best", "based")["trial"]
    own = json.loads((folder.folder / f"hpo-runs/based/results/{trial}/config.json").read_text())
    assert whole == own == {"depth": 3, "x": own["x"], "net": {"width": 4}, "seed": None}
    assert list(own) == ["depth", "x", "net", "seed"] and own["x"] < 2
    assert set(folder.json("best", "based")["params"]) == {"x"}
    folder.write("config.json", '{"depth": 4}')  # edits change nothing, and are told
    folder.run("submit", "algo.yaml", "--name", "based", "--trials", "3")
    assert "config.json changed since the study was made" in folder.err
    assert json.loads((folder.folder / "hpo-runs/based/results/2/config.json").read_text())["depth"] == 3


@pytest.mark.by_default(1)
@pytest.mark.parametrize("text", ["[1, 2]", "not json", '{"x": 5}', "{}"])
def test_a_config_that_trials_miss_nothing_of_is_not_mentioned(folder: Shell, text: str) -> None:
    folder.write("config.json", text)
    folder.run("submit", "algo.yaml", "--trials", "1")
    assert notes(folder) == []


@pytest.mark.by_default(3)
@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("none.json", "", r"algo.yaml:7: base_config: there is no file .*/none.json"),
        ("../far.json", "{}", r"algo.yaml:7: base_config: .*/far.json is not in model_dir"),
        ("conf/base.json", "[1]", r"base_config: .*/conf/base.json is not a JSON object"),
        ("conf/base.json", '{"a": 1,\n b: 2}', r"base_config: .*/conf/base.json:2: not valid JSON: "),
        ("conf/base.json", '{"a": NaN}', r"base_config: .*/conf/base.json:1: not valid JSON: NaN is not a number"),
        ("conf/base.json", "[" * 100_000, r"base_config: .*/conf/base.json:1: nested deeper than 20 levels"),
        ("conf/base.json", f'{{"a":\n{"9" * 5000}}}', r"base_config: .*/conf/base.json:2: a number of 5000 digits"),
        ("conf/base.json", f'{{"a": [-{"9" * 401}]}}', r"base_config: .*/conf/base.json:1: a number of 402 digits"),
        ("conf/base.json", '{"a": 1e999}', r"base_config: .*/conf/base.json:1: .*1e999"),
        ("conf/base.json", '{"a": 1,\n"a": 2}', r'base_config: .*/conf/base.json:2: duplicate key "a"'),
        ("conf/base.json", " ", r"base_config: .*/conf/base.json:1: not valid JSON"),
    ],
)
def test_a_base_that_cannot_be_one_is_refused(folder: Shell, name: str, text: str, words: str) -> None:
    if text:
        put(folder.folder / name, text)
    folder.write("algo.yaml", f"{ALGO}base_config: {name}\n")
    folder.refuses("submit", "algo.yaml", words=words)
    assert not (folder.folder / "hpo-runs/my-study").exists()


def test_a_base_may_be_any_json_file_of_the_folder(folder: Shell) -> None:
    put(folder.folder / "conf/base.json", '\ufeff{"größe": 1, "x": 7}')
    folder.write("algo.yaml", f"{ALGO}base_config: conf/base.json\n")
    folder.run("submit", "algo.yaml", "--trials", "1")
    found = seen(folder)
    assert found["config"] == {"größe": 1, "x": found["config"]["x"]}  # type: ignore[index]
    assert "conf/base.json" in found["seen"]  # type: ignore[operator]


OUT = """\
import json, os
x = json.load(open("config.json"))["x"]
me = os.environ["SUBID"]
for place in ("outputs", "deep/results", os.environ["SCRATCH"], os.environ["DATA_DIR"] + "/sub"):
    os.makedirs(place, exist_ok=True)
    with open(f"{place}/{me}.txt", "a") as out:
        out.write("written\\n")
with open("shared.log", "r+b") as big:
    big.write(b"changed")
json.dump([{"loss": x}], open("val_dict_list.json", "w"))
"""


def test_a_trial_may_do_outside_its_folder_what_the_user_can(folder: Shell, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    for name in ("out/sub", "more", "data/sub"):
        (scratch / name).mkdir(parents=True)
    with open(scratch / "big.log", "wb") as file:
        file.truncate(70 << 20)  # too big to be copied
    os.symlink(scratch / "out", folder.folder / "outputs")
    os.mkdir(folder.folder / "deep")
    os.symlink("../../scratch/more", folder.folder / "deep/results")
    os.symlink(scratch / "data", folder.folder / "data")
    os.symlink(scratch / "big.log", folder.folder / "shared.log")
    with open(folder.folder / "own.bin", "wb") as file:
        file.truncate(70 << 20)  # linked by freezing: protected, and with it nothing else
    folder.write("train.py", OUT)
    folder.write("algo.yaml", f"{ALGO}data_dir: data\nenv: {{SCRATCH: {scratch}/out/sub}}\n")
    assert folder.json("submit", "algo.yaml")["counts"] == {"completed": 2}
    for name in ("out/0.txt", "more/1.txt", "out/sub/0.txt", "data/sub/1.txt"):
        assert (scratch / name).read_text() == "written\n"
    with open(scratch / "big.log", "rb") as file:
        assert file.read(7) == b"changed"


@pytest.mark.by_default(1)
@pytest.mark.parametrize("warm", ["auto", "off"])
def test_what_freezing_linked_cannot_be_changed_by_a_trial(folder: Shell, warm: str) -> None:
    with open(folder.folder / "own.bin", "wb") as file:
        file.truncate(70 << 20)
    os.chmod(folder.folder / "own.bin", 0o444 if os.geteuid() else 0o644)
    folder.write("train.py", 'open("own.bin", "r+b").write(b"changed")\n')
    folder.write("algo.yaml", f"{ALGO}trial: {{preload: {warm}}}\n")
    folder.run("submit", "algo.yaml", "--trials", "1", code=3)
    with open(folder.folder / "own.bin", "rb") as file:
        assert file.read(7) == bytes(7)


EDITOR = """\
import json, os, sys
import part, pack
conf = json.load(open(sys.argv[1]))["c"]
x = json.load(open("config.json"))["x"]
json.dump([{"loss": x, "part": part.v, "pack": pack.v, "conf": conf, "env": json.load(open(os.environ["CONF"]))["c"]}],
          open("val_dict_list.json", "w"))
top = os.environ["TOP"]  # the user edits meanwhile
for name in ("lib/part.py", "src/pack/__init__.py"):
    open(f"{top}/{name}", "w").write("v = 2")
open(f"{top}/conf/c.json", "w").write('{"c": 2}')
open(f"{top}/train.py", "w").write("raise SystemExit('edited')")
"""


@pytest.mark.by_default("auto")
@pytest.mark.parametrize("warm", ["auto", "off"])
def test_edits_change_nothing_whatever_leads_back_to_the_original(folder: Shell, tmp_path: Path, warm: str) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    (site,) = (tmp_path / "env").glob("lib/python3*/site-packages")
    top = folder.folder
    (site / "__editable__.pack-1.0.pth").write_text(f"{top}/src\n")
    for name in ("lib/part.py", "src/pack/__init__.py"):
        put(top / name, "v = 1")
    put(top / "conf/c.json", '{"c": 1}')
    folder.write("train.py", EDITOR)
    folder.write(
        "algo.yaml",
        f"""\
command: [python, {top}/train.py, {top}/conf/c.json]
interpreter: ../env/bin/python
objective: minimize loss
algorithm: random
trials: 3
space: {{x: {{float: [0, 1]}}}}
trial: {{preload: {warm}}}
env: {{CONF: {top}/conf/c.json}}
""",
    )
    folder.env |= {"TOP": str(top), "PYTHONPATH": f"{top}/lib:{folder.env['PYTHONPATH']}"}
    assert folder.json("submit", "algo.yaml")["counts"] == {"completed": 3}
    for trial in range(3):
        (row,) = json.loads(folder.result(trial, "val_dict_list.json").read_text())
        assert {k: v for k, v in row.items() if k != "loss"} == {"part": 1, "pack": 1, "conf": 1, "env": 1}
    assert ("preload: " in folder.err) == (warm == "auto")


@pytest.mark.slow
def test_what_still_leads_to_the_original_is_said_once(folder: Shell, tmp_path: Path) -> None:
    put(tmp_path / "far/train.py", SCRIPT)
    folder.write("algo.yaml", ALGO.replace("train.py", f"{tmp_path}/far/train.py"))
    folder.run("submit", "algo.yaml", "--trials", "1")
    assert notes(folder) == [
        f"{tmp_path}/far/train.py is outside model_dir and not copied: what is edited there changes trials that begin later"
    ]
    folder.run("submit", "algo.yaml")
    assert notes(folder) == []


@pytest.mark.slow
def test_an_interpreter_in_the_folder_is_used_where_it_is(folder: Shell) -> None:
    venv.create(folder.folder / ".venv", with_pip=False)
    for name, python in (("relative", ".venv/bin/python"), ("absolute", f"{folder.folder}/.venv/bin/python")):
        folder.write("algo.yaml", ALGO.replace("python train.py", f"[{python}, train.py]"))
        assert folder.json("submit", "algo.yaml", "--name", name)["counts"] == {"completed": 2}


@pytest.mark.slow
def test_big_files_that_are_linked_are_told_and_watched(folder: Shell) -> None:
    big = folder.folder / "big.bin"
    with big.open("wb") as file:
        file.truncate(70_000_000)
    folder.run("submit", "algo.yaml")
    assert notes(folder) == [
        "linked, not copied, for its size: big.bin (70 MB): changes to it reach later trials; keep it where it is"
    ]
    folder.run("submit", "algo.yaml", "--trials", "3")
    assert notes(folder) == []  # it is as it was
    os.utime(big, ns=(1, 1))
    for words in (["submit", "algo.yaml", "--trials", "4"], ["resume", "my-study"], ["retry", "my-study", "--failed"]):
        folder.run(*words)
        told = f"changed since: {big} (later trials see it as it is now)"
        assert notes(folder) == [f"of the big files that the study links to, {told}"]
    big.unlink()
    folder.run("resume", "my-study", "--trials", "5")
    assert notes(folder) == [f"of the big files that the study links to, missing: {big} (put back what trials need)"]


def test_what_patterns_leave_out_is_told(folder: Shell) -> None:
    put(folder.folder / "notes/a.txt")
    put(folder.folder / "notes/b.txt")
    put(folder.folder / "old.log")
    folder.write("algo.yaml", ALGO + "exclude: [notes/]\n")
    folder.write(".hpoignore", "*.log\n")
    folder.run("submit", "algo.yaml")
    left = "notes/ (2 files, 2 bytes), old.log (1 file, 1 byte)"
    assert notes(folder) == [f"left out by exclude or a .hpoignore: {left}"]
