"""The trainee's own file: what it writes and reads, without the engine."""

from __future__ import annotations

import ast
import json
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_trainees import report as module
from hpo_trainees.report import Reporter, config, main
from tests.support.examples import some

SOURCE = Path(module.__file__)


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A RESULT_DIR that is the working directory, as in a trial."""
    folder = tmp_path / "results of 'x'" / "3"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RESULT_DIR", str(folder))
    monkeypatch.setenv("SUBID", "3")
    return folder


@pytest.fixture
def by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESULT_DIR", raising=False)
    monkeypatch.delenv("SUBID", raising=False)
    monkeypatch.setattr(module, "_noted", set())
    return tmp_path


def rows(folder: Path) -> Any:
    return json.loads((folder / "val_dict_list.json").read_text())


def run(code: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent.parent), **env}
    environment.pop("RESULT_DIR" if "RESULT_DIR" not in env else "", None)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


# -- config ----------------------------------------------------------------------------------------------------------


def test_config_is_the_file_over_the_defaults(trial: Path) -> None:
    (trial / "config.json").write_text('{"lr": 1e-4, "optimizer": "sgd"}')
    assert config({"lr": 0.1, "layers": 2}) == {"lr": 1e-4, "optimizer": "sgd", "layers": 2}


def test_config_is_found_in_result_dir_after_the_script_changed_directory(
    trial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trial / "config.json").write_text('{"lr": 1}')
    monkeypatch.chdir(tmp_path)
    assert config() == {"lr": 1}


def test_config_by_hand_reads_the_working_directory(by_hand: Path) -> None:
    (by_hand / "config.json").write_bytes(b'\xef\xbb\xbf{"lr": 1}')  # with the mark that Windows editors set
    assert config({"lr": 2}) == {"lr": 1}


def test_config_by_hand_without_a_file_gives_the_defaults_and_one_note(
    by_hand: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    defaults = {"lr": 2}
    first = config(defaults)
    first["lr"] = 3
    assert config(defaults) == {"lr": 2}
    assert config() == {}
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("no config.json") == 1 and str(by_hand) in said.err


def test_config_missing_in_a_trial_is_an_error_not_a_default(trial: Path) -> None:
    with pytest.raises(FileNotFoundError, match="3"):
        config({"lr": 2})


@pytest.mark.parametrize("text", ["", "{", "[1]", "3"])
def test_config_that_is_no_object_is_refused_with_its_path(trial: Path, text: str) -> None:
    (trial / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config.json"):
        config()


# -- report ----------------------------------------------------------------------------------------------------------


def test_report_replaces_an_older_file_and_then_appends(trial: Path) -> None:
    (trial / "val_dict_list.json").write_text('[{"step": 99, "loss": 0}]')
    reporter = Reporter()
    reporter.report(step=1, loss=0.5)
    assert rows(trial) == [{"step": 1, "loss": 0.5}]
    reporter.report(loss=0.25, acc=True)
    assert rows(trial) == [{"step": 1, "loss": 0.5}, {"loss": 0.25, "acc": 1.0}]
    assert [p.name for p in trial.iterdir()] == ["val_dict_list.json"]


def test_report_takes_scalars_of_numpy_and_torch(trial: Path) -> None:
    numpy = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")
    weight = torch.tensor(2.0, requires_grad=True)
    reporter = Reporter()
    reporter.report(step=numpy.int64(1), a=numpy.float32(0.5), b=torch.tensor([3]), c=weight * 2, d=numpy.array(7))
    assert rows(trial) == [{"step": 1, "a": 0.5, "b": 3.0, "c": 4.0, "d": 7.0}]


def test_report_keeps_nan_and_infinities(trial: Path) -> None:
    Reporter().report(step=1.5, a=math.nan, b=math.inf, c=-math.inf)
    (row,) = rows(trial)
    assert row["step"] == 1.5 and math.isnan(row["a"]) and row["b"] == math.inf and row["c"] == -math.inf


@pytest.mark.parametrize("metrics", [{}, {"step": 3}, {"loss": None}, {"loss": "low"}, {"loss": [1, 2]}, {"loss": {}}])
def test_report_that_is_no_number_raises_and_leaves_the_file_alone(trial: Path, metrics: dict[str, Any]) -> None:
    reporter = Reporter()
    reporter.report(step=1, loss=0.5)
    with pytest.raises((TypeError, ValueError)) as caught:
        reporter.report(**metrics)
    assert "loss" in str(caught.value)
    reporter.report(step=2, loss=0.25)
    assert [row["step"] for row in rows(trial)] == [1, 2]


def test_epoch_stands_for_step_and_is_whole(trial: Path) -> None:
    Reporter().report(epoch=3.0, loss=1)
    assert (trial / "val_dict_list.json").read_text() == '[{"epoch": 3, "loss": 1.0}]\n'


def test_a_name_of_a_step_may_be_all_that_is_reported(trial: Path) -> None:
    reporter = Reporter()
    reporter.report(steps=37)
    reporter.report(step=2, epoch=1.5)
    assert rows(trial) == [{"steps": 37}, {"step": 2, "epoch": 1.5}]


def test_whole_numbers_of_any_size_are_exact(trial: Path) -> None:
    numpy = pytest.importorskip("numpy")
    Reporter().report(step=2**53 + 1, n=2**60 + 1, m=numpy.int64(2**60 + 1), k=3, f=2.0**60)
    assert (trial / "val_dict_list.json").read_text() == (
        f'[{{"step": {2**53 + 1}, "n": {2**60 + 1}, "m": {2**60 + 1}, "k": 3.0, "f": 1.152921504606847e+18}}]\n'
    )
    assert main(["--fresh", "step=9007199254740993", "n=-9007199254740993"]) == 0
    assert rows(trial) == [{"step": 2**53 + 1, "n": -(2**53) - 1}]


def test_another_result_dir_in_the_same_process_gets_its_own_list(
    trial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = Reporter()
    reporter.report(loss=1)
    monkeypatch.setenv("RESULT_DIR", str(tmp_path))
    reporter.report(loss=2)
    assert rows(trial) == [{"loss": 1.0}] and rows(tmp_path) == [{"loss": 2.0}]


def test_a_change_of_directory_by_hand_keeps_one_file(by_hand: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reporter = Reporter()
    reporter.report(loss=1)
    (by_hand / "elsewhere").mkdir()
    monkeypatch.chdir(by_hand / "elsewhere")
    reporter.report(loss=2)
    assert rows(by_hand) == [{"loss": 1.0}, {"loss": 2.0}]
    assert not list((by_hand / "elsewhere").iterdir())


def test_result_file_is_never_seen_torn_and_threads_lose_no_row(trial: Path) -> None:
    reporter = Reporter()
    reporter.report(loss=0)
    seen: set[int] = set()

    def work() -> None:
        for step in range(50):
            reporter.report(step=step, loss=0.1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.add(len(rows(trial)))  # raises where half a file is there
    assert len(rows(trial)) == 201
    assert seen


def test_a_result_file_that_is_a_link_is_replaced_not_written_through(trial: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("as it was")
    (trial / "val_dict_list.json").symlink_to(tmp_path / "precious")
    Reporter().report(loss=1)
    assert (tmp_path / "precious").read_text() == "as it was" and rows(trial) == [{"loss": 1.0}]


def test_a_failed_write_leaves_the_old_file_and_no_litter(trial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reporter = Reporter()
    reporter.report(loss=1)

    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="space"):
        patch.setattr(os, "replace", full)
        reporter.report(loss=2)
    assert rows(trial) == [{"loss": 1.0}] and len(list(trial.iterdir())) == 1
    reporter.report(loss=3)
    assert [row["loss"] for row in rows(trial)] == [1, 2, 3]


NAMES = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda name: name not in module.STEP_KEYS)
ROWS = st.lists(st.dictionaries(NAMES, st.floats(allow_nan=False), min_size=1, max_size=4), min_size=1, max_size=6)


@settings(max_examples=some(50), deadline=None)
@given(ROWS)
def test_rows_of_any_names_and_values_come_back(tmp_path_factory: pytest.TempPathFactory, reported: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESULT_DIR", str(folder))
        reporter = Reporter()
        for step, metrics in enumerate(reported):
            reporter.report(step, **metrics)
            reporter.report(step, fixed=1)
    back = rows(folder)
    assert [row["step"] for row in back] == [i for i in range(len(reported)) for _ in range(2)]
    for step, metrics in enumerate(reported):
        assert back[2 * step] == {"step": step, **metrics}


@pytest.mark.slow
def test_a_thousand_rows_cost_a_fraction_of_a_training(trial: Path) -> None:
    reporter = Reporter()
    start = time.process_time()
    for step in range(1000):
        reporter.report(step=step, loss=1 / 3, acc=2 / 3)
    assert time.process_time() - start < 60  # 0.3 s on an idle machine
    assert len(rows(trial)) == 1000


# -- the module as others meet it ------------------------------------------------------------------------------------


def test_two_runs_of_a_script_by_hand_leave_the_rows_of_the_second(by_hand: Path) -> None:
    for loss in (1, 2):
        done = run(f"from hpo_trainees.report import report; report(step=1, loss={loss})", by_hand)
        assert done.returncode == 0, done.stderr
    assert rows(by_hand) == [{"step": 1, "loss": 2.0}]


def test_it_imports_the_standard_library_only_and_not_the_engine(by_hand: Path) -> None:
    code = "import sys; before = set(sys.modules); import hpo_trainees.report; print(*(set(sys.modules) - before))"
    names = {name.split(".")[0] for name in run(code, by_hand).stdout.split()}
    assert names - {"hpo_trainees"} <= set(sys.stdlib_module_names)


def test_its_syntax_is_python_3_8() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 8))
    assert any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body)
    # Newer than 3.8 at run time, though not in syntax: list[int] outside of annotations.
    assigned = [node for n in ast.walk(tree) if isinstance(n, ast.Assign) for node in ast.walk(n.value)]
    generic = [n.value for n in assigned if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Name)]
    assert not {name.id for name in generic if isinstance(name, ast.Name)} & {"dict", "list", "set", "tuple"}


# -- from a shell ----------------------------------------------------------------------------------------------------


def test_command_appends_to_what_is_there(trial: Path) -> None:
    assert main(["loss=0.5", "step=1"]) == 0
    assert main(["step=2", "loss=1e-3", "f=nan"]) == 0
    first, second = rows(trial)
    assert first == {"step": 1, "loss": 0.5}
    assert second["step"] == 2 and second["loss"] == 0.001 and math.isnan(second["f"])


def test_command_fresh_begins_a_new_list(trial: Path) -> None:
    assert main(["loss=0.5"]) == main(["--fresh", "loss=0.25"]) == 0
    assert rows(trial) == [{"loss": 0.25}]


def test_command_takes_a_lone_object_as_the_first_row(trial: Path) -> None:
    (trial / "val_dict_list.json").write_text('{"step": 1, "loss": NaN}')
    assert main(["loss=0.25"]) == 0
    assert len(rows(trial)) == 2


@pytest.mark.parametrize("words", [[], ["step=1"], ["loss"], ["=1"], ["loss=low"], ["--fresh"]])
def test_command_that_is_wrong_says_how_and_exits_with_2(
    trial: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert "usage:" in capsys.readouterr().err
    assert not list(trial.iterdir())


def test_command_does_not_touch_a_file_that_it_cannot_read(trial: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trial / "val_dict_list.json").write_text("[{")
    assert main(["loss=1"]) == 2
    assert "--fresh" in capsys.readouterr().err
    assert (trial / "val_dict_list.json").read_text() == "[{"


def test_command_of_parallel_jobs_of_a_shell_script_loses_no_row(trial: Path) -> None:
    script = "for i in 1 2 3 4; do $PYTHON $REPORT step=$i loss=0.$i & done; wait"
    environment = {**os.environ, "PYTHON": sys.executable, "REPORT": str(SOURCE)}  # the file alone, not the package
    subprocess.run(["sh", "-c", script], env=environment, check=True, timeout=120)
    assert sorted(row["step"] for row in rows(trial)) == [1, 2, 3, 4]


# -- the end of a run ------------------------------------------------------------------------------------------------

ENDS = """
import json, os, signal, sys, time
sys.path.insert(0, {parent!r})
from hpo_trainees.report import report, should_stop
assert should_stop() is None
open("ready", "w").close()
while not (stop := should_stop()):
    time.sleep(0.01)
