"""The file contract: what is written, what is tolerated, what is refused."""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import metrics, results
from engine.contract import (
    command,
    environment,
    lay_out,
    lay_out_study,
    set_aside,
    user_of,
    write_atomic,
    write_config,
)
from engine.errors import ContractError, LaunchError
from engine.files import MAX_BYTES, safe_read
from engine.metrics import MetricsReader, Reading, final_rows, thin, verdict
from engine.paths import EMETRICS, RESULT, StudyPaths, TrialPaths
from engine.results import parse_emetrics, parse_rows
from engine.space import Float, SearchSpace
from engine.study import Objective, Resources, Row, StudySpec

LOSS = Objective("loss")


@pytest.fixture(params=["plain", "odd name '\"\\ \n é"])
def study(tmp_path: Path, request: pytest.FixtureRequest) -> StudyPaths:
    paths = StudyPaths(str(tmp_path / request.param))
    os.mkdir(paths.root)
    lay_out_study(paths, "ada")
    return paths


@pytest.fixture
def trial(study: StudyPaths) -> TrialPaths:
    paths = study.trial(3)
    lay_out(paths)
    return paths


def put(path: str, data: bytes | str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_bytes(data if isinstance(data, bytes) else data.encode())


def rows_of(text: str) -> list[tuple[float, dict[str, float]]]:
    return [(row.step, dict(row.values)) for row in parse_rows(text.encode())]


def why(data: bytes | str) -> str:
    with pytest.raises(ContractError) as caught:
        parse_rows(data if isinstance(data, bytes) else data.encode())
    return str(caught.value)


def line(step: object = 1, group: str | None = "test", **values: object) -> str:
    entry: dict[str, Any] = {
        "meta": {"training_id": "t", "time": 1, "rindex": 1, "subid": "3"},
        "etimes": {"iteration": {"type": 2, "value": str(step)}, "time_stamp": {"type": 3, "value": "1.0"}},
        "values": {k: {"type": 3, "value": str(v)} for k, v in values.items()},
    }
    if group is not None:
        entry["grouplabel"] = group
    return json.dumps(entry) + "\n"


# -- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path, durable: bool) -> None:
    path = str(tmp_path / "x.json")
    write_atomic(path, b"old", durable=durable)
    write_atomic(path, b"new" * 100_000, durable=durable)
    assert Path(path).read_bytes() == b"new" * 100_000
    assert os.listdir(tmp_path) == ["x.json"]


def test_write_atomic_leaves_no_trace_when_the_target_is_a_folder(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "x")
    with pytest.raises(IsADirectoryError):
        write_atomic(str(tmp_path / "x"), b"data")
    assert os.listdir(tmp_path) == ["x"]


def test_write_atomic_shows_no_reader_half_a_file(tmp_path: Path) -> None:
    path, done, seen = str(tmp_path / "x"), threading.Event(), set()
    write_atomic(path, b"0" * 50_000)

    def look() -> None:
        while not done.is_set():
            seen.add(Path(path).read_bytes())

    reader = threading.Thread(target=look)
    reader.start()
    for i in range(200):
        write_atomic(path, b"%d" % (i % 10) * 50_000)
    done.set()
    reader.join()
    assert {len(data) for data in seen} == {50_000}
    assert all(len(set(data)) == 1 for data in seen)


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
    with pytest.raises(LaunchError, match="is no folder"):
        write_config(trial, {"lr": 1})
    with pytest.raises(LaunchError, match="is no folder"):
        lay_out(trial)
    assert sorted(os.listdir(canary)) == ["3"]
    assert os.listdir(canary / "3") == []


@pytest.mark.parametrize("kind", ["log_dir", "own", "state_dir"])
def test_lay_out_refuses_a_file_or_link_where_a_folder_must_be(trial: TrialPaths, tmp_path: Path, kind: str) -> None:
    path = getattr(trial, kind)
    os.rename(path, str(tmp_path / "away"))
    os.symlink(tmp_path, path)
    with pytest.raises(LaunchError, match="is no folder"):
        lay_out(trial)
    os.unlink(path)
    Path(path).touch()
    with pytest.raises(LaunchError, match="is no folder"):
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
    with pytest.raises(LaunchError, match="is no folder"):
        set_aside(trial, 2)
    assert os.listdir(canary) == []


# -- the environment ---------------------------------------------------------------------------------------------------


def spec_of(**changes: Any) -> StudySpec:
    args: dict[str, Any] = {"name": "digits", "space": SearchSpace((Float("lr", 0.0, 1.0),)), "objective": LOSS}
    return StudySpec(**{**args, "command": ("python", "train.py"), "model_dir": "/m", **changes})


def env_of(
    trial: TrialPaths, base: dict[str, str] | None = None, gpus: tuple[str, ...] = (), **changes: Any
) -> dict[str, str]:
    return environment(spec_of(**changes), trial, {"USER": "ada"} if base is None else base, "f00d", gpus)


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


UTF16 = "val_dict_list.json is not UTF-8 but UTF-16 text, or binary: write it as UTF-8"


# -- val_dict_list.json ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]', [(1, {"loss": 0.5}), (2, {"loss": 0.25})]),
        ('{"loss": 1}', [(1, {"loss": 1.0})]),
        ("[]", []),
        ('[{"loss": 1}, {"loss": 2}]', [(1, {"loss": 1.0}), (2, {"loss": 2.0})]),
        ('[{"steps": "7", "loss": 1}, {"loss": 2}]', [(7, {"loss": 1.0}), (8, {"loss": 2.0})]),
        ('[{"epoch": 3, "loss": 1}]', [(3, {"loss": 1.0})]),
        ('[{"iteration": "2.5", "loss": 1}]', [(2.5, {"loss": 1.0})]),
        ('[{"epoch": 1, "step": 40, "loss": 1}]', [(40, {"epoch": 1.0, "loss": 1.0})]),
        ('[{"step": "soon", "epoch": 4, "loss": 1}]', [(4, {"loss": 1.0})]),
        ('[{"step": null, "loss": 1}, {"step": true, "loss": 2}]', [(1, {"loss": 1.0}), (2, {"loss": 2.0})]),
        ('[{"step": NaN, "loss": 1}]', [(1, {"step": math.nan, "loss": 1.0})]),
        ('[{"step": 1e300, "loss": 1}]', [(1, {"step": 1e300, "loss": 1.0})]),
        ('[{"step": 3.0, "loss": 1}]', [(3, {"loss": 1.0})]),
        ('[{"loss": NaN, "a": -Infinity, "b": Infinity}]', [(1, {"loss": math.nan, "a": -math.inf, "b": math.inf})]),
        ('[{"loss": 1e999, "n": -1e999}]', [(1, {"loss": math.inf, "n": -math.inf})]),
        ('[{"loss": true, "s": "0.3", "z": null, "l": [1], "o": {"a": 1}, "ok": 1}]', [(1, {"ok": 1.0})]),
        ('[{"loss": 1, "loss": 2}]', [(1, {"loss": 2.0})]),
        ('[1, {"loss": 1}, null, "x", [2]]', [(1, {"loss": 1.0})]),
        ("\ufeff" + '[{"loss": 1}]\n\n', [(1, {"loss": 1.0})]),
        ('[{"größe": 1}]', [(1, {"größe": 1.0})]),
        (r'[{"a\ud800": 1}]', [(1, {"a?": 1.0})]),
        ('[{"loss": ' + "9" * 350 + "}]", [(1, {"loss": math.inf})]),
        ('[{"loss": -' + "9" * 100_000 + ', "acc": 12}]', [(1, {"loss": -math.inf, "acc": 12.0})]),
        ('[{"step": ' + "9" * 5000 + ', "loss": 1}]', [(1, {"step": math.inf, "loss": 1.0})]),
        ('[{"loss": 0.' + "1" * 5000 + "}]", [(1, {"loss": 1 / 9})]),
    ],
)
def test_rows_are_read_as_scripts_write_them(text: str, expected: list[tuple[float, dict[str, float]]]) -> None:
    found = rows_of(text)
    assert repr(found) == repr(expected)  # NaN equals itself, 1 and 1.0 differ
    assert all(type(v) is float for _, values in found for v in values.values())


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "val_dict_list.json is empty"),
        (b" \n\t", "val_dict_list.json is empty"),
        (b"\xef\xbb\xbf", "val_dict_list.json is empty"),
        ('[{"loss": 1}]'.encode("utf-16"), UTF16),
        ('[{"loss": 1}]'.encode("utf-16-be"), UTF16),
        (b"\0" * 512, UTF16),
        (b'[{"l\xe4": 1}]', "val_dict_list.json is not UTF-8 text (byte 4)"),
        (b'[{"l\xc3', "val_dict_list.json is torn at byte 5"),
        (b'[{"loss": 0.5}, {"lo', "val_dict_list.json is torn at byte 20"),
        (b'\xef\xbb\xbf[{"loss": 0.5},', "val_dict_list.json is torn at byte 18"),
        (b'[{"loss": -', "val_dict_list.json is torn at byte 11"),
        (b'[{"loss": 1.', "val_dict_list.json is torn at byte 12"),
        (b'[{"loss": 1e-', "val_dict_list.json is torn at byte 13"),
        (b'[{"loss": Infin', "val_dict_list.json is torn at byte 15"),
        (b'[{"\\u12', "val_dict_list.json is torn at byte 7"),
        (b'[{"loss": 1}] and more', "val_dict_list.json has more text after its end (from byte 14)"),
        ('[{"ä": 1}][]'.encode(), "val_dict_list.json has more text after its end (from byte 11)"),
        (b"loss: 0.3", "val_dict_list.json is not JSON (byte 0: Expecting value)"),
        (b"[{'loss': 1}]", "is not JSON (byte 2: Expecting property name enclosed in double quotes)"),
        (b"[1, 2]", 'val_dict_list.json holds no objects: write a list such as [{"step": 1, "loss": 0.3}]'),
        (b"0.3", 'val_dict_list.json holds no objects: write a list such as [{"step": 1, "loss": 0.3}]'),
        (b"[" * 190_000, "val_dict_list.json is nested too deeply"),
        (b'{"a":' * 190_000, "val_dict_list.json is nested too deeply"),
        (b"[" * 300_000, "val_dict_list.json has too many entries (300,000, at most 200,000): report less often"),
        (b"[" + b"1," * 600_001 + b"1]", "val_dict_list.json has too many values (600,001, at most 600,000)"),
    ],
    ids=str,
)
def test_faults_of_a_result_file_are_named(data: bytes, text: str) -> None:
    assert text in why(data)
    assert "\n" not in why(data)


