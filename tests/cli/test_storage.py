"""What the disk does to a study: damage in the log, a full disk, an output that takes nothing."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract import binding, layout
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.store import inbox
from hpo_engine.system.faults import described
from tests.support.shell import Shell


@pytest.fixture
def done(shell: Shell) -> Shell:
    """With a study that has finished."""
    shell.run("submit", "algo.yaml", "--trials", "2", "--quiet")
    return shell


# -- the log -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_changed_digit_is_refused_by_every_verb_that_reads_the_log_and_cutting_it_goes_on(done: Shell) -> None:
    path = done.folder / "hpo-runs" / "my-study" / "study.db"
    db = sqlite3.connect(path, isolation_level=None)
    (number, body) = db.execute("SELECT seq, body FROM events WHERE kind = 'trial_ended' LIMIT 1").fetchone()
    changed = re.sub(r'"value":\d', '"value":0', body).replace('"value":0.', '"value":1.')
    assert changed != body
    db.execute("UPDATE events SET body = ? WHERE seq = ?", (changed, number))
    db.close()
    verbs = (["show", "my-study"], ["best", "my-study"], ["export", "my-study"],
             ["resume", "my-study", "--trials", "3"], ["retry", "my-study", "--failed"], ["submit", "algo.yaml"],
             ["watch", "my-study"])  # fmt: skip
    words = f"study.db: damaged: event {number} is not what was written; the last good one is event {number - 1}"
    for args in verbs:
        done.refuses(*args, words=words, code=5)
    assert done.json("list")[0]["study"] == "my-study"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DELETE FROM events WHERE seq >= ?", (number,))
    db.close()
    done.run("submit", "algo.yaml", "--trials", "2")
    assert done.json("show", "my-study")["counts"] == {"completed": 2}


# -- the output --------------------------------------------------------------------------------------------------------

LINE = r"hpo-engine: standard output: No space left on device; [^\n]*\n"


def into(shell: Shell, *args: str, **streams: str) -> tuple[int, str, str]:
    """The command with streams led into files: its exit code, and what came on the others."""
    files: dict[str, Any] = {name: open(path, "w") for name, path in streams.items()}  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-m", "hpo_engine.cli", *args], cwd=shell.folder, env=shell.env, text=True,
        stdin=subprocess.DEVNULL, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **files},
    )  # fmt: skip
    out, err = process.communicate(timeout=120)
    for file in files.values():
        file.close()
    return process.returncode, out or "", err or ""


def test_full_disk_behind_the_display_costs_lines_and_no_trial(shell: Shell) -> None:
    code, _, err = into(shell, "submit", "algo.yaml", stdout="/dev/full")
    assert code == 0 and len(re.findall(LINE, err)) == 1 and "the study is not affected" in err
    assert "Traceback" not in err and "Exception ignored" not in err
    shown = shell.json("show", "my-study")
    assert shown["state"] == "finished" and shown["counts"] == {"completed": 4}


@pytest.mark.slow
def test_result_that_cannot_be_written_has_a_code_and_a_safe_study(shell: Shell) -> None:
    code, _, err = into(shell, "submit", "algo.yaml", "--json", stdout="/dev/full")
    assert code == 5 and re.fullmatch(LINE, err.splitlines(keepends=True)[-1]), err
    assert "Traceback" not in err and "Exception ignored" not in err
    assert shell.json("show", "my-study")["state"] == "finished"
    assert shell.json("submit", "algo.yaml")["state"] == "finished", "the same command says it again"
    for args in (["submit", "algo.yaml", "--json"], ["retry", "my-study", "--failed", "--json"]):
        assert into(shell, *args, stdout="/dev/full", stderr="/dev/full")[0] == 5
    assert into(shell, "submit", "algo.yaml", stdout="/dev/full", stderr="/dev/full")[0] == 0


@pytest.mark.slow
def test_full_disk_behind_stderr_leaves_the_result_whole(shell: Shell) -> None:
    code, out, _ = into(shell, "submit", "algo.yaml", "--json", stderr="/dev/full")
    assert code == 0 and json.loads(out)["counts"] == {"completed": 4}
    assert into(shell, "show", "nothing", stderr="/dev/full")[0] == 2
    assert into(shell, "--debug", "show", "my-study", stderr="/dev/full")[0] == 0


@pytest.mark.slow
def test_every_verb_that_prints_says_that_it_could_not(done: Shell) -> None:
    done.write("train.py", TRAIN_LOUD)
    done.run("submit", "algo.yaml", "--trials", "1", "--name", "loud", "--quiet")
    verbs = ["show loud", "show loud --json", "best loud --config", "export loud", "logs loud 0", "list --json", "schema",
             "--help", "", "init train.py -o -", "watch loud"]  # fmt: skip
    for verb in verbs:
        code, _, err = into(done, *verb.split(), stdout="/dev/full")
        assert code == 5 and re.fullmatch(LINE, err), (verb, code, err)


TRAIN_LOUD = "import json\nprint('x' * 100000)\njson.dump([{'loss': 1}], open('val_dict_list.json', 'w'))\n"


def test_reader_that_has_gone_is_no_error_to_tell(done: Shell) -> None:
    for args in (["export", "my-study"], ["show", "my-study"], ["--help"], ["schema"], ["watch", "my-study"]):
        process = done.start(*args)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 128 + signal.SIGPIPE and process.stderr.read() == ""
        process.stderr.close()


@pytest.mark.slow
def test_slow_reader_of_a_pipe_that_does_not_wait_is_waited_for(shell: Shell) -> None:
    """O_NONBLOCK belongs to the pipe: any process that shares it may set it, and writes then fail with EAGAIN."""
    shell.write("algo.yaml", (shell.folder / "algo.yaml").read_text() + "metrics: {%s: minimize}\n" % ("m" * 60))
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    pad = 65536 - 100
    os.write(write_end, b"." * pad)  # the first lines fill it
    process = subprocess.Popen(
        [sys.executable, "-m", "hpo_engine.cli", "submit", "algo.yaml"], cwd=shell.folder, env=shell.env,
        stdin=subprocess.DEVNULL, stdout=write_end, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(write_end)
    time.sleep(1.0)
    out = b""
    while data := os.read(read_end, 4096):
        out += data
    os.close(read_end)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    text = out[pad:].decode()
    assert text.startswith("my-study: minimize loss") and "[4/4]" in text and "best loss" in text


# -- scripts in every locale -------------------------------------------------------------------------------------------

ODD = """\
command: python train.py
objective: minimize loss
algorithm: random
options: {seed: 1}
trials: 2
space:
  größe: {choice: [ä, 漢字]}
