"""What a training leaves behind: the best and the last checkpoint, and a summary of how it went.

Knows which metric is watched, and settles it by what the module logs if nobody has said so.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from hpo_trainees.values import ConfigError

SUMMARY_FILE = "summary.json"
_LARGER = re.compile(
    r"(^|[/_.\-\s])(b?acc|accuracy|auc|auroc|f1|f1score|precision|recall|iou|miou|map|dice|bleu|rouge\w*|r2|score|reward|"
    r"return|psnr|ssim|top\d+|specificity|sensitivity|kappa|mcc)($|[/_.\-@\s\d])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Goal:
    """What to watch. `metric` None: settled by what is logged; `mode` None: by the metric's name.

    `firm`: the metric was named for this script, so its absence is an error; else it is a wish, as a study's is.
    """

    metric: str | None = None
    mode: str | None = None
    firm: bool = False

    def settled(self, logged: Iterable[str]) -> tuple[str, str]:
        """(metric, "min" or "max") of those that are logged.

        In this order: the named one; `val_loss`; a validation loss; any validation metric; a loss; any metric.

        Raises:
            ConfigError: nothing is logged, or not the metric that was named.
        """
        names = list(logged)
        if self.metric in names:
            return str(self.metric), self.mode or mode_of(str(self.metric))
        if self.metric is not None and self.firm:
            raise ConfigError(f'the module does not log "{self.metric}": it logs {", ".join(names) or "nothing"}')
        if not names:
            raise ConfigError("the module logs no metric: call self.log(...) in validation_step or training_step")
        name = min(names, key=lambda name: (_rank(name), names.index(name)))
        return name, mode_of(name)


def mode_of(metric: str) -> str:
    """ "max" for accuracies, scores and the like, else "min"."""
    return "max" if _LARGER.search(metric) and "loss" not in metric.lower() else "min"


def _rank(name: str) -> int:
    words = name.lower()
    validation, loss = bool(re.search(r"(^|[/_.\-\s])(val|valid|validation|dev|eval)", words)), "loss" in words
    if words in ("val_loss", "val/loss"):
        return 0
    return {(True, True): 1, (True, False): 2, (False, True): 3}.get((validation, loss), 4)


class _Settles(Callback):
    """A callback whose metric is settled when the first one is logged."""

    goal: Goal
    monitor: Any  # the metric; None until it is settled

    def settle(self, trainer: Trainer) -> None:
        if self.monitor is None and not trainer.sanity_checking and trainer.state.fn == "fit":
            names = [name for name in trainer.callback_metrics if name != "step"]
            self.monitor, mode = self.goal.settled(names)
            self.take(mode)

    def take(self, mode: str) -> None:
        raise NotImplementedError

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.settle(trainer)
        super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.enable_validation or trainer.callback_metrics:
            self.settle(trainer)
        super().on_train_epoch_end(trainer, pl_module)


class Best(_Settles, ModelCheckpoint):
    """Keeps `best.ckpt`, of the validation with the best value so far.

    Args:
        folder: where it is kept.
        options: further arguments of ModelCheckpoint.
    """

    state_key = "hpo_trainees.Best"  # Lightning's own has the metric in it, which is not known when a run is resumed

    def __init__(self, folder: str, goal: Goal, options: Mapping[str, Any] | None = None) -> None:
        given = {"save_top_k": 1, **(options or {})}
        if given["save_top_k"] == 1:
            given = {"filename": "best", "enable_version_counter": False, **given}
        super().__init__(dirpath=folder, monitor="to be settled", **given)
        self.monitor = None
        self.goal = goal
        self.epoch: int | None = None  # of the best one, from 1

    def take(self, mode: str) -> None:
        self.mode = mode
        self.kth_value = torch.tensor(torch.inf if mode == "min" else -torch.inf)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "mode": self.mode, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = state_dict.get("dirpath") == self.dirpath and self.goal.metric in (None, state_dict.get("monitor"))
        if not here:
            return  # a copy in another folder, or another metric, begins anew with its best
        self.monitor, self.mode, self.epoch = state_dict["monitor"], state_dict["mode"], state_dict["epoch"]
        super().load_state_dict(state_dict)

    def _update_best_and_save(self, current: Any, trainer: Trainer, monitor_candidates: Any) -> None:
        before = self.best_model_score
        super()._update_best_and_save(current, trainer, monitor_candidates)
        if self.best_model_score is not before:
            self.epoch = trainer.current_epoch + 1


class Last(ModelCheckpoint):
    """Keeps `last.ckpt`, of the last validation; of the last epoch if there is none."""

    state_key = "hpo_trainees.Last"

    def __init__(self, folder: str) -> None:
        super().__init__(dirpath=folder, filename="last", enable_version_counter=False)


class Patience(_Settles, EarlyStopping):
    """Lightning's EarlyStopping on the metric that is watched.

    Args:
        options: its further arguments; `monitor` and `mode` among them win.
    """

    state_key = "hpo_trainees.Patience"

    def __init__(self, goal: Goal, options: Mapping[str, Any] | None = None) -> None:
        given = dict(options or {})
        monitor, mode = given.pop("monitor", None), given.pop("mode", None)
        if monitor is not None:
            goal = Goal(monitor, mode, firm=True)
        self.goal = Goal(goal.metric, mode or goal.mode, goal.firm)
        super().__init__(monitor="to be settled", mode="min", **given)
        self.monitor = None

    def take(self, mode: str) -> None:
        if mode != self.mode:
            self.mode, self.min_delta, self.best_score = mode, -self.min_delta, -self.best_score

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "monitor": self.monitor, "mode": self.mode}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.monitor = state_dict["monitor"]
        self.take(state_dict["mode"])
        super().load_state_dict(state_dict)


def write_json(path: str, value: Any) -> None:
    """Written aside and renamed, so that readers see a whole file."""
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, default=_plain)
        file.write("\n")
    os.replace(f"{path}.tmp", path)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