def as_json(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows, ensure_ascii=False).encode()


entries = st.lists(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=6),
        st.one_of(
            st.integers(), st.floats(), st.booleans(), st.none(), st.text(st.characters(codec="utf-8"), max_size=4)
        ),
        max_size=4,
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=80, deadline=None)
@given(entries, st.data())
def test_every_cut_of_a_result_file_is_torn(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    whole = as_json(rows)
    cut = data.draw(st.integers(1, len(whole) - 1))
    assert why(whole[:cut]) == f"val_dict_list.json is torn at byte {cut}"


@settings(max_examples=80, deadline=None)
@given(entries)
def test_every_number_of_a_result_file_is_a_step_or_a_metric(rows: list[dict[str, Any]]) -> None:
    for row, entry in zip(parse_rows(as_json(rows)), rows, strict=True):
        numbers = {k for k, v in entry.items() if type(v) in (int, float)}
        assert row.values.keys() <= numbers
        assert numbers - row.values.keys() <= {"step", "steps", "epoch", "iteration"}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 80), st.binary(max_size=3)), max_size=4), st.booleans())
def test_no_mutation_of_a_file_does_more_than_break_the_contract(
    edits: list[tuple[int, bytes]], emetrics: bool
) -> None:
    data = bytearray(
        line(1, loss=0.3).encode() * 2 if emetrics else b'[{"step": 1, "loss": 0.3}, {"step": 2, "loss": NaN}]'
    )
    for at, new in edits:
        data[at : at + len(new)] = new
    try:
        rows = (parse_emetrics if emetrics else parse_rows)(bytes(data))
    except ContractError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(row, Row) for row in rows)


