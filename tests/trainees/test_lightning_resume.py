"""New values of the optimizer's parameters arrive when Lightning goes on from a checkpoint, or the run fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")
torch: Any = pytest.importorskip("torch")
pl: Any = pytest.importorskip("lightning.pytorch")

from hpo_trainees.lightning import ResumeCallback, resume_from  # noqa: E402

SCHEDULERS: dict[str, Any] = {
    "none": None,
    "steps": lambda o: torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5),
    "exponential": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5),
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: 0.5**epoch),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 8),
    "warm-up, then steps": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [torch.optim.lr_scheduler.ConstantLR(o, 0.1, 1), torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5)],
        milestones=[1],
    ),
}


class Module(pl.LightningModule):  # type: ignore[misc]
    """One weight; remembers the parameters of the optimizer at each step."""

    def __init__(self, lr: float, decay: float, schedule: str = "none", optimizer: str = "sgd") -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.lr, self.decay, self.schedule, self.kind = lr, decay, schedule, optimizer
        self.seen: list[tuple[float, float]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return (self.weight * batch[0]).square().mean()

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        group = optimizer.param_groups[0]
        self.seen.append((float(group["lr"]), float(group["weight_decay"])))

    def configure_optimizers(self) -> Any:
        made = {"sgd": torch.optim.SGD, "adam": torch.optim.AdamW}[self.kind]
        optimizer = made(self.parameters(), lr=self.lr, weight_decay=self.decay)
        make = SCHEDULERS[self.schedule]
        return optimizer if make is None else ([optimizer], [make(optimizer)])


def fit(module: Module, folder: Path, epochs: int, *callbacks: Any, ckpt: Path | None = None) -> Module:
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(2, 1)), batch_size=1)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=list(callbacks), default_root_dir=str(folder),
    )  # fmt: skip
    trainer.fit(module, data, ckpt_path=None if ckpt is None else str(ckpt))
    trainer.save_checkpoint(str(folder / "last.ckpt"))
    return module


@pytest.mark.by_default("sgd-exponential")
@pytest.mark.parametrize("schedule", SCHEDULERS)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_new_values_arrive_and_the_schedule_keeps_its_place(optimizer: str, schedule: str, tmp_path: Path) -> None:
    fit(Module(0.1, 0.01, schedule, optimizer), tmp_path, 2, ResumeCallback())
    through = fit(Module(0.04, 0.0, schedule, optimizer), tmp_path / "whole", 4)  # with these values throughout
    again = fit(Module(0.04, 0.0, schedule, optimizer), tmp_path, 4, ResumeCallback(), ckpt=tmp_path / "last.ckpt")
    assert [decay for _, decay in again.seen] == [0.0] * 4
    assert [lr for lr, _ in again.seen] == pytest.approx([lr for lr, _ in through.seen[4:]], rel=1e-5)


def test_one_cycle_is_as_long_as_configured_now(tmp_path: Path) -> None:
    class OneCycle(Module):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
            steps = int(self.trainer.estimated_stepping_batches)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps, cycle_momentum=False)
            return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    fit(OneCycle(0.1, 0.0), tmp_path, 2, ResumeCallback())
    again = fit(OneCycle(0.1, 0.0), tmp_path, 4, ResumeCallback(), ckpt=tmp_path / "last.ckpt")
    rates = [lr for lr, _ in again.seen]  # of the second half of eight steps
    assert len(rates) == 4 and rates[1:] == sorted(rates[1:], reverse=True) and rates[-1] < 0.03


def test_lightning_alone_brings_the_old_values_back(tmp_path: Path) -> None:
    """What the callback is for; if this fails, Lightning has changed, and the callback may go."""
    fit(Module(0.1, 0.01), tmp_path, 1)
    assert fit(Module(0.04, 0.0), tmp_path, 2, ckpt=tmp_path / "last.ckpt").seen == [(0.1, 0.01)] * 2


def test_a_checkpoint_that_the_callback_did_not_see_made(tmp_path: Path) -> None:
    fit(Module(0.1, 0.01, "steps"), tmp_path, 2)
    again = fit(Module(0.04, 0.0, "steps"), tmp_path, 3, ResumeCallback(), ckpt=tmp_path / "last.ckpt")
    assert [lr for lr, _ in again.seen] == pytest.approx([0.01] * 2) and [decay for _, decay in again.seen] == [0.0] * 2


def test_what_sets_them_back_is_an_error(tmp_path: Path) -> None:
    class Back(pl.Callback):  # type: ignore[misc]
        def on_train_batch_start(self, trainer: Any, *rest: Any) -> None:
            trainer.optimizers[0].param_groups[0]["lr"] = 0.1

    fit(Module(0.1, 0.01), tmp_path, 1, ResumeCallback())
    with pytest.raises(RuntimeError, match="learning rate is 0.1, the checkpoint's, and not 0.04: something has set"):
        fit(Module(0.04, 0.01), tmp_path, 2, ResumeCallback(), Back(), ckpt=tmp_path / "last.ckpt")


def test_a_module_that_is_configured_with_old_values_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="configured with learning rate 0.1, not with 0.04"):
        fit(Module(0.1, 0.01), tmp_path, 1, ResumeCallback(learning_rate=0.04))
    fit(Module(0.1, 0.01), tmp_path, 1, ResumeCallback(learning_rate=0.1, weight_decay=0.01))


def test_a_run_that_begins_afresh_is_left_alone(tmp_path: Path, capsys: Any) -> None:
    assert fit(Module(0.1, 0.01), tmp_path, 1, ResumeCallback()).seen == [(0.1, 0.01)] * 2
    assert "goes on from" not in capsys.readouterr().out
    fit(Module(0.04, 0.0), tmp_path, 2, ResumeCallback(), ckpt=tmp_path / "last.ckpt")
    assert "with learning rate 0.04, not 0.1; weight decay 0, not 0.01" in capsys.readouterr().out


def test_where_a_run_goes_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPO_RESUME_FROM", raising=False)
    assert resume_from() is None
    monkeypatch.setenv("HPO_RESUME_FROM", str(tmp_path))
    assert resume_from() is None, "a folder is no checkpoint of Lightning"
    (tmp_path / "last.ckpt").touch()
    monkeypatch.setenv("HPO_RESUME_FROM", str(tmp_path / "last.ckpt"))
    assert resume_from() == str(tmp_path / "last.ckpt")
