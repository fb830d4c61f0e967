"""The file contract as written: folders, config.json, environment and command of a trial."""

from __future__ import annotations

import json
import math
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.binding import command, environment, user_of, write_config
from hpo_engine.contract.layout import lay_out, lay_out_study, set_aside, view_of
from hpo_engine.contract.paths import RESULT, StudyPaths, TrialPaths
from hpo_engine.errors import LaunchError
from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Resources, StudySpec
from tests.support.helpers import put

LOSS = Objective("loss")


def spec_of(**changes: Any) -> StudySpec:
    args: dict[str, Any] = {"name": "digits", "space": SearchSpace((Float("lr", 0.0, 1.0),)), "objectives": (LOSS,)}
    return StudySpec(**{**args, "command": ("python", "train.py"), "model_dir": "/m", **changes})


def asked(model: str, **changes: Any) -> StudySpec:
    """The study of a WMLA request."""
    return spec_of(submitted_code=model, **changes)


# -- writing -----------------------------------------------------------------------------------------------------------


def test_config_is_replaced_as_a_whole_and_nothing_else_is_left(trial: TrialPaths) -> None:
    write_config(trial, {"x": 1})
    write_config(trial, {"x": "new" * 100_000})
    assert json.loads(Path(trial.config).read_text()) == {"x": "new" * 100_000}
    assert [name for name in os.listdir(trial.result_dir) if name.endswith(".tmp")] == []


def test_reader_never_sees_half_a_config(trial: TrialPaths) -> None:
    done, seen = threading.Event(), set()
    write_config(trial, {"x": "0" * 50_000})

    def look() -> None:
        while not done.is_set():
            seen.add(Path(trial.config).read_bytes())

    reader = threading.Thread(target=look)
    reader.start()
    for i in range(200):
        write_config(trial, {"x": str(i % 10) * 50_000})
    done.set()
    reader.join()
    texts = [json.loads(data)["x"] for data in seen]
    assert {len(text) for text in texts} == {50_000} and all(len(set(text)) == 1 for text in texts)


def test_config_is_strict_json_with_the_values_as_given(trial: TrialPaths) -> None:
    config = {"lr": 1e-4, "units": 32, "name": "größe", "half": "\ud800", "on": True}
    write_config(trial, config)
    assert json.loads(Path(trial.config).read_text("utf-8")) == config
    assert Path(trial.config).read_bytes().endswith(b"}\n")
    with pytest.raises(LaunchError, match="trial 3: config.json"):
        write_config(trial, {"lr": math.nan})
    assert json.loads(Path(trial.config).read_text("utf-8")) == config


