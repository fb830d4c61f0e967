"""What of a script's folder is not copied: patterns held against git's own reading of them, and what only runs write."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from hpo_engine.contract.snapshot import freeze, notes
from hpo_engine.contract.snapshot.found import Found
from hpo_engine.errors import SpecError
from tests.support.helpers import put

NAMES = ("a", "b", "c.py", "d.log", "data", "#x", "!y", "z z")
LINES = (
    "a", "/a", "a/", "/a/", "b", "*.py", "*.log", "data", "data/*", "/data/*", "**/b", "a/**", "a/**/b", "data/a", "*",
    "/*", "*/", "!*/", "!a", "!/a", "!a/", "!*.py", "!data/a", "!b", "\\#x", "\\!y", "#x", "!y", "z z", "z\\ z", "z z  ",
    "?", "[ab]", "[!a]", "d.*", "", "  ", "data/**/c.py", "**", "**/a/", "a*", "!**/c.py", "a/b", "/b/a", "!data/",
)  # fmt: skip


def kept(top: Path) -> set[str]:
    found = set()
    for folder, _, files in os.walk(top):
        found |= {os.path.relpath(os.path.join(folder, name), top) for name in files}
    return {name for name in found if os.path.basename(name) not in (".hpoignore", ".gitignore")}


def frozen(source: Path, tmp_path: Path, *patterns: str) -> tuple[set[str], Found]:
    target = tmp_path / "model"
    shutil.rmtree(target, ignore_errors=True)
    found = freeze(str(source), str(target), patterns=patterns)
    return kept(target), found


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
@pytest.mark.parametrize("seed", range(12))
def test_patterns_mean_what_they_mean_to_git(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    source = tmp_path / "source"
    for _ in range(60):
        path = source.joinpath(*(chance.choice(NAMES) for _ in range(chance.randint(1, 4))))
        if not path.exists() and not any(parent.is_file() for parent in path.parents):
            put(str(path), "x")
    folders = [source, *(p for p in source.rglob("*") if p.is_dir() and chance.random() < 0.15)]
    for folder in folders:
        text = "\n".join(chance.choices(LINES, k=chance.randint(1, 5))) + "\n"
        for name in (".hpoignore", ".gitignore"):
            put(str(folder / name), text)
    own = chance.choices([line for line in LINES if line.strip()], k=chance.randint(0, 2))
    git = ["git", "-C", str(source), "-c", "core.excludesFile=/dev/null"]
    subprocess.run([*git, "init", "-q"], check=True)
    listed = ["ls-files", "-z", "--others", "--exclude-per-directory=.gitignore", *(f"--exclude={p}" for p in own)]
    out = subprocess.run([*git, *listed], check=True, capture_output=True, text=True).stdout
    expected = {n for n in out.split("\0") if n and os.path.basename(n) not in (".hpoignore", ".gitignore")}
    assert frozen(source, tmp_path, *own)[0] == expected


def test_the_fields_patterns_come_before_those_of_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("keep.log", "other.log", "sub/x.bin", "sub/y.bin", "crlf.tmp"):
        put(f"{source}/{name}", "x")
    put(f"{source}/.hpoignore", b"\xef\xbb\xbf*.log\r\n*.tmp\r\n# comment\r\n")
    put(f"{source}/sub/.hpoignore", "*.bin\n!y.bin\n")
    assert frozen(source, tmp_path)[0] == {"sub/y.bin"}
    assert frozen(source, tmp_path, "!keep.log", "y.bin")[0] == {"keep.log"}


def test_patterns_that_match_nothing_are_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    put(f"{source}/a.log", "x")
    put(f"{source}/.hpoignore", "nothing-here\n")
    _, found = frozen(source, tmp_path, "*.log", "chekpoints/", "!x", "# comment")
    left = "left out by exclude or a .hpoignore: a.log (1 file, 1 byte)"
    assert notes(found) == [left, "exclude: chekpoints/ matches nothing in model_dir"]


@pytest.mark.parametrize(("patterns", "file"), [(["ok", "a\\"], None), ([], "ok\n[\n!\n"), ([], None)])
def test_what_is_no_pattern_is_refused_with_its_place(patterns: list[str], file: str | None, tmp_path: Path) -> None:
    source = tmp_path / "source"
    put(f"{source}/train.py", "")
    if file is not None:
        put(f"{source}/.hpoignore", file)
    if not patterns and file is None:
        os.mkdir(source / ".hpoignore")
    with pytest.raises(SpecError) as caught:
        frozen(source, tmp_path, *patterns)
    expected = "exclude[1]: " if patterns else f"{source}/.hpoignore"
    assert expected in str(caught.value), str(caught.value)
    assert not (tmp_path / "model").exists()


# -- what only runs write ----------------------------------------------------------------------------------------------

RUNS = {  # what tools write into the folder that a script is run in, with the names that they use
    "lightning_logs/": [
        "version_0/hparams.yaml", "version_0/events.out.tfevents.17.host.1.0", "version_0/checkpoints/epoch=1.ckpt",
        "version_1/metrics.csv",
    ],
    "wandb/": [
        "run-20260101_000000-ab12cd34/run-ab12cd34.wandb", "run-20260101_000000-ab12cd34/files/code/train.py",
        "offline-run-20260102_000000-x/logs/debug.log", "debug.log", "debug-internal.log", "debug-cli.root.log",
    ],
    "mlruns/": ["0/meta.yaml", "0/9f3a/artifacts/model/code/net.py", ".trash/x"],
    "multirun/": ["2026-01-01/00-00-00/multirun.yaml", "2026-01-01/00-00-00/0/.hydra/config.yaml", "2026-01-01/00-00-00/0/a.pt"],
    ".hydra/": ["config.yaml", "hydra.yaml", "overrides.yaml"],
    "sub/.hydra/": ["config.yaml", "hydra.yaml"],
    ".neptune/": ["async/run__1/data-1.log"],
    ".aim/": ["meta/index"],
    ".guild/": ["runs/1/opref"],
    "catboost_info/": ["learn_error.tsv", "time_left.tsv", "learn/events.out.tfevents"],
    "dvclive/": ["metrics.json", "plots/metrics/loss.tsv"],
    "tb_logs/net/version_3/": ["hparams.yaml", "events.out.tfevents.1"],
}  # fmt: skip


@pytest.mark.parametrize("folder", RUNS)
def test_what_only_runs_write_stays_out_is_told_and_can_be_brought_back(folder: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    put(f"{source}/train.py", "")
    for name in RUNS[folder]:
        put(f"{source}/{folder}{name}", "x" * 1000)
    if folder == "wandb/":
        os.symlink("run-20260101_000000-ab12cd34", source / "wandb/latest-run")
    names, found = frozen(source, tmp_path)
    assert names == {"train.py"}
    assert not (tmp_path / "model" / folder).exists()
    count = len(RUNS[folder]) + (folder == "wandb/")
    (note,) = notes(found)
    assert note.startswith(f"not copied (earlier runs wrote it): {folder} ({count} file")
    back = folder.rstrip("/").rpartition("/")[2]
    names, found = frozen(source, tmp_path, f"!{back}/")
    assert names >= {"train.py", *(f"{folder}{name}" for name in RUNS[folder])}
    assert not any(note.startswith("not copied") for note in notes(found))
    put(f"{source}/.hpoignore", f"!/{folder}\n")
    assert frozen(source, tmp_path)[0] == names


def test_event_files_and_databases_of_runs_stay_out_wherever_they_are(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("train.py", "runs/Nov27_host/events.out.tfevents.1", "runs/b/events.out.tfevents.2", "mlflow.db",
                 "logs2/events.out.tfevents.3", "logs2/notes.txt", "data/events.csv"):  # fmt: skip
        put(f"{source}/{name}", "x")
    names, found = frozen(source, tmp_path)
    assert names == {"train.py", "logs2/notes.txt", "data/events.csv"}
    assert not (tmp_path / "model/runs").exists()  # it held nothing else
    assert notes(found) == [
        "not copied (earlier runs wrote it): events.out.tfevents.* (3 files, 3 bytes), mlflow.db (1 file, 1 byte); "
        'to copy one all the same: exclude: ["!events.out.tfevents.*"]'
    ]


@pytest.mark.parametrize(
    "files",
    [
        ["wandb/__init__.py", "wandb/run-x/part.py"],  # the user's own package
        ["wandb/settings"],  # what a run reads
        ["wandb/plots.csv"],
        ["lightning_logs/data.csv", "lightning_logs/more/data.csv"],
        ["lightning_logs/version_0/metrics.csv", "lightning_logs/read.py"],
        ["mlruns/table.csv"],
        ["multirun/inputs/a.csv"],
        ["multirun/sweep.sh", "multirun/multirun.yaml"],
        ["dvclive/code.py", "dvclive/metrics.json"],
        ["catboost_info/settings.json"],
        [".hydra/notes.txt"],
        ["version_2/weights.bin", "version_2/hparams.yaml"],
        ["runs/data.csv", "runs/a/b.txt"],
    ],
)
def test_a_folder_of_such_a_name_with_code_or_data_is_copied(files: list[str], tmp_path: Path) -> None:
    for name in files:
        put(f"{tmp_path}/source/{name}", "x")
    names, found = frozen(tmp_path / "source", tmp_path)
    assert names == set(files)
    assert not found.left_out


def test_settings_of_wandb_stay_while_its_runs_go(tmp_path: Path) -> None:
    for name in ("wandb/settings", "wandb/run-1/x.wandb", "wandb/debug.log"):
        put(f"{tmp_path}/source/{name}", "x")
    assert frozen(tmp_path / "source", tmp_path)[0] == {"wandb/settings"}


def test_a_link_to_what_is_left_out_leads_nowhere_in_the_copy(tmp_path: Path) -> None:
    source = tmp_path / "source"
    put(f"{source}/lightning_logs/version_0/checkpoints/a.ckpt", "x")
    put(f"{source}/raw/big.bin", "x")
    for name, target in (
        ("last.ckpt", "lightning_logs/version_0/checkpoints/a.ckpt"),
        ("logs", "lightning_logs"),
        ("in", "raw"),
    ):
        os.symlink(target, source / name)
    frozen(source, tmp_path, "raw/")
    links = {name: os.readlink(tmp_path / "model" / name) for name in ("last.ckpt", "logs", "in")}
    assert links == {"last.ckpt": "lightning_logs/version_0/checkpoints/a.ckpt", "logs": "lightning_logs", "in": "raw"}


# -- what may be an input ----------------------------------------------------------------------------------------------


def test_what_may_be_an_input_stays_in_and_is_told_once_with_the_line_that_leaves_it_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name, size in (("checkpoints/last.ckpt", 3_000_000), ("checkpoints/a/b.json", 10), ("old.ckpt", 500),
                       ("outputs/2026/pred.csv", 20), ("net.pt", 1), ("data/train.pt", 1), ("results/__init__.py", 0),
                       ("results/table.csv", 1), ("train.py", 0)):  # fmt: skip
        put(f"{source}/{name}", b"x" * size)
    names, found = frozen(source, tmp_path)
    assert len(names) == 9
    assert notes(found) == [
        "perhaps of earlier runs, and seen by every trial: checkpoints/ (2 files, 3.0 MB), outputs/ (1 file, 20 bytes), "
        'net.pt (1 file, 1 byte), old.ckpt (1 file, 500 bytes); to leave it out: exclude: [checkpoints/, outputs/, "*.pt", '
        '"*.ckpt"]'
    ]
    names, found = frozen(source, tmp_path, "checkpoints/", "outputs/", "*.pt", "*.ckpt")
    assert names == {"results/__init__.py", "results/table.csv", "train.py"}
    assert notes(found) == [
        "left out by exclude or a .hpoignore: checkpoints/ (2 files, 3.0 MB), data/train.pt (1 file, 1 byte), "
        "net.pt (1 file, 1 byte), old.ckpt (1 file, 500 bytes) and 1 more"
    ]


# -- too much ----------------------------------------------------------------------------------------------------------


def test_too_much_names_the_largest_folders_and_what_to_do(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for k in range(40):
        put(f"{source}/data/images/{k}.png", b"x" * 100)
    for k in range(20):
        put(f"{source}/vendor libs/{k}/f", "x")
    put(f"{source}/weights.bin", b"x" * 5000)
    put(f"{source}/src/net.py", "")
    for limits, what in (
        ({"max_files": 50}, "more than 50 files"),
        ({"max_bytes": 3000}, "more than 3,000 bytes of files"),
    ):
        with pytest.raises(SpecError) as caught:
            freeze(str(source), str(tmp_path / "model"), **limits)  # type: ignore[arg-type]
        text = str(caught.value)
        assert text.startswith(
            f"model_dir: {source} has {what}; the largest folders: data/images/ (40 files, 4.0 kB), "
        )
        assert "vendor libs/ (20 files, 20 bytes)" in text
        assert 'exclude: [/data/images/, "/vendor libs/"] or a .hpoignore' in text
        assert "the script's own folder" not in text
        assert not (tmp_path / "model").exists()
    freeze(str(source), str(tmp_path / "model"), patterns=["/data/images/", "/vendor libs/"], max_files=5)


STARS = ["*a*a*a*a*a*a*a*a*b", "!*a*a*a*a*b", "a**a**a*b", "*a*a*b/*a*a*b/*a*a*b", "**/a/**/a/**/a/**/a/**/a"]


@pytest.mark.parametrize("pattern", STARS)
def test_a_pattern_that_would_never_be_done_is_refused_wherever_it_stands(pattern: str, tmp_path: Path) -> None:
    put(str(tmp_path / "source/x"), "")
    with pytest.raises(SpecError, match=r"exclude\[1\]: .* has too many .* at most 4"):
        frozen(tmp_path / "source", tmp_path, "x", pattern)
    put(str(tmp_path / "source/.hpoignore"), f"x\n{pattern}\n")
    with pytest.raises(SpecError, match=r"\.hpoignore, line 2: .* has too many .* at most 4"):
        frozen(tmp_path / "source", tmp_path)


@pytest.mark.parametrize(
    "pattern", ["*_*_*_*.pt", "a/*/*/*/*/*/*.pt", "# *a*a*a*a*a*", "[*]\\*[*]\\*[*]*", "**/a/**/b/**/c*"]
)
def test_a_pattern_with_many_stars_that_is_soon_done_is_none_of_these(pattern: str, tmp_path: Path) -> None:
    put(str(tmp_path / "source/x"), "")
    assert frozen(tmp_path / "source", tmp_path, pattern)[0] == {"x"}
