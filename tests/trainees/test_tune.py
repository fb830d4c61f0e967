"""Any module and data module as a trial: real trainings of a small network, in this process and as people start it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")
torch: Any = pytest.importorskip("torch")
pl: Any = pytest.importorskip("lightning.pytorch")

from hpo_trainees.tune import tune_main  # noqa: E402


class Net(pl.LightningModule):  # type: ignore[misc]
    def __init__(self, lr: float = 0.05, width: int = 4, weight_decay: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        self.lr, self.weight_decay = lr, weight_decay
        self.net = torch.nn.Sequential(
            torch.nn.Linear(2, width), torch.nn.Tanh(), torch.nn.Dropout(dropout), torch.nn.Linear(width, 1)
        )

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = torch.nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", torch.nn.functional.mse_loss(self.net(batch[0]), batch[1]), batch_size=len(batch[0]))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)


class Data(pl.LightningDataModule):  # type: ignore[misc]
    def __init__(self, batch_size: int = 8, samples: int = 32) -> None:
        super().__init__()
        self.batch_size = batch_size
        inputs = torch.rand(samples, 2, generator=torch.Generator().manual_seed(0))
        self.set = torch.utils.data.TensorDataset(inputs, inputs.sum(dim=1, keepdim=True))

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(self.set, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(self.set, batch_size=64)


Tune = Callable[..., Any]


def slice_of(*cases: Any) -> list[Any]:
    """The first case by default, the others with -m slow: each is a training of its own."""
    first, *others = cases
    return [first, *(pytest.param(*(c if isinstance(c, tuple) else (c,)), marks=pytest.mark.slow) for c in others)]


@pytest.fixture
def tune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tune:
    """Trains as a trial with this config.json does, in a folder of its own."""

    def run(settings: dict[str, Any], model: Any = Net, data: Any = Data, *, folder: str = "trial", **more: Any) -> Any:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / "config.json").write_text(json.dumps(settings))
        monkeypatch.chdir(place)
        monkeypatch.setenv("RESULT_DIR", str(place))
        monkeypatch.setenv("LOG_DIR", str(place / "logs"))
        monkeypatch.setenv("SUBID", "0")
        base = {"accelerator": "cpu", "logger": False, "max_epochs": 2, "num_sanity_val_steps": 0}
        return tune_main(model, data, trainer={**base, **more.pop("trainer", {})}, arguments=[], **more)

    return run


def rows(folder: Path) -> list[dict[str, float]]:
    return json.loads((folder / "val_dict_list.json").read_text())


def test_keys_reach_model_data_and_trainer_and_each_validation_is_reported(tune: Tune, tmp_path: Path) -> None:
    done = tune({"lr": 0.02, "width": 3.0, "data.batch_size": 16, "max_epochs": 3, "trainer.gradient_clip_val": 1})
    assert (done.module.lr, done.module.net[0].out_features, done.data.batch_size) == (0.02, 3, 16)
    assert (done.trainer.gradient_clip_val, done.trainer.max_epochs) == (1, 3)
    found = rows(tmp_path / "trial")
    assert [row["step"] for row in found] == [1, 2, 3]
    summary = json.loads((tmp_path / "trial" / "summary.json").read_text())
    assert summary == done.summary and summary["model"] == {"lr": 0.02, "width": 3}
    best = min(found, key=lambda row: row["val_loss"])
    assert (summary["best"]["value"], summary["best"]["epoch"]) == (pytest.approx(best["val_loss"]), best["step"])
    assert summary["metrics"]["val_loss"] == pytest.approx(found[-1]["val_loss"])
    for name in ("best.ckpt", "last.ckpt"):
        assert (tmp_path / "trial" / name).exists()
    assert summary["best"]["checkpoint"] == str(tmp_path / "trial" / "best.ckpt")


# -- the Trainer's features, by configuration alone ------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, used", slice_of(("bf16", "bf16-mixed"), (32, "32-true"), ("64-true", "64-true"), (16, "bf16-mixed"))
)
def test_precision(tune: Tune, given: Any, used: str) -> None:
    """(Lightning takes bfloat16 for 16 on a CPU, and says so.)"""
    done = tune({"precision": given, "max_epochs": 1})
    assert done.summary["precision"] == used == str(done.trainer.precision)


def test_gradients_are_accumulated_and_clipped(tune: Tune) -> None:
    done = tune({"accumulate_grad_batches": 2.0, "gradient_clip_val": 0.1, "gradient_clip_algorithm": "value"})
    assert done.trainer.global_step == 2 * 4 // 2  # epochs, batches
    assert done.trainer.gradient_clip_algorithm == "value"


def test_accelerator_and_devices_auto(tune: Tune) -> None:
    done = tune({"accelerator": "auto", "devices": "auto", "max_epochs": 1})
    assert done.summary["devices"] == done.trainer.num_devices >= 1


def test_fast_dev_run_tries_a_batch_and_keeps_nothing(tune: Tune, tmp_path: Path) -> None:
    done = tune({"fast_dev_run": True, "lr_finder": True})
    assert done.trainer.global_step == 1 and done.summary["best"] is None and not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize("word", slice_of("simple", "advanced", "pytorch"))
def test_profiler_reports_are_in_log_dir(tune: Tune, tmp_path: Path, word: str) -> None:
    tune({"profiler": word, "max_epochs": 1})
    (report,) = (tmp_path / "trial" / "logs").glob(f"*profile-{word}*.txt")
    assert "Profiler Report" in report.read_text()
    if word != "pytorch":  # (that one has a trace besides, for a browser)
        assert "training_step" in report.read_text()


def test_early_stopping_ends_a_training_that_does_not_improve(tune: Tune) -> None:
    done = tune({"lr": 0.0, "max_epochs": 50, "early_stopping.patience": 2})
    assert done.trainer.current_epoch == 3


def test_averaged_weights_are_validated_and_kept(tune: Tune, tmp_path: Path) -> None:
    done = tune({"swa.swa_epoch_start": 1, "swa.annealing_epochs": 1, "max_epochs": 4})
    last = rows(tmp_path / "trial")[-1]
    kept = torch.load(tmp_path / "trial" / "swa.ckpt", weights_only=False)["state_dict"]
    assert last["step"] == 4 and last["swa_val_loss"] > 0
    assert all(torch.equal(kept[name], value) for name, value in done.module.state_dict().items())
    best = torch.load(tmp_path / "trial" / "last.ckpt", weights_only=False)["state_dict"]
    assert any(not torch.equal(best[name], value) for name, value in kept.items())


# -- finders ---------------------------------------------------------------------------------------------------------


def test_what_the_learning_rate_finder_chose_is_trained_with_and_reported(tune: Tune, tmp_path: Path) -> None:
    done = tune({"lr": 123.0, "lr_finder.num_training": 30, "max_epochs": 1})
    found = done.summary["found"]["lr"]
    assert done.module.lr == done.trainer.optimizers[0].param_groups[0]["lr"] == found != 123.0
    assert rows(tmp_path / "trial")[0]["found_lr"] == pytest.approx(found)
    assert json.loads((tmp_path / "trial" / "found.json").read_text()) == {"lr": found}
    plain = tune({"lr": found, "max_epochs": 1}, folder="plain")  # the same training as with that rate from the start
    assert plain.summary["metrics"] == done.summary["metrics"]


class Small(Net):
    """Fits no more than 11 samples into its memory."""

    seen: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if len(batch[0]) > 11:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        self.seen.append(len(batch[0]))
        return super().training_step(batch, batch_idx)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", slice_of({"max_val": 16}, {"init_val": 16, "max_trials": 1}, {"mode": "binsearch"}, {})
)
def test_a_batch_size_that_was_never_tried_is_tried_before_it_counts(tune: Tune, options: dict[str, Any]) -> None:
    """Lightning's finder answers with `max_val` unseen, and with a half that it did not come to try."""
    Small.seen = []
    settings = {"batch_size_finder": options or True, "max_epochs": 1}
    done = tune(settings, Small)
    found = done.summary["found"]["batch_size"]
    assert found <= 11 and found in Small.seen and done.data.batch_size == found