report(loss=1.0)
json.dump([*stop, stop.seconds_left > 10], open("seen", "w"))
"""


def _until(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("noted", [True, False])
def test_a_script_that_asks_outlives_sigterm_and_reports(trial: Path, noted: bool) -> None:
    script = ENDS.format(parent=str(SOURCE.parents[1]))
    process = subprocess.Popen([sys.executable, "-c", script], cwd=trial)
    _until(trial / "ready")
    deadline = time.time() + 60
    if noted:
        note = {"cause": "early", "reason": "worse", "at": time.time(), "deadline": deadline}
        (trial / "stop.json").write_text(json.dumps(note))
    process.terminate()
    assert process.wait(30) == 0
    seen = json.loads((trial / "seen").read_text())
    assert seen == (["early", "worse", deadline, True] if noted else ["signal", "got SIGTERM", None, True])
    assert json.loads((trial / "val_dict_list.json").read_text()) == [{"loss": 1.0}]


OTHERS: dict[str, Any] = {
    "of an earlier run": json.dumps({"cause": "early", "reason": "", "at": 1.0, "deadline": 2.0}),
    "its own": "go on",
    "not an object": "[1]",
    "half": '{"cause": "early"}',
}


@pytest.mark.parametrize("there", [*OTHERS, "a pipe", "a folder", "a link"])
def test_what_is_no_note_of_this_run_ends_nothing(trial: Path, there: str) -> None:
    path = trial / "stop.json"
    if there in OTHERS:
        path.write_text(OTHERS[there])
    else:
        {"a pipe": os.mkfifo, "a folder": os.mkdir, "a link": lambda p: os.symlink("nowhere", p)}[there](path)
    assert module._Ending().look() is None


def test_a_handler_of_the_script_stays(trial: Path) -> None:
    script = (
        f"import signal, sys; sys.path.insert(0, {str(SOURCE.parents[1])!r})\n"
        "from hpo_trainees.report import should_stop\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); should_stop()\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=trial)