@pytest.mark.parametrize(
    "unit",
    ["{},", "[],", "1,", '"",', '{"a":1},', "[[]],", "9", '{"a":1,"b":2,"c":3,"d":4,"eee":"' + "g" * 54 + '"},'],
)
def test_no_16_mib_of_anything_takes_a_second(unit: str) -> None:
    data = ("[" + unit * ((MAX_BYTES - 4) // len(unit)) + "0]").encode()
    started = time.thread_time()
    try:
        parse_rows(data)
    except ContractError:
        pass
    assert time.thread_time() - started < 1


# -- evaluation-metrics.txt --------------------------------------------------------------------------------------------


def em(*lines: str) -> list[tuple[float, dict[str, float]]]:
    return [(row.step, dict(row.values)) for row in parse_emetrics("".join(lines).encode())]


def test_emetrics_test_group_is_plain_and_train_is_named() -> None:
    text = (line(1, "train", loss=0.9), line(1, loss=0.5, accuracy=0.8), line(2, "train", loss=0.7), line(2, loss=0.4))
    assert em(*text) == [
        (1, {"train_loss": 0.9}),
        (1, {"loss": 0.5, "accuracy": 0.8}),
        (2, {"train_loss": 0.7}),
        (2, {"loss": 0.4}),
    ]


def test_emetrics_other_group_counts_where_no_test_is() -> None:
    assert em(line(1, "train", loss=0.9)) == [(1, {"train_loss": 0.9, "loss": 0.9})]
    both = em(line(1, "train", loss=0.9), line(1, "val", loss=0.5))
    assert both == [(1, {"train_loss": 0.9}), (1, {"val_loss": 0.5, "loss": 0.5})]
    assert em(line(1, None, loss=0.9)) == [(1, {"loss": 0.9})]


def test_emetrics_entries_of_a_step_join_but_never_overwrite() -> None:
    assert em(line(1, loss=0.5), line(1, "train", loss=1), line(1, acc=0.8), line(1, loss=0.3)) == [
        (1, {"loss": 0.5, "acc": 0.8}),
        (1, {"train_loss": 1.0}),
        (1, {"loss": 0.3}),
    ]


def test_emetrics_values_by_type_and_steps_in_order_where_missing() -> None:
    values = {
        "a": {"type": 2, "value": "3"},
        "b": {"type": 3, "value": "nan"},
        "c": {"value": "7"},
        "d": {"type": 1, "value": "8"},
        "e": 5,
        "f": {"type": 3, "value": "x"},
        "g": {"type": "3", "value": "-inf"},
        "h": {"type": 3, "value": True},
        "i": None,
    }
    last = {"values": {"loss": 2}, "etimes": {"epoch": 9}}
    rows = em(json.dumps({"values": values}) + "\n", line("x", loss=1), json.dumps(last))
    first = {"a": 3.0, "b": math.nan, "e": 5.0, "g": -math.inf}
    assert repr(rows) == repr([(1, first), (2, {"loss": 1.0}), (9, {"loss": 2.0})])


def test_emetrics_garbage_and_a_torn_tail_are_passed_over() -> None:
    bad = ("garbage", '{"values": 3}', '[{"values": 1}]', '{"values": {}}', '{"values":' + "[" * 5000, '\0"values"', "")
    rows = em("\ufeff" + line(1, loss=1), *(text + "\n" for text in bad), line(2, loss=2), line(3, loss=3)[:-20])
    assert rows == [(1, {"loss": 1.0}), (2, {"loss": 2.0})]
    with pytest.raises(ContractError, match="too many lines"):
        parse_emetrics(b"\n" * 200_000)
    with pytest.raises(ContractError, match="too many values"):
        parse_emetrics(b'{"values":' + b"[" * 2_000_000)


# -- hostile files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    made: list[socket.socket] = []
    yield made
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("missing", "f is missing"),
        ("fifo", "f is not a regular file but a pipe"),
        ("socket", "f is not a regular file but a socket"),
        ("folder", "f is not a regular file but a folder"),
        ("device", "f is not a regular file but a device"),
        ("symlink", "f is a link, not a file"),
        ("dangling", "f is a link, not a file"),
        ("hardlink", "f has other hard links; write a file of its own"),
        ("sparse", f"f is too big ({10 << 40:,} bytes, at most {MAX_BYTES:,})"),
        ("gone", "RESULT_DIR is gone"),
        ("linked folder", "RESULT_DIR is no folder any more (something else was put in its place)"),
    ],
)
def test_safe_read_refuses_what_is_no_plain_file(
    tmp_path: Path, sockets: list[socket.socket], kind: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    secret, path = tmp_path / "secret", folder / "f"
    secret.write_text("secret")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(folder)  # a socket's path must be short
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[0].bind("f")
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        if os.geteuid() != 0:
            pytest.skip("only root makes devices")
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    elif kind in ("symlink", "dangling"):
        path.symlink_to(secret if kind == "symlink" else "nowhere")
    elif kind == "hardlink":
        os.link(secret, path)
    elif kind == "sparse":
        with open(path, "wb") as file:
            try:
                file.truncate(10 << 40)
            except OSError:
                pytest.skip("the file system takes no file of 10 TiB")
    elif kind == "gone":
        folder.rmdir()
    elif kind == "linked folder":
        folder.rmdir()
        folder.symlink_to(tmp_path)
    started = time.monotonic()
    with pytest.raises(ContractError) as caught:
        safe_read(str(folder), "f")
    assert str(caught.value) == text
    assert time.monotonic() - started < 1


def test_safe_read_at_its_limit_and_through_a_descriptor(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100)
    assert safe_read(str(tmp_path), "f", 100) == b"x" * 100
    with pytest.raises(ContractError, match="too big"):
        safe_read(str(tmp_path), "f", 99)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert safe_read(fd, "f") == b"x" * 100
    finally:
        os.close(fd)


def test_safe_read_never_gives_the_target_of_a_link_swapped_in(tmp_path: Path) -> None:
    """A thread renames honest files, symbolic and hard links to a secret into place as fast as it can."""
    folder = tmp_path / "d"
    folder.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for make in (
                lambda p: os.symlink(secret, p),
                lambda p: os.link(secret, p),
                lambda p: Path(p).write_text("honest"),
            ):
                make(folder / "new")
                os.replace(folder / "new", folder / "f")
            os.unlink(folder / "f")
            os.link(secret, folder / "f")
            os.unlink(folder / "f")  # now the secret has one name again

    thread, honest, refused = threading.Thread(target=swap), 0, 0
    thread.start()
    try:
        for _ in range(3000):
            try:
                assert safe_read(str(folder), "f") in (b"honest", b"")
                honest += 1
            except ContractError:
                refused += 1
    finally:
        done.set()
        thread.join()
    assert refused


def test_safe_read_refuses_a_hard_link_taken_away_after_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "f").write_text("honest")
    open_ = os.open

    def swapped(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if path != "f":
            return open_(path, flags, *args, **kwargs)
        os.unlink(tmp_path / "f")
        os.link(tmp_path / "secret", tmp_path / "f")
        fd = open_(path, flags, *args, **kwargs)
        os.unlink(tmp_path / "f")
        (tmp_path / "f").write_text("honest")
        return fd

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(ContractError, match="replaced while it was read"):
        safe_read(str(tmp_path), "f")


@pytest.mark.parametrize("kind", ["fifo", "symlink"])
def test_safe_read_neither_waits_nor_follows_what_comes_between_look_and_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "f").write_text("honest")
    open_ = os.open

    def swapped(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if path == "f":
            os.unlink(tmp_path / "f")
            os.mkfifo(tmp_path / "f") if kind == "fifo" else os.symlink("secret", tmp_path / "f")
            assert flags & os.O_NONBLOCK  # else the next line would wait for ever
        return open_(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(ContractError, match="but a pipe" if kind == "fifo" else "is a link"):
        safe_read(str(tmp_path), "f")


# -- live --------------------------------------------------------------------------------------------------------------


def settle(path: str, age_s: float = 10.0) -> None:
    """As if the file had been written long ago: then an unchanged file is not read again."""
    now = time.time() - age_s
    os.utime(path, (now, now))


def test_reader_tells_rows_once_and_only_new_ones(trial: TrialPaths) -> None:
    reader = MetricsReader(trial)
    assert reader.fresh() is None
    put(trial.result_file, '[{"loss": NaN}]')
    assert repr(reader.fresh()) == repr(((Row(1, {"loss": math.nan}),), False))
    assert reader.fresh() is None
    put(trial.result_file, '[{"loss": NaN}, {"loss": 1}]')
    assert reader.fresh() == ((Row(2, {"loss": 1.0}),), False)
    put(trial.result_file, '[{"loss": 3}, {"loss": 1}]')
    assert reader.fresh() == ((Row(1, {"loss": 3.0}), Row(2, {"loss": 1.0})), True)
    put(trial.result_file, '[{"loss": 3}]')
    assert reader.fresh() == ((Row(1, {"loss": 3.0}),), True)


def test_reader_keeps_quiet_while_a_file_is_rewritten_empty_then_full(trial: TrialPaths) -> None:
    reader = MetricsReader(trial)
    put(trial.result_file, '[{"loss": 1}]')
    assert reader.fresh() is not None
    for state in ("", '[{"loss": 1}, {"lo', "[]", "garbage"):
        put(trial.result_file, state)
        assert reader.fresh() is None
    put(trial.result_file, '[{"loss": 1}, {"loss": 2}]')
    assert reader.fresh() == ((Row(2, {"loss": 2.0}),), False)


def test_reader_does_not_open_what_has_not_changed(trial: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    put(trial.result_file, '[{"loss": 1}]')
    put(f"{trial.log_dir}/{EMETRICS}", line(1, loss=1))
    settle(trial.result_file)
    settle(f"{trial.log_dir}/{EMETRICS}")
    reader = MetricsReader(trial)
    assert reader.fresh() is not None
    monkeypatch.setattr(os, "open", lambda *a, **k: pytest.fail("opened"))
    assert reader.fresh() is None


def test_reader_sees_a_rewrite_within_one_tick_of_the_clock(trial: TrialPaths) -> None:
    reader = MetricsReader(trial)
    put(trial.result_file, '[{"loss": 1}]')
    stamp = os.stat(trial.result_file).st_mtime_ns
    assert reader.fresh() is not None
    put(trial.result_file, '[{"loss": 2}]')  # same size, same inode ...
    os.utime(trial.result_file, ns=(stamp, stamp))  # ... same time
    assert reader.fresh() == ((Row(1, {"loss": 2.0}),), True)


@pytest.mark.parametrize("below", ["", "/3"])
def test_reader_follows_emetrics_line_by_line(trial: TrialPaths, below: str) -> None:
    path, reader = f"{trial.log_dir}{below}/{EMETRICS}", MetricsReader(trial)
    put(path, line(1, "train", loss=9) + line(1, loss=1)[:30])
    assert reader.fresh() == ((Row(1, {"train_loss": 9.0}),), False)
    with open(path, "a") as file:
        file.write(line(1, loss=1)[30:] + line(1, acc=0.5) + "garbage\n")
    assert reader.fresh() == ((Row(1, {"loss": 1.0, "acc": 0.5}),), False)
    with open(path, "a") as file:
        file.write(line(1, f1=0.7) + line(2, loss=2))
    # what was told stays as it was, so that the news stays small
    assert reader.fresh() == ((Row(1, {"f1": 0.7}), Row(2, {"loss": 2.0})), False)
    put(path, "")  # begun anew: nothing to tell until a row is there
    assert reader.fresh() is None
    put(path, line(1, loss=5))
    assert reader.fresh() == ((Row(1, {"loss": 5.0}),), True)


def test_reader_reads_a_long_emetrics_in_pieces_without_further_changes(trial: TrialPaths) -> None:
    path, reader = f"{trial.log_dir}/{EMETRICS}", MetricsReader(trial)
    put(path, "".join(line(i, loss=i) for i in range(3000)))
    settle(path)
    rows: list[Row] = []
    looks = 0
    while len(rows) < 3000:
        looks += 1
        reader._not_before = 0.0  # on a slow machine it would wait
        new, replaced = reader.fresh() or ((), False)
        assert not replaced
        rows += new
        assert looks < 100
    assert looks > 1
    assert [row.step for row in rows] == list(range(3000))
    assert reader.fresh() is None


def test_reader_prefers_the_result_file_once_it_has_rows(trial: TrialPaths) -> None:
    reader = MetricsReader(trial)
    put(f"{trial.log_dir}/{EMETRICS}", line(1, loss=9))
    put(trial.result_file, "[]")
    assert reader.fresh() == ((Row(1, {"loss": 9.0}),), False)
    put(trial.result_file, '[{"loss": 1}]')
    assert reader.fresh() == ((Row(1, {"loss": 1.0}),), True)
    with open(f"{trial.log_dir}/{EMETRICS}", "a") as file:
        file.write(line(2, loss=8))
    assert reader.fresh() is None


def test_reader_never_raises_whatever_lies_there(trial: TrialPaths, tmp_path: Path) -> None:
    reader = MetricsReader(trial)
    emetrics = f"{trial.log_dir}/{EMETRICS}"
    secret = tmp_path / "secret"
    secret.write_text('[{"loss": 1}]')
    os.mkfifo(trial.result_file)
    os.mkfifo(emetrics)
    assert reader.fresh() is None
    for path in (trial.result_file, emetrics):
        os.unlink(path)
        os.symlink(secret, path)
    assert reader.fresh() is None
    for path in (trial.result_file, emetrics):
        os.unlink(path)
        os.mkdir(path)
    assert reader.fresh() is None
    for path in (trial.result_dir, trial.log_dir):
        os.rename(path, path + ".moved")
    assert reader.fresh() is None
    os.symlink(tmp_path, trial.result_dir)
    put(str(tmp_path / RESULT), '[{"loss": 1}]')
    assert reader.fresh() is None


def test_reader_rests_after_a_file_that_took_long(trial: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("engine.metrics.time.monotonic", lambda: clock[0])
    parse = results.parse_rows

    def slow(data: bytes) -> tuple[Row, ...]:
        clock[0] += 0.5
        return parse(data)

    monkeypatch.setattr(metrics, "parse_rows", slow)
    reader = MetricsReader(trial)
    put(trial.result_file, '[{"loss": 1}]')
    assert reader.fresh() is not None
    put(trial.result_file, '[{"loss": 1}, {"loss": 2}]')
    assert reader.fresh() is None
    clock[0] = 111.0
    assert reader.fresh() == ((Row(2, {"loss": 2.0}),), False)


# -- the verdict -------------------------------------------------------------------------------------------------------


def judged(trial: TrialPaths, objective: Objective = LOSS) -> tuple[float | None, str]:
    return verdict(final_rows(trial), objective, trial.trial_id)


def test_verdict_takes_the_best_of_all_rows_or_the_last(trial: TrialPaths) -> None:
    put(trial.result_file, '[{"loss": 3}, {"loss": 1}, {"loss": 2}, {"loss": NaN}, {"acc": 5}]')
    assert judged(trial) == (1.0, "")
    assert judged(trial, Objective("loss", "maximize")) == (3.0, "")
    assert judged(trial, Objective("loss", over="last")) == (2.0, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "trial 3: wrote no val_dict_list.json in RESULT_DIR (and no evaluation-metrics.txt in LOG_DIR)"),
        ("", "trial 3: val_dict_list.json is empty"),
        ("[]", "trial 3: val_dict_list.json has no entries"),
        ('[{"loss": 0.3', "trial 3: val_dict_list.json is torn at byte 13"),
        (
            "[" + '{"val_loss": 1, "acc": 2},' * 4 + '{"acc": 2}]',
            'trial 3: no metric "loss" in val_dict_list.json; it has "val_loss", "acc" (steps 1-5)',
        ),
        (
            '[{"step": 7, "a\\n\\u001b[0m": 1}]',
            'trial 3: no metric "loss" in val_dict_list.json; it has "a\\n\\u001b[0m" (step 7)',
        ),
        ('[{"x": "y"}]', 'trial 3: no metric "loss" in val_dict_list.json; it has no numbers at all (step 1)'),
        ('[{"loss": NaN}]', 'trial 3: "loss" is not finite in the only row of val_dict_list.json (last: nan)'),
        (
            "[" + '{"loss": Infinity},' * 4 + '{"loss": NaN}]',
            'trial 3: "loss" is not finite in any of 5 rows of val_dict_list.json (last: nan)',
        ),
        ('[{"loss": "0.3"}]', 'trial 3: "loss" is a string "0.3" in val_dict_list.json, not a number'),
        ('[{"loss": true}]', 'trial 3: "loss" is true in val_dict_list.json, not a number'),
        ('[{"loss": null}]', 'trial 3: "loss" is null in val_dict_list.json, not a number'),
        ('[{"loss": [0.3]}]', 'trial 3: "loss" is a list in val_dict_list.json, not a number'),
        ('[{"loss": {"a": 1}}]', 'trial 3: "loss" is an object in val_dict_list.json, not a number'),
    ],
)
def test_verdict_says_why_there_is_no_value(trial: TrialPaths, text: str | None, message: str) -> None:
    if text is not None:
        put(trial.result_file, text)
    assert judged(trial) == (None, message)


def test_verdict_lists_no_endless_names() -> None:
    row = Row(1, {f"{i}" + "m" * 300: 1.0 for i in range(20)})
    value, text = verdict(Reading((row,), RESULT), LOSS, 0)
    assert value is None
    assert "and 12 more (step 1)" in text
    assert len(text) < 800


def test_final_rows_uses_emetrics_where_the_result_file_says_nothing(trial: TrialPaths) -> None:
    put(f"{trial.log_dir}/{EMETRICS}", line(1, loss=0.5))
    reading = final_rows(trial)
    assert (reading.rows, reading.source, reading.problem) == ((Row(1, {"loss": 0.5}),), EMETRICS, None)
    put(trial.result_file, "[]")
    assert judged(trial)[0] == 0.5
    put(trial.result_file, '[{"loss')
    note = "trial 3: val_dict_list.json is torn at byte 7; evaluation-metrics.txt was used instead"
    assert judged(trial) == (0.5, note)
    put(f"{trial.log_dir}/3/{EMETRICS}", line(1, loss=0.25))
    assert judged(trial)[0] == 0.25
    put(trial.result_file, '[{"loss": 1}]')
    assert judged(trial) == (1.0, "")


def test_final_rows_takes_a_digest_of_what_it_judged(trial: TrialPaths) -> None:
    put(trial.result_file, '[{"loss": 1}]')
    first = final_rows(trial)
    assert first.digest == hashlib.sha256(b'[{"loss": 1}]').hexdigest()
    put(trial.result_file, '[{"loss": 2}]')
    assert final_rows(trial).digest != first.digest


@pytest.mark.parametrize("how", ["gone", "link"])
def test_verdict_is_none_where_the_result_folder_is_not_the_one_laid_out(
    trial: TrialPaths, tmp_path: Path, how: str
) -> None:
    put(trial.result_file, '[{"loss": 1}]')
    put(f"{trial.log_dir}/{EMETRICS}", line(1, loss=1))
    os.rename(trial.result_dir, str(tmp_path / "elsewhere"))
    if how == "link":
        os.symlink(tmp_path / "elsewhere", trial.result_dir)
    value, text = judged(trial)
    assert value is None
    assert text.startswith("trial 3: RESULT_DIR is " + ("gone" if how == "gone" else "no folder any more"))


def test_final_rows_names_the_fault_of_emetrics_where_nothing_else_is(trial: TrialPaths) -> None:
    os.mkfifo(f"{trial.log_dir}/{EMETRICS}")
    value, text = judged(trial)
    assert value is None
    assert text.endswith("(evaluation-metrics.txt is not a regular file but a pipe)")
    os.unlink(f"{trial.log_dir}/{EMETRICS}")
    put(f"{trial.log_dir}/{EMETRICS}", "nothing\n")
    assert judged(trial)[1].endswith("(evaluation-metrics.txt has no metrics)")


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 200), st.integers(2, 60))
def test_thin_keeps_the_ends_the_order_and_the_limit(count: int, limit: int) -> None:
    rows = [Row(i, {}) for i in range(count)]
    kept = thin(rows, limit)
    assert len(kept) == min(count, limit)
    steps = [row.step for row in kept]
    assert steps == sorted(set(steps))
    if count:
        assert (steps[0], steps[-1]) == (0, count - 1)
    gaps = [b - a for a, b in zip(steps, steps[1:], strict=False)]
    assert not gaps or max(gaps) - min(gaps) <= 1


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
    spec = StudySpec("s", SearchSpace(()), LOSS, words, "/m", interpreter=interpreter)
    assert command(spec, "/env/bin/python") == argv