@pytest.mark.slow
def test_the_finder_of_lightning_alone_names_a_size_that_it_never_tried(tmp_path: Path) -> None:
    """What the guard is for; if this fails, Lightning has changed, and the guard may go."""
    from lightning.pytorch.tuner.tuning import Tuner

    Small.seen = []
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=str(tmp_path), max_epochs=1
    )
    size = Tuner(trainer).scale_batch_size(Small(), datamodule=Data(samples=64), max_val=16)
    assert size == 16 and 16 not in Small.seen


def test_the_whole_training_set_is_the_largest_batch(tune: Tune) -> None:
    assert tune({"batch_size_finder": True, "max_epochs": 1}).summary["found"]["batch_size"] == 32


@pytest.mark.slow
def test_a_loader_that_does_not_heed_the_batch_size_is_refused(tune: Tune, capsys: Any) -> None:
    class Fixed(Data):
        def train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(self.set, batch_size=4)

    with pytest.raises(SystemExit):
        tune({"batch_size_finder": True}, data=Fixed)
    assert "train_dataloader gives batches of 4: it must read self.batch_size" in capsys.readouterr().err


# -- modules of all kinds --------------------------------------------------------------------------------------------


class Silent(Net):
    """Without validation."""

    validation_step = pl.LightningModule.validation_step


