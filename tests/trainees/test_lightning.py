"""The Lightning callback and the digits task, with real trainers on tiny data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def line() -> Any:
    pytest.importorskip("torch")
    pytest.importorskip("lightning")
    from tests.support import line

    return line


@pytest.fixture(autouse=True)
def result_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESULT_DIR", str(tmp_path))
    return tmp_path


def mean(values: list[float]) -> Any:
    return pytest.approx(sum(values) / len(values), rel=1e-5)


def test_a_row_an_epoch_with_true_means_over_uneven_batches(result_dir: Path, line: Any) -> None:
    model = line.Line()
    first, second = line.fit(result_dir, model)
    assert (first["step"], second["step"]) == (1, 2)
    assert first["val_mean"] == second["val_mean"] == mean(line.VAL)
    # Train and validation loss of the same epoch stand in the same row.
    assert first["train_loss"] == mean(model.train_losses[0])
    assert second["train_loss"] == mean(model.train_losses[1])
    assert first["train_loss"] != second["train_loss"]


def test_sanity_check_is_not_reported(result_dir: Path, line: Any) -> None:
    rows = line.fit(result_dir, line.Line(), num_sanity_val_steps=-1)
    assert [row["validations"] for row in rows] == [0, 1]


def test_values_of_single_batches_are_left_out(result_dir: Path, line: Any) -> None:
    rows = line.fit(result_dir, line.Line(on_step=True))
    assert all("of_one_batch" not in row and "train_loss_step" not in row for row in rows)
    assert all(row["train_loss"] == row["train_loss_epoch"] for row in rows)


def test_validation_every_second_epoch_gives_a_row_for_those(result_dir: Path, line: Any) -> None:
    model = line.Line()
    rows = line.fit(result_dir, model, max_epochs=5, check_val_every_n_epoch=2)
    assert [row["step"] for row in rows] == [2, 4]
    assert [row["train_loss"] for row in rows] == [mean(model.train_losses[1]), mean(model.train_losses[3])]


def test_validation_within_epochs_counts_steps_and_duplicates_none(result_dir: Path, line: Any) -> None:
    model = line.Line()
    rows = line.fit(result_dir, model, val_check_interval=1, max_epochs=2)  # three batches an epoch
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["validations"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert ["train_loss" in row for row in rows] == [False, False, True] * 2
    assert rows[5]["train_loss"] == mean(model.train_losses[1])


def test_an_end_within_an_epoch_loses_no_validation(result_dir: Path, line: Any) -> None:
    rows = line.fit(result_dir, line.Line(), val_check_interval=1, max_epochs=-1, max_steps=4)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]


def test_without_validation_there_is_a_row_an_epoch(result_dir: Path, line: Any) -> None:
    model = line.Line()
    rows = line.fit(result_dir, model, val=False)
    assert [row["step"] for row in rows] == [1, 2]
    assert [row["train_loss"] for row in rows] == [mean(losses) for losses in model.train_losses]


def test_what_the_module_logs_at_the_end_of_the_epoch_is_in_its_row(result_dir: Path, line: Any) -> None:
    class Late(line.Line):  # type: ignore[misc]
        def on_train_epoch_end(self) -> None:
            self.log("late", float(self.current_epoch))
            self.log("step", 100.0)  # a common trick to move a logger's x axis

    rows = line.fit(result_dir, Late())
    assert [(row["step"], row["late"]) for row in rows] == [(1, 0), (2, 1)]


def test_a_value_that_is_no_number_any_more_is_reported(result_dir: Path, line: Any) -> None:
    import torch

    class Lost(line.Line):  # type: ignore[misc]
        def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
            self.log("val_loss", torch.tensor(float("nan")))

    rows = line.fit(result_dir, Lost())
    assert len(rows) == 2 and all(row["val_loss"] != row["val_loss"] for row in rows)


def test_only_the_process_of_rank_0_reports(result_dir: Path, monkeypatch: pytest.MonkeyPatch, line: Any) -> None:
    import lightning.pytorch as pl

    monkeypatch.setattr(pl.Trainer, "is_global_zero", False)
    assert line.fit(result_dir, line.Line()) == []


def test_validation_outside_of_fit_is_not_reported(result_dir: Path, line: Any) -> None:
    import lightning.pytorch as pl

    from hpo_trainees.lightning import ReportCallback

    options: dict[str, Any] = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "accelerator": "cpu",
    }
    trainer = pl.Trainer(max_epochs=1, callbacks=[ReportCallback()], enable_model_summary=False, **options)
    model = line.Line()
    trainer.validate(model, line.loader(line.VAL, 2), verbose=False)
    trainer.fit(model, line.loader(line.TRAIN, 4), line.loader(line.VAL, 2))
    trainer.validate(model, line.loader(line.VAL, 2), verbose=False)
    rows = json.loads((result_dir / "val_dict_list.json").read_text())
    assert [(row["step"], row["validations"]) for row in rows] == [(1, 1)]


@pytest.mark.parametrize(("imported", "expected"), [("pytorch_lightning", "pytorch_lightning"), ("json", "lightning")])
def test_the_package_that_the_script_uses_is_taken(imported: str, expected: str, tmp_path: Path) -> None:
    # Stand-ins for both packages: importing the real second one would cost seconds.
    for name in ("pytorch_lightning", "lightning/pytorch"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("class Callback: pass\n")
    (tmp_path / "lightning" / "__init__.py").touch()
    root = Path(__file__).resolve().parents[2]
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]; import {imported}\n"
    code += "from hpo_trainees.lightning import ReportCallback; print(ReportCallback.__mro__[1].__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split(".")[0].strip() == expected, done.stderr


# -- digits ----------------------------------------------------------------------------------------------------------


@pytest.mark.by_default("adam-mlp")
@pytest.mark.parametrize("arch", ["mlp", "cnn"])
@pytest.mark.parametrize("optimizer", ["adam", pytest.param("sgd", marks=pytest.mark.slow)])
def test_digits_are_learnt(result_dir: Path, arch: str, optimizer: str) -> None:
    pytest.importorskip("sklearn")
    import lightning.pytorch as pl

    from hpo_trainees.digits import DigitsData, DigitsModule
    from hpo_trainees.lightning import ReportCallback

    pl.seed_everything(0, verbose=False)
    rate = {"adam": 3e-3, "sgd": 0.1}[optimizer]
    module = DigitsModule(arch=arch, hidden=32, dropout=0.1, learning_rate=rate, optimizer=optimizer, weight_decay=1e-4)
    trainer = pl.Trainer(
        max_epochs=3,
        callbacks=[ReportCallback()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(module, DigitsData(batch_size=32))
    rows = json.loads((result_dir / "val_dict_list.json").read_text())
    assert [set(row) for row in rows] == [{"step", "train_loss", "val_loss", "val_acc"}] * 3
    assert rows[-1]["val_acc"] > 0.85 and rows[-1]["val_loss"] < rows[0]["val_loss"]


def test_digits_split_is_fixed_by_its_seed_and_loses_no_image() -> None:
    pytest.importorskip("sklearn")
    import torch
    from torch.utils.data import DataLoader

    from hpo_trainees.digits import DigitsData

    def images(loader: DataLoader[Any]) -> list[bytes]:
        return sorted(image.numpy().tobytes() for batch in loader for image in batch[0])

    torch.manual_seed(1)
    one, same, other = DigitsData(), DigitsData(batch_size=7), DigitsData(split_seed=1)
    for data in (one, same, other):
        data.setup("fit")
        torch.rand(3)
    assert images(one.val_dataloader()) == images(same.val_dataloader()) != images(other.val_dataloader())
    train, val = images(one.train_dataloader()), images(one.val_dataloader())
    assert len(train) + len(val) == 1797 and len(val) == 359
    assert sorted(train + val) == sorted(images(other.train_dataloader()) + images(other.val_dataloader()))


@pytest.mark.parametrize("wrong", [{"arch": "rnn"}, {"optimizer": "lion"}])
def test_digits_refuse_what_they_do_not_know(wrong: dict[str, Any]) -> None:
    pytest.importorskip("sklearn")
    from hpo_trainees.digits import DigitsModule

    with pytest.raises(ValueError, match="must be"):
        DigitsModule(**wrong)


class _Ended:
    """A callback that has the run ended after its third batch, as the engine does it: stop.json, then SIGTERM."""

    def __new__(cls, signal_too: bool) -> Any:
        from lightning.pytorch import Callback

        class Ends(Callback):
            batches = 0

            def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
                self.batches += 1
                if self.batches == 4:
                    note = {
                        "cause": "early",
                        "reason": "not promising",
                        "at": time.time(),
                        "deadline": time.time() + 60,
                    }
                    Path(os.environ["RESULT_DIR"], "stop.json").write_text(json.dumps(note))
                    if signal_too:
                        os.kill(os.getpid(), signal.SIGTERM)

        return Ends()


@pytest.mark.parametrize("signal_too", [True, False])
def test_a_run_that_is_ended_saves_a_checkpoint_that_training_goes_on_from(
    result_dir: Path, line: Any, signal_too: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpo_trainees import report
    from hpo_trainees.lightning import CHECKPOINT, ReportCallback

    monkeypatch.setattr(report, "_ending", report._Ending())
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        model = line.Line()
        callbacks = [_Ended(signal_too), ReportCallback()]
        if signal_too:
            with pytest.raises(SystemExit):
                line.fit(result_dir, model, max_epochs=50, callbacks=callbacks)
        else:
            line.fit(result_dir, model, max_epochs=50, callbacks=callbacks)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert callbacks[0].batches == 4, "it ended after that batch"
    rows = json.loads((result_dir / "val_dict_list.json").read_text())
    assert [row["step"] for row in rows] == [1]
    import torch

    saved = torch.load(result_dir / CHECKPOINT, weights_only=False)
    assert (saved["epoch"], saved["global_step"]) == (1, 4)
    assert not (result_dir / f"{CHECKPOINT}.part").exists()
