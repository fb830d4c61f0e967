"""TuneCLI: LightningCLI's parser with config.json beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")
pytest.importorskip("jsonargparse")
torch: Any = pytest.importorskip("torch")
pl: Any = pytest.importorskip("lightning.pytorch")

from hpo_trainees.tune_cli import TuneCLI  # noqa: E402


class Net(pl.LightningModule):  # type: ignore[misc]
    def __init__(self, width: int = 4, act: str = "tanh", samples: int = 1) -> None:
        super().__init__()
        self.net = torch.nn.Linear(2, 1)
        self.width, self.samples = width, samples

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.net(batch[0]).square().mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.net(batch[0]).square().mean())


class Data(pl.LightningDataModule):  # type: ignore[misc]
    def __init__(self, batch_size: int = 8, samples: int = 32) -> None:
        super().__init__()
        self.batch_size, self.samples = batch_size, samples

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(self.samples, 2)), self.batch_size)

    val_dataloader = train_dataloader


class Linked(TuneCLI):
    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.link_arguments("data.samples", "model.samples")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESULT_DIR", str(tmp_path))
    monkeypatch.setenv("SUBID", "0")
    (tmp_path / "base.yaml").write_text(
        "trainer: {accelerator: cpu, max_epochs: 1, logger: false}\nmodel: {width: 2}\n"
        "optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.5}}\n"
    )
    return tmp_path


def tuned(folder: Path, monkeypatch: Any, settings: dict[str, Any], *words: str) -> Any:
    (folder / "config.json").write_text(json.dumps(settings))
    monkeypatch.setattr("sys.argv", ["main.py", *words])
    return Linked(Net, Data)


def test_config_json_wins_over_files_and_the_command_line_over_both(folder: Path, monkeypatch: Any) -> None:
    settings = {
        "width": 8.0,
        "samples": 16,
        "optimizer.lr": 0.25,
        "epochs": 2,
        "act": "relu",
        "early_stopping.patience": 5,
    }
    cli = tuned(folder, monkeypatch, settings, "fit", "--config", "base.yaml", "--model.act=gelu")
    done = cli.outcome
    assert (done.module.width, done.module.samples, done.data.samples) == (8, 16, 16)  # the plain name is the source
    assert (cli.config.model.act, done.trainer.max_epochs) == ("gelu", 2)
    assert done.trainer.optimizers[0].param_groups[0]["lr"] == 0.25
    assert done.summary["model"]["width"] == 8 and done.summary["best"]["metric"] == "val_loss"
    assert len(json.loads((folder / "val_dict_list.json").read_text())) == 2


def test_an_unknown_key_is_refused_with_one_line(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        tuned(folder, monkeypatch, {"widht": 8}, "--config", "base.yaml")
    assert ended.value.code == 2
    assert 'unknown key "widht": did you mean model.width?' in capsys.readouterr().err.splitlines()[-1]
