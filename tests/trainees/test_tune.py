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
