"""Which files are a trial's checkpoints, whichever framework wrote them, and which of them is the newest."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpo_engine.contract import binding
from hpo_engine.contract.checkpoints import finding, patterns
from hpo_engine.contract.layout import lay_out
from hpo_engine.contract.paths import StudyPaths, TrialPaths
from hpo_engine.contract.snapshot import View
from hpo_engine.contract.sources import earlier
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.study.spec import Checkpoints

begun_ns = 0  # later than whatever a test writes without a time


@pytest.fixture(autouse=True)
def _begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "begun_ns", time.time_ns() + 60 * 10**9)


@pytest.fixture
def result(trial: TrialPaths) -> Path:
    """RESULT_DIR as an attempt finds it: the script's folder has a pretrained model and the checkpoint of a run."""
    folder = Path(trial.study.model)
    (folder / "old").mkdir(parents=True)
    for name in ("train.py", "pretrained.pt", "old/last.ckpt"):
        (folder / name).write_text(f"content of {name}")
    View.of(str(folder)).lay(trial.result_dir)
    binding.write_config(trial, {"x": 1})
    return Path(trial.result_dir)


def safetensors(size: int) -> bytes:
    header = json.dumps({"__metadata__": {}, "w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


DATA, TENSORS = b"x" * 10_000, safetensors(10_000)


def write(result: Path, *names: str, at: float = 1.0, data: bytes = DATA) -> None:
    """Files that are written one after the other, the first one `at` seconds after the attempt began."""
    for number, name in enumerate(names):
        path = result / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(TENSORS if data == DATA and name.endswith(".safetensors") else data)
        stamp = begun_ns + int((at + number) * 10**9)
        os.utime(path, ns=(stamp, stamp))


def newest(trial: TrialPaths, own: Sequence[str] = (), attempt: int = 1) -> str | None:
    return finding.left(TrialFiles(trial, attempt), Checkpoints(tuple(own))).newest


# As each framework writes them, in that order; the one to go on from.
WRITTEN = {
    "lightning": (["lightning_logs/version_0/hparams.yaml", "lightning_logs/version_0/checkpoints/epoch=2-step=30.ckpt"], 1),
    "lightning, save_last": (["ckpt/epoch=1-step=20-v1.ckpt", "ckpt/last.ckpt", "ckpt/last-v1.ckpt"], 2),
    "lightning, best of a metric and last": (["c/last.ckpt", "c/best.ckpt"], 0),
    "lightning, sharded": (["c/epoch=0-step=9.ckpt/model.pt", "c/epoch=0-step=9.ckpt/meta.pt"], "c/epoch=0-step=9.ckpt"),
    "hugging face": (
        ["out/checkpoint-500/model.safetensors", "out/checkpoint-500/optimizer.pt", "out/checkpoint-500/trainer_state.json",
         "out/checkpoint-1000/pytorch_model.bin", "out/checkpoint-1000/rng_state.pth", "out/model.safetensors",
         "out/training_args.bin"],
        "out/checkpoint-1000",
    ),
    "accelerate": (["ck/checkpoints/checkpoint_0/random_states_0.pkl", "ck/checkpoints/checkpoint_1/model.safetensors"], "ck/checkpoints/checkpoint_1"),
    "deepspeed": (["ds/latest", "ds/global_step20/mp_rank_00_model_states.pt", "ds/zero_to_fp32.py"], "ds/global_step20"),
    "torch distributed": (["step-100/.metadata", "step-100/__0_0.distcp"], "step-100"),
    "orbax": (["ck/0/_CHECKPOINT_METADATA", "ck/0/default/d/a", "ck/5/default/d/b", "ck/5/_CHECKPOINT_METADATA"], "ck/5"),
    "orbax, first version": (["r/7/orbax.checkpoint", "r/7/pytree/x"], "r/7"),
    "flax": (["ckpt/checkpoint_1", "ckpt/checkpoint_10"], 1),
    "keras": (["weights.01-0.92.weights.h5", "weights.02-0.81.weights.h5", "model.keras"], 1),
    "keras, hdf5": (["w.01.hdf5", "w.02.hdf5"], 1),
    "keras, back up and restore": (["backup/latest.weights.h5", "backup/training_metadata.json"], 0),
    "keras, tensorflow": (["t/cp-0001.ckpt.data-00000-of-00001", "t/cp-0001.ckpt.index", "t/checkpoint"], "t/cp-0001.ckpt"),
    "tensorflow": (["tf/ckpt-1.index", "tf/ckpt-1.data-00000-of-00001", "tf/ckpt-2.index", "tf/ckpt-2.data-00000-of-00001"], "tf/ckpt-2"),
    "ultralytics": (["runs/detect/train/weights/epoch0.pt", "runs/detect/train/weights/last.pt", "runs/detect/train/weights/best.pt"], 1),
    "timm": (["output/train/a/checkpoint-3.pth.tar", "output/train/a/last.pth.tar", "output/train/a/model_best.pth.tar"], 1),
    "mmengine": (["work_dirs/r/epoch_2.pth", "work_dirs/r/epoch_3.pth", "work_dirs/r/last_checkpoint", "work_dirs/r/best_acc_epoch_3.pth"], 1),
    "detectron2": (["output/model_0004999.pth", "output/last_checkpoint", "output/model_final.pth"], 0),
    "fairseq": (["checkpoints/checkpoint3.pt", "checkpoints/checkpoint_best.pt", "checkpoints/checkpoint_last.pt"], 2),
    "composer": (["ep1-ba100-rank0.pt", "latest-rank0.pt"], 1),
    "allennlp": (["model_state_epoch_1.th", "training_state_epoch_1.th"], 1),
    "stable-baselines3": (["logs/rl_model_1000_steps.zip", "logs/rl_model_2000_steps.zip", "logs/best_model.zip"], 1),
    "xgboost": (["ck/model_10.ubj", "ck/model_20.ubj"], 1),
    "xgboost, json": (["checkpoints/model_10.json", "checkpoints/config.json"], 0),
    "lightgbm": (["model.txt.snapshot_iter_10", "model.txt.snapshot_iter_20", "model.txt"], 1),
    "catboost": (["catboost_info/experiment.cbsnapshot", "catboost_info/learn_error.tsv"], 0),
    "scikit-learn": (["checkpoints/forest.joblib", "forest.joblib", "scores.pkl"], 0),
    "a script of its own": (["model.pt", "optimizer.pt"], 0),
    "data and tools": (["train.pt", "features.h5", "wandb/run-1/files/last.ckpt", "mlruns/0/a/model.pth", ".cache/hub/checkpoints/resnet.pth", "val_dict_list.json", "model.txt", "scores.npz"], None),
}  # fmt: skip


def test_newest_checkpoint_of_each_framework(study: StudyPaths) -> None:
    os.makedirs(study.model)
    for number, (framework, (names, wanted)) in enumerate(WRITTEN.items()):
        trial = study.trial(number)
        lay_out(trial)
        binding.write_config(trial, {"x": 1})
        write(Path(trial.result_dir), *names)
        assert newest(trial) == (names[wanted] if isinstance(wanted, int) else wanted), framework


def test_what_came_with_the_scripts_folder_is_not_the_trials_until_it_is_written_anew(
    trial: TrialPaths, result: Path
) -> None:
    assert newest(trial) is None
    write(result, "old/last.ckpt")
    assert newest(trial) == "old/last.ckpt"


def test_copy_of_an_older_file_is_no_checkpoint_of_the_attempt(trial: TrialPaths, result: Path, tmp_path: Path) -> None:
    write(tmp_path, "downloaded.pt", at=-1000)
    shutil.copy2(tmp_path / "downloaded.pt", result / "last.pt")
    assert newest(trial) is None


def test_links_lead_nowhere(trial: TrialPaths, result: Path, tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/last.ckpt", "a.pt")
    os.symlink(tmp_path / "elsewhere", result / "checkpoint-1")
    os.symlink(tmp_path / "a.pt", result / "last.pt")
    assert newest(trial) is None
    write(result, "epoch_1.pt")
    os.symlink("epoch_1.pt", result / "latest.pt")
    assert newest(trial) == "epoch_1.pt"


def test_of_equal_times_the_last_one_or_the_one_of_the_later_step_counts(trial: TrialPaths, result: Path) -> None:
    for name in ("epoch=9-step=90.ckpt", "epoch=10-step=100.ckpt"):
        write(result, name)
    assert newest(trial) == "epoch=10-step=100.ckpt"
    write(result, "last.ckpt")
    assert newest(trial) == "last.ckpt"


def test_folder_counts_as_a_whole(trial: TrialPaths, result: Path) -> None:
    write(result, "checkpoint-2/model.pt", at=1)
    write(result, "checkpoint-1/model.pt", at=0.5)
    write(result, "checkpoint-1/optimizer.pt", at=2)
    assert newest(trial) == "checkpoint-1"


def test_only_what_the_latest_attempt_wrote_belongs_to_its_result(trial: TrialPaths, result: Path) -> None:
    write(result, "epoch_1.pt", "epoch_2.pt")
    os.makedirs(trial.attempt(2), exist_ok=True)
    binding.write_config(trial, {"x": 2})
    earlier.record(trial, 2, finding.files_of(trial.result_dir, Checkpoints()))
    assert newest(trial, attempt=2) is None
    assert finding.newest(TrialFiles(trial, 2), Checkpoints()) == "epoch_2.pt", "where a retry goes on"
    write(result, "epoch_3.pt", at=9e8)
    assert newest(trial, attempt=2) == "epoch_3.pt"
    assert finding.left(TrialFiles(trial, 2), Checkpoints()).bytes == 3 * 12_288


def test_bytes_are_those_of_all_checkpoints_of_the_trial(trial: TrialPaths, result: Path) -> None:
    write(result, "checkpoint-1/a.pt", "last.ckpt", "log.txt")
    assert finding.left(TrialFiles(trial), Checkpoints()).bytes == 2 * 12_288


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        (["state-*.bin"], "deep/in/state-2.bin"),
        (["snapshots/"], "snapshots"),
        (["snapshots/*.txt"], "snapshots/b.txt"),
        (["deep/**"], "deep"),
        (["state-[1].bin"], "deep/in/state-1.bin"),
        (["nothing*"], None),
    ],
)
def test_patterns_of_the_study_file_replace_the_usual_ones(
    own: list[str], wanted: str | None, trial: TrialPaths, result: Path
) -> None:
    write(result, "deep/in/state-1.bin", "deep/in/state-2.bin", "snapshots/a.txt", "snapshots/b.txt", "last.ckpt")
    assert newest(trial, own) == wanted


@pytest.mark.parametrize(
    "pattern", ["", "/", "**", "/abs.pt", "../up.pt", "~/home.pt", "!last.pt", "[z-a].pt", "*a" * 9]
)
def test_patterns_that_cannot_be_meant_are_refused(pattern: str) -> None:
    assert patterns.problem(pattern)


def torn(kind: str) -> tuple[bytes, bytes]:
    """A whole file of the kind, and what is left of it when the script is killed while it writes."""
    if kind == "zip":
        path = Path("x.zip")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data", os.urandom(100_000))
        whole = path.read_bytes()
        path.unlink()
    elif kind == "safetensors":
        whole = safetensors(2000)
    else:
        whole = (
            b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(24) + struct.pack("<Q", 4096) + bytes(4048)
        )
    return whole, whole[:-40]


@pytest.mark.parametrize(("kind", "ending"), [("zip", "ckpt"), ("safetensors", "safetensors"), ("hdf5", "h5")])
def test_file_that_was_cut_off_is_passed_over(
    kind: str, ending: str, trial: TrialPaths, result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole, cut = torn(kind)
    write(result, f"epoch_1.{ending}", data=whole)
    write(result, f"epoch_2.{ending}", at=2, data=cut)
    write(result, f"epoch_3.{ending}", at=3, data=b"")
    assert newest(trial) == f"epoch_1.{ending}"
    write(result, f"epoch_2.{ending}", at=2, data=whole)
    assert newest(trial) == f"epoch_2.{ending}"