class TwoOptimizers(Net):
    def __init__(self, lr: float = 0.05) -> None:
        super().__init__(lr)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(torch.nn.functional.mse_loss(self.net(batch[0]), batch[1]))
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(layer.parameters(), lr=self.lr) for layer in (self.net[0], self.net[3])]


class TwoLoaders(Data):
    def val_dataloader(self) -> Any:
        return [super().val_dataloader(), super().val_dataloader()]


class Scored(Net):
    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        super().validation_step(batch, batch_idx)
        self.log("val_acc", 0.5 - 0.1 * self.current_epoch)


@pytest.mark.parametrize(
    "model, data, watched",
    [
        (Silent, Data, ("train_loss", "min")),
        (TwoOptimizers, Data, ("val_loss", "min")),
        (Scored, TwoLoaders, ("val_loss/dataloader_idx_0", "min")),
    ],
)
def test_modules_of_all_kinds_train_report_and_resume(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any, data: Any, watched: Any
) -> None:
    done = tune({"max_epochs": 1}, model, data)
    assert (done.summary["best"]["metric"], done.summary["best"]["mode"]) == watched
    assert rows(tmp_path / "trial")[0]["step"] == 1 and watched[0] in rows(tmp_path / "trial")[0]
    monkeypatch.setenv("HPO_RESUME_FROM", str(tmp_path / "trial" / "last.ckpt"))
    again = tune({"max_epochs": 2, "lr": 0.01}, model, data)
    assert again.trainer.current_epoch == 2
    assert {group["lr"] for optimizer in again.trainer.optimizers for group in optimizer.param_groups} == {0.01}


def test_the_studys_objective_is_watched_and_the_scripts_own_choice_wins(tune: Tune, monkeypatch: Any) -> None:
    monkeypatch.setenv("HPO_METRIC", "val_acc")
    monkeypatch.setenv("HPO_GOAL", "maximize")
    best = tune({}, Scored).summary["best"]
    assert (best["metric"], best["mode"], best["epoch"]) == ("val_acc", "max", 1)
    assert tune({"monitor": "val_loss"}, Scored, folder="own").summary["best"]["metric"] == "val_loss"
    monkeypatch.setenv("HPO_METRIC", "printed by something else")
    assert tune({}, Scored, folder="other").summary["best"]["metric"] == "val_loss"


class Classes(Data):
    def __init__(self, root: str, batch_size: int = 8) -> None:
        super().__init__(batch_size)
        self.root = root

    def setup(self, stage: str) -> None:
        self.width = 5