def test_config_replaces_a_planted_link_and_not_its_target(trial: TrialPaths, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("alive")
    os.symlink(canary, trial.config)
    write_config(trial, {"lr": 1})
    assert canary.read_text() == "alive"
    assert not os.path.islink(trial.config)
    os.unlink(trial.config)
    os.link(canary, trial.config)
    write_config(trial, {"lr": 2})
    assert canary.read_text() == "alive"


@pytest.mark.parametrize("part", ["result_dir", "results"])
def test_nothing_is_written_through_a_link_in_place_of_a_folder(trial: TrialPaths, tmp_path: Path, part: str) -> None:
    canary = tmp_path / "canary"
    (canary / "3").mkdir(parents=True)
    target = trial.result_dir if part == "result_dir" else trial.study.results
    os.rename(target, str(tmp_path / "stolen"))
    os.symlink(canary, target)
    with pytest.raises(LaunchError, match="is not a folder"):
        write_config(trial, {"lr": 1})
    with pytest.raises(LaunchError, match="is not a folder"):
        lay_out(trial)
    assert sorted(os.listdir(canary)) == ["3"]
    assert os.listdir(canary / "3") == []


@pytest.mark.parametrize("kind", ["log_dir", "own", "state_dir"])
def test_lay_out_refuses_a_file_or_link_where_a_folder_must_be(trial: TrialPaths, tmp_path: Path, kind: str) -> None:
    path = getattr(trial, kind)
    os.rename(path, str(tmp_path / "away"))
    os.symlink(tmp_path, path)
    with pytest.raises(LaunchError, match="is not a folder"):
        lay_out(trial)
    os.unlink(path)
    Path(path).touch()
    with pytest.raises(LaunchError, match="is not a folder"):
        lay_out(trial)


def test_config_where_the_folder_is_gone_or_a_folder_is_named_so(trial: TrialPaths) -> None:
    os.mkdir(trial.config)
    with pytest.raises(LaunchError, match="config.json is a folder"):
        write_config(trial, {})
    os.rmdir(trial.config)
    os.rmdir(trial.result_dir)
    with pytest.raises(LaunchError, match="is gone"):
        write_config(trial, {})


def test_lay_out_of_a_study_that_is_gone_is_a_storage_fault_that_names_it(tmp_path: Path) -> None:
    paths = StudyPaths(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="none"):
        lay_out(paths.trial(0))
    os.mkdir(paths.root)
    with pytest.raises(FileNotFoundError, match="none/results"):
        lay_out(paths.trial(0))


def test_laid_out_folders_lead_where_old_scripts_look_also_after_a_move(trial: TrialPaths, tmp_path: Path) -> None:
    lay_out(trial)  # again
    lay_out_study(trial.study, "ada")
    lay_out_study(trial.study, "bob")
    put(f"{trial.result_dir}/here", "x")
    put(f"{trial.log_dir}/log", "y")
    root = str(tmp_path / "moved")
    os.rename(trial.study.root, root)
    moved = StudyPaths(root).trial(3)
    assert Path(f"{moved.study.dli}/ada/batchworkdir/3/here").read_text() == "x"
    assert Path(f"{moved.study.dli}/bob/batchworkdir/3/here").read_text() == "x"
    assert Path(f"{moved.state_dir}/logs/log").read_text() == "y"


def test_set_aside_moves_both_folders_and_can_be_repeated(trial: TrialPaths) -> None:
    put(trial.result_file, "[]")
    put(f"{trial.log_dir}/log", "y")
    set_aside(trial, 2)
    set_aside(trial, 2)
    aside = trial.attempt(2)
    assert Path(f"{aside}/result/{RESULT}").read_text() == "[]"
    assert Path(f"{aside}/logs/log").read_text() == "y"
    assert sorted(os.listdir(aside)) == ["logs", "result"]
    assert not os.path.lexists(trial.result_dir)
    assert not os.path.lexists(trial.log_dir)


def test_set_aside_of_the_first_attempt_is_beside_its_records(trial: TrialPaths) -> None:
    put(trial.result_file, "[]")
    put(f"{trial.attempt(1)}/exit.json", "{}")
    set_aside(trial, 1)
    assert Path(f"{trial.attempt(1)}/result/{RESULT}").read_text() == "[]"
    assert sorted(os.listdir(trial.attempt(1))) == ["exit.json", "logs", "result", "state"]


def test_set_aside_after_a_crash_between_its_moves_or_after_the_next_layout(trial: TrialPaths) -> None:
    put(trial.result_file, "first")
    put(f"{trial.log_dir}/log", "first")
    os.mkdir(trial.attempt(2))
    os.rename(trial.result_dir, f"{trial.attempt(2)}/result")  # crash here
    set_aside(trial, 2)
    lay_out(trial)
    put(trial.config, "half laid")  # crash here
    set_aside(trial, 2)
    aside = trial.attempt(2)
    assert Path(f"{aside}/result/{RESULT}").read_text() == "first"
    assert Path(f"{aside}/logs/log").read_text() == "first"
    assert Path(f"{aside}/result.1/config.json").read_text() == "half laid"
    assert sorted(os.listdir(aside)) == ["logs", "result", "result.1"]  # the new, empty log folder went
    lay_out(trial)
    assert os.listdir(trial.result_dir) == []


def test_log_folder_has_the_one_of_the_subid_from_the_start(trial: TrialPaths) -> None:
    assert os.listdir(trial.log_dir) == [trial.name]
    put(f"{trial.log_dir}/{trial.name}/evaluation-metrics.txt", "first")
    lay_out(trial)  # again is harmless
    set_aside(trial, 2)
    lay_out(trial)
    set_aside(trial, 2)  # what was only laid out goes, also when it is two folders
    aside = trial.attempt(2)
    assert Path(f"{aside}/logs/{trial.name}/evaluation-metrics.txt").read_text() == "first"
    assert "logs.1" not in os.listdir(aside)
    lay_out(trial)
    put(f"{trial.log_dir}/{trial.name}/more", "second")
    set_aside(trial, 2)
    assert Path(f"{aside}/logs.1/{trial.name}/more").read_text() == "second"


def test_submitted_code_of_a_request_leads_to_the_working_directory(trial: TrialPaths) -> None:
    laid: list[str] = []
    view_of(asked("mnist"), laid.append)(trial.result_dir)
    write_config(trial, {"lr": 1})
    view_of(asked("mnist"), laid.append)(trial.result_dir)  # again is harmless
    assert laid == [trial.result_dir] * 2
    submitted = f"{trial.result_dir}/_submitted_code/mnist"
    assert os.path.samefile(submitted, trial.result_dir)
    assert json.loads(Path(f"{submitted}/config.json").read_text()) == {"lr": 1}
    assert os.readlink(submitted) == "..", "the study may be moved"
    assert [os.path.basename(folder) for folder, _, _ in os.walk(trial.result_dir)] == [trial.name, "_submitted_code"]


@pytest.mark.parametrize("name", [None, "", ".", "..", "a/b", "/tmp/x", "a\0b"])
def test_nothing_is_submitted_where_no_request_was(trial: TrialPaths, name: Any) -> None:
    view_of(spec_of(submitted_code=name), lambda _: None)(trial.result_dir)
    assert os.listdir(trial.result_dir) == []


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_submitted_code_of_the_model_itself_stays(trial: TrialPaths, tmp_path: Path, kind: str) -> None:
    (tmp_path / "canary").mkdir()

    def lay(result_dir: str) -> None:
        path = f"{result_dir}/_submitted_code"
        if kind == "link":
            os.symlink(tmp_path / "canary", path)
        else:
            put(path if kind == "file" else f"{path}/mine", "x")

    view_of(asked("mnist"), lay)(trial.result_dir)
    assert os.listdir(tmp_path / "canary") == []
    found = sorted(os.listdir(f"{trial.result_dir}/_submitted_code")) if kind == "folder" else []
    assert found == (["mine", "mnist"] if kind == "folder" else [])


def test_folder_of_the_code_is_the_trials_unless_the_user_means_something_else(trial: TrialPaths) -> None:
    own = {"DLI_WORK_DIR": trial.result_dir, "MODEL_PATH": trial.result_dir}
    base = {"MODEL_PATH": "/models/mine"}

    def seen(spec: StudySpec, base: dict[str, str]) -> dict[str, str]:
        env = environment(spec, trial, base, "n", (), spec.env)
        return {name: env[name] for name in own}

    assert seen(spec_of(), {}) == own
    assert seen(spec_of(), base) == {**own, **base}
    assert seen(asked("mnist"), base) == own, "what WMLA set"
    assert seen(spec_of(), {"RESULT_DIR": "/outer", "MODEL_PATH": "/outer"}) == own, "those of a trial around it"
    assert seen(asked("mnist", env={"MODEL_PATH": "/x"}), base) == {**own, "MODEL_PATH": "/x"}


def test_set_aside_moves_a_planted_link_itself(trial: TrialPaths, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    os.rmdir(trial.result_dir)
    os.symlink(canary, trial.result_dir)
    set_aside(trial, 2)
    assert os.readlink(f"{trial.attempt(2)}/result") == str(canary)
    assert os.listdir(canary) == []
    os.symlink(canary, trial.result_dir)  # and once more, where the place is taken
    set_aside(trial, 2)
    assert os.path.islink(f"{trial.attempt(2)}/result.1")
    os.rename(trial.attempt(2), f"{trial.own}/old")
    os.symlink(canary, trial.attempt(2))
    lay_out(trial)
    with pytest.raises(LaunchError, match="is not a folder"):
        set_aside(trial, 2)
    assert os.listdir(canary) == []


# -- the environment ---------------------------------------------------------------------------------------------------


def env_of(
    trial: TrialPaths, base: dict[str, str] | None = None, gpus: tuple[str, ...] = (), **changes: Any
) -> dict[str, str]:
    spec = spec_of(**changes)
    return environment(spec, trial, {"USER": "ada"} if base is None else base, "f00d", gpus, spec.env)


def test_environment_has_all_that_the_contract_names(trial: TrialPaths) -> None:
    env = env_of(trial)
    assert env["RESULT_DIR"] == env["PWD"] == trial.result_dir
    assert env["LOG_DIR"] == trial.log_dir
    assert env["JOB_STATE_DIR"] == trial.state_dir
    assert (env["SUBID"], env["DLI_EXECID"], env["TRAINING_ID"], env["USER"]) == ("3", "3", "digits-3", "ada")
    assert (env["HPO_ATTEMPT"], env["PYTHONUNBUFFERED"]) == ("f00d", "1")
    old_way = f"{env['DLI_RESULT_FS']}/{env['USER']}/batchworkdir/{env['DLI_EXECID']}"
    assert os.path.samefile(old_way, env["RESULT_DIR"])
    for name in ("LOG_DIR", "JOB_STATE_DIR", "DATA_DIR", "DLI_DATA_FS"):
        assert os.path.isdir(env[name])


def test_environment_hides_the_engines_own_names_and_keeps_the_rest(trial: TrialPaths) -> None:
    own = {"HPO_ENGINE_ROOT": "/r", "HPO_ENGINE_TOKEN": "secret", "HPO_FAILPOINT": "x:1:kill"}
    other = {"PATH": "/bin", "HPO_X": "1", "RESULT_DIR": "/stale", "PYTHONUNBUFFERED": "0"}
    env = env_of(trial, own | other)
    assert not own.keys() & env.keys()
    assert (env["PATH"], env["HPO_X"], env["PYTHONUNBUFFERED"]) == ("/bin", "1", "0")
    assert env["RESULT_DIR"] == trial.result_dir


def test_environment_of_the_spec_wins_but_not_over_the_attempts_mark(trial: TrialPaths) -> None:
    env = env_of(trial, env={"LOG_DIR": "/mine", "SUBID": "x", "HPO_ATTEMPT": "forged", "NEW": "1"})
    assert (env["LOG_DIR"], env["SUBID"], env["NEW"], env["HPO_ATTEMPT"]) == ("/mine", "x", "1", "f00d")


@pytest.mark.parametrize(
    ("data_dir", "data_root", "base", "expected"),
    [
        ("/d", None, {}, ("/d", "/d")),
        ("/d", None, {"DATA_DIR": "/x", "DLI_DATA_FS": "/y"}, ("/d", "/d")),
        ("/fs/mnist", "/fs", {"DLI_DATA_FS": "/y"}, ("/fs/mnist", "/fs")),
        ("mnist", "/fs", {}, ("/fs/mnist", "/fs")),
        (None, "/fs", {"DATA_DIR": "/x"}, ("/fs", "/fs")),
        (None, None, {"DATA_DIR": "/x", "DLI_DATA_FS": "/y"}, ("/x", "/y")),
        (None, None, {"DATA_DIR": "/x"}, ("/x", "/x")),
        (None, None, {"DLI_DATA_FS": "/y", "DATA_DIR": ""}, ("/y", "/y")),
    ],
)
def test_data_folders_follow_the_spec_then_the_caller(
    trial: TrialPaths, data_dir: str | None, data_root: str | None, base: dict[str, str], expected: tuple[str, str]
) -> None:
    env = env_of(trial, base, data_dir=data_dir, data_root=data_root)
    assert (env["DATA_DIR"], env["DLI_DATA_FS"]) == expected


def test_data_folders_of_which_nothing_is_known_are_the_trials_own(trial: TrialPaths) -> None:
    env = env_of(trial)
    assert env["DATA_DIR"] == env["DLI_DATA_FS"] == trial.result_dir


@pytest.mark.parametrize(
    ("gpus", "given_", "visible", "order"),
    [
        (None, (), "7", None),
        (0, (), "", "PCI_BUS_ID"),
        (2, ("1", "4"), "1,4", "PCI_BUS_ID"),
        (0.5, ("1",), "1", "PCI_BUS_ID"),
    ],
)
def test_gpus_are_shown_as_managed(
    trial: TrialPaths, gpus: float | None, given_: tuple[str, ...], visible: str, order: str | None
) -> None:
    env = env_of(trial, {"CUDA_VISIBLE_DEVICES": "7"}, given_, resources=Resources(gpus=gpus))
    assert env["CUDA_VISIBLE_DEVICES"] == visible
    assert env.get("CUDA_DEVICE_ORDER") == order
    assert "CUDA_VISIBLE_DEVICES" not in env_of(trial)


def test_thread_counts_follow_the_cores_of_a_trial_unless_set(trial: TrialPaths) -> None:
    env = env_of(trial, {"MKL_NUM_THREADS": "9"}, resources=Resources(cpus=2))
    assert (env["OMP_NUM_THREADS"], env["MKL_NUM_THREADS"], env["OPENBLAS_NUM_THREADS"]) == ("2", "9", "2")
    assert "OMP_NUM_THREADS" not in env_of(trial)


def test_user_without_a_usable_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert user_of({}) == user_of({"USER": ".."}) == user_of({"USER": "a/b"}) == "user"
    assert user_of({"USER": "ada"}) == "ada"
    monkeypatch.setattr("getpass.getuser", lambda: "eve")
    assert user_of({"USER": ""}) == "eve"


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "interpreter", "argv"),
    [
        (("python", "a.py"), None, ("/env/bin/python", "a.py")),
        (("python3", "-m", "x"), None, ("/env/bin/python", "-m", "x")),
        (("python", "a.py"), "/other/python", ("/other/python", "a.py")),
        (("/usr/bin/python3", "python"), "/other/python", ("/usr/bin/python3", "python")),
        (("python3.12", "a.py"), None, ("python3.12", "a.py")),
        (("sh", "python"), None, ("sh", "python")),
    ],
)
def test_python_as_first_word_is_the_interpreter_of_the_engine(
    words: tuple[str, ...], interpreter: str | None, argv: tuple[str, ...]
) -> None:
    spec = StudySpec("s", SearchSpace(()), (LOSS,), words, "/m", interpreter=interpreter)
    assert command(spec, "/env/bin/python") == argv