"""


@pytest.mark.slow
def test_parameters_are_read_in_every_locale(shell: Shell) -> None:
    shell.write("algo.yaml", ODD)
    shell.write("train.py", "import json\nc = json.load(open('config.json', encoding='ascii'))\n"
                "json.dump([{'loss': len(c['größe'])}], open('val_dict_list.json', 'w'))\n")  # fmt: skip
    shell.run("submit", "algo.yaml")
    config = shell.result(0, "config.json").read_bytes()
    assert config.isascii() and json.loads(config)["größe"] in ("ä", "漢字")
    best = shell.json("best", "my-study")["trial"]
    shell.env |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert shell.run("best", "my-study", "--config").encode() == shell.result(best, "config.json").read_bytes()
    for args in (["show", "my-study", "--json"], ["export", "my-study", "--format", "json"], ["list", "--json"]):
        out = shell.run(*args)
        assert out.isascii() and json.loads(out)
    for args in (["export", "my-study"], ["show", "my-study"], ["show", "my-study", "0"], ["best", "my-study"]):
        assert "gr" in shell.run(*args)
    shell.run("submit", "algo.yaml", "--name", "again")


# -- /proc -------------------------------------------------------------------------------------------------------------


def unshared(shell: Shell, flags: str, script: str) -> subprocess.CompletedProcess[str]:
    probe: Any = subprocess.run(["unshare", *flags.split(), "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("needs the right to make namespaces")
    argv = ["unshare", *flags.split(), "sh", "-c", script, "sh", sys.executable]
    return subprocess.run(argv, cwd=shell.folder, env=shell.env, text=True, capture_output=True, timeout=120)


@pytest.mark.by_default(2)
@pytest.mark.parametrize("verb", ["submit algo.yaml", "submit algo.yaml --detach", "resume my-study", "stop my-study"])
def test_machine_without_proc_is_refused_at_once(done: Shell, verb: str) -> None:
    before = sorted(Path(done.folder).rglob("*"))
    said = unshared(done, "-m", f'mount -t tmpfs none /proc && "$1" -m hpo_engine.cli {verb}')
    assert said.returncode == 5 and said.stdout == ""
    assert re.fullmatch(r"hpo-engine: /proc is not mounted; [^\n]*\n", said.stderr), said.stderr
    assert sorted(Path(done.folder).rglob("*")) == before


@pytest.mark.slow
def test_proc_of_another_namespace_is_refused_and_doctor_tells(done: Shell) -> None:
    said = unshared(
        done, "-p -f", '"$1" -m hpo_engine.cli submit algo.yaml --name other; "$1" -m hpo_engine.cli doctor'
    )
    assert re.fullmatch(r"hpo-engine: /proc is that of other processes [^\n]*\n", said.stderr), said.stderr
    assert re.search(r"^/proc +unusable +/proc is that of other", said.stdout, re.M)
    said = unshared(done, "-m", 'mount -t tmpfs none /proc && "$1" -m hpo_engine.cli doctor && "$1" -m hpo_engine.cli show my-study')  # fmt: skip
    assert said.returncode == 0 and re.search(r"^/proc +unusable +/proc is not mounted", said.stdout, re.M)


# -- a full disk -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_full_disk_is_told_with_its_place_and_what_is_left(shell: Shell) -> None:
    """2 MB of memory: a copy of the script's folder that is too big, no room at all, no room for the next event."""
    (shell.folder / "disk").mkdir()
    (shell.folder / "big.bin").write_bytes(b"x" * 3_000_000)
    where = shell.folder / "disk"
    script = """
        mount -t tmpfs -o size=2m none disk
        hpo() { "$PYTHON" -m hpo_engine.cli "$@" --root disk; echo "code $?" >&2; }
        hpo submit algo.yaml --name one; rm big.bin
        hpo submit algo.yaml --name two --quiet --trials 2 > /dev/null
        dd if=/dev/zero of=disk/fill bs=4k 2> /dev/null
        hpo resume two --trials 3
        hpo submit algo.yaml --name three
        rm disk/fill
        hpo resume two --trials 3 --quiet > /dev/null
        ls -A disk
    """
    shell.env["PYTHON"] = sys.executable
    said = unshared(shell, "-m", script)
    lines = said.stderr.splitlines()
    of_disk = rf"\(the file system at {where} has (\S+ \w+) of 2\.1 MB left"
    assert re.fullmatch(rf"hpo-engine: {where}/one/model: No space left on device {of_disk}; 3 MB are needed\); .*", lines[0]), lines  # fmt: skip
    assert lines[1:3] == ["code 5", "code 0"]
    assert re.fullmatch(rf"hpo-engine: {where}/two/study.db: .*, then resume {of_disk}\)", lines[3]), lines
    assert re.fullmatch(rf"hpo-engine: {where}/three/model: No space left on device {of_disk}.*", lines[5]), lines
    assert lines[6:] == ["code 5", "code 0"]
    assert said.stdout.split() == ["two"], "nothing half made is left"


def full(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    def write(fd: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"{module}.os.write", write)


def test_place_is_known_wherever_a_write_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = StudyPaths(str(tmp_path))
    layout.lay_out_study(study, "ada")
    trial = study.trial(3)
    layout.lay_out(trial)
    full(monkeypatch, "hpo_engine.contract.binding")
    with pytest.raises(OSError) as caught:
        binding.write_config(trial, {"x": 1})
    assert caught.value.filename == trial.config
    assert described(caught.value).startswith(f"{trial.config}: No space left on device (the file system at /")
    os.mkdir(tmp_path / "trials" / "4")
    monkeypatch.setattr(os, "mkdir", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EDQUOT, "Disk quota exceeded", "4")))  # fmt: skip
    with pytest.raises(OSError) as caught:
        layout.lay_out(study.trial(4))
    assert caught.value.filename == f"{study.results}/4"


def test_request_that_cannot_be_written_names_its_file_and_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dump(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(json, "dump", dump)
    with pytest.raises(OSError) as caught:
        inbox.post(str(tmp_path / "inbox"), inbox.Request("stop"))
    assert caught.value.filename.startswith(f"{tmp_path}/inbox/") and os.listdir(tmp_path / "inbox") == []