def test_a_module_takes_what_the_data_module_knows(tune: Tune, capsys: Any) -> None:
    link = {"data.width": "model.width"}
    done = tune({"root": "/d"}, data=Classes, link=link)
    assert done.module.net[0].out_features == 5 and done.data.root == "/d"
    with pytest.raises(SystemExit) as ended:
        tune({}, data=Classes, link=link)
    assert ended.value.code == 2
    assert "Classes needs data.root" in capsys.readouterr().err.splitlines()[-1]


class Saved(Data):
    """Its arguments are only in `hparams`, as after `save_hyperparameters`."""

    def __init__(self, columns: int = 3, batch_size: int = 8) -> None:
        super().__init__(batch_size)
        self.save_hyperparameters()


def test_a_module_takes_an_argument_of_the_data_module_that_nothing_sets(tune: Tune) -> None:
    link = {"data.columns": "model.width"}
    assert tune({}, data=Saved, link=link).module.net[0].out_features == 3
    assert tune({"columns": 4}, data=Saved, link=link).module.net[0].out_features == 4


def test_a_wrong_configuration_ends_with_one_line(tune: Tune, capsys: Any) -> None:
    for settings, text in (
        ({"learning_rate": 1}, 'unknown key "learning_rate": did you mean'),
        ({"monitor": "val_f1"}, 'the module does not log "val_f1": it logs '),
        ({"trainer.accelerator": "abacus"}, "trainer: "),
        ({"devices": 2, "lr_finder": True}, "lr_finder works in one process"),
    ):
        with pytest.raises(SystemExit) as ended:
            tune(settings)
        lines = capsys.readouterr().err.strip().splitlines()
        assert ended.value.code == 2 and text in lines[-1], lines


# -- resume ----------------------------------------------------------------------------------------------------------


def test_a_resumed_training_is_the_uninterrupted_one_and_takes_new_values(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tune({"max_epochs": 4, "dropout": 0.3}, folder="whole")
    tune({"max_epochs": 2, "dropout": 0.3})
    monkeypatch.setenv("HPO_RESUME_FROM", str(tmp_path / "trial" / "last.ckpt"))
    again = tune({"max_epochs": 4, "dropout": 0.3})
    for one, other in zip(whole.module.parameters(), again.module.parameters(), strict=True):
        assert torch.equal(one, other)
    assert rows(tmp_path / "trial")[2:] == rows(tmp_path / "whole")[2:]
    assert again.summary["best"]["value"] == whole.summary["best"]["value"]

    changed = tune({"max_epochs": 5, "lr": 0.001, "weight_decay": 0.25})
    group = changed.trainer.optimizers[0].param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.001, 0.25)


class Deaf(Net):
    """Its optimizer does not know the configured rate."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_new_learning_rate_that_does_not_arrive_fails_the_trial(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune({"max_epochs": 1, "lr": 0.1}, Deaf)
    monkeypatch.setenv("HPO_RESUME_FROM", str(tmp_path / "trial" / "last.ckpt"))
    with pytest.raises(RuntimeError, match="learning rate is 0.2 and was 0.1 .* still gives 0.1"):
        tune({"max_epochs": 2, "lr": 0.2}, Deaf)


def test_a_resumed_training_keeps_what_the_finder_chose(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"lr_finder.num_training": 20}
    first = tune({**settings, "max_epochs": 1})
    monkeypatch.setenv("HPO_RESUME_FROM", str(tmp_path / "trial" / "last.ckpt"))
    again = tune({**settings, "max_epochs": 2})
    assert again.summary["found"] == first.summary["found"] and again.trainer.current_epoch == 2


def test_help_asks_for_nothing_that_a_switch_fills_in(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tune_main(Net, Data, arguments=["--help"])
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("  --")]
    shown = {line[0]: line[1] for line in lines}
    assert "required" not in shown.values() and shown["--early_stopping"].startswith("off")
    assert shown["--swa.swa_lrs"] == shown["--early_stopping.monitor"] == "optional"
