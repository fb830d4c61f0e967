"""Lightning's learning-rate finder and batch-size finder, each in a Trainer of its own before the training begins.

The answers become ordinary values of the configuration: the training is the one that would have run with them.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.tuner.tuning import Tuner
from lightning.pytorch.utilities.data import extract_batch_size
from lightning.pytorch.utilities.memory import is_oom_error
from lightning.pytorch.utilities.parsing import lightning_hasattr

from hpo_trainees.values import ConfigError

Build = Callable[[Mapping[str, Any]], tuple[LightningModule, LightningDataModule | None]]
"""Attribute -> value, as found so far; gives a new module and data module that have them."""
MakeTrainer = Callable[..., Trainer]
"""Trainer arguments that differ from the training's."""
_QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "profiler": None,
    "min_epochs": None,
    "max_epochs": -1,
    "max_time": None,
    "val_check_interval": None,
    "check_val_every_n_epoch": 1,
    "overfit_batches": 0,
}


def find_batch_size(build: Build, make: MakeTrainer, options: Mapping[str, Any]) -> dict[str, int]:
    """The largest batch that fits in memory, or the whole training set.

    What Lightning's finder answers is trained with before it counts: it may name a size that it never tried (the limit
    `max_val`, the double of the last one that fitted). One that does not fit is halved until it does.

    Returns:
        The name of the attribute, and the size of batches that the module was really trained with.

    Raises:
        ConfigError: neither the data module nor the module has such an attribute, or the loader does not heed it.
    """
    given = dict(options)
    name = given.get("batch_arg_name", "batch_size")
    module, data = build({})
    if not (_has(module, name) or (data is not None and _has(data, name))):
        raise ConfigError(f'batch_size_finder: neither the data module nor the module has "{name}" as an attribute')
    trainer = make(**_QUIET, max_steps=-1)
    _alone(trainer, "batch_size_finder")
    size = Tuner(trainer).scale_batch_size(module, datamodule=data, **given)
    if not size:
        raise ConfigError("batch_size_finder has no answer: fast_dev_run leaves nothing to try")
    del module, data, trainer
    steps = given.get("steps_per_trial", 3)
    while (used := _try(build, make, name, size, steps)) is None:
        if size == 1:
            raise RuntimeError("batch_size_finder: not even a batch of 1 fits in memory")
        size //= 2
    if used != size:
        print(f"batch_size_finder: {size} was the answer, {used} is what the training set gives")
    return {name: used}


def _try(build: Build, make: MakeTrainer, name: str, size: int, steps: int) -> int | None:
    """Trains a few steps with batches of that size. The size of those batches; None: they do not fit in memory."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    module, data = build({name: size})
    seen = _Sizes()
    changes: dict[str, Any] = {**_QUIET, "max_steps": steps, "limit_val_batches": steps, "callbacks": [seen]}
    try:
        make(**changes).fit(module, datamodule=data)
    except RuntimeError as error:
        if not is_oom_error(error):
            raise
        return None
    if seen.largest is None:
        return size  # a batch whose size Lightning cannot tell
    most = size if seen.samples is None else min(size, seen.samples)
    if seen.largest < most:
        raise ConfigError(
            f"batch_size_finder: {name} is {size}, and train_dataloader gives batches of {seen.largest}: it must read "
            f"self.{name} when it is called"
        )
    return seen.largest


class _Sizes(Callback):
    """The largest batch, and how many samples the training set has (None: it does not say)."""

    def __init__(self) -> None:
        self.largest: int | None = None
        self.samples: int | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        try:
            size = int(extract_batch_size(batch))
        except Exception:  # a batch without a tensor in it
            return
        self.largest = max(size, self.largest or 0)
        loader: Any = trainer.train_dataloader
        try:
            self.samples = len(loader.dataset)
        except (AttributeError, TypeError):
            self.samples = None


def find_lr(build: Build, make: MakeTrainer, found: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, float]:
    """The learning rate at which the loss falls fastest while the rate rises from batch to batch.

    Args:
        found: what was found before, such as the batch size, which this one depends on.

    Returns:
        The name of the attribute, and the rate.

    Raises:
        ConfigError: the module has no such attribute, or the losses say nothing.
    """
    given = {key: value for key, value in options.items() if key != "update_attr"}
    module, data = build(found)
    name = given.get("attr_name") or next((name for name in ("lr", "learning_rate") if _has(module, name)), "")
    if not name or not _has(module, name):
        wanted = f'"{name}"' if name else '"lr" or "learning_rate"'
        raise ConfigError(
            f"lr_finder: the module has no {wanted} as an attribute (self.lr, or save_hyperparameters()); "
            "lr_finder.attr_name names another"
        )
    trainer = make(**_QUIET, max_steps=-1)
    _alone(trainer, "lr_finder")
    answer = Tuner(trainer).lr_find(module, datamodule=data, **{**given, "attr_name": name, "update_attr": False})
    rate = None if answer is None else answer.suggestion()
    if rate is None or not math.isfinite(rate):
        raise ConfigError(
            "lr_finder has no answer: too few losses before they diverge; try lr_finder.num_training: 200"
        )
    return {name: float(rate)}


def _has(module: Any, name: str) -> bool:
    if isinstance(module, LightningModule):
        return bool(lightning_hasattr(module, name))
    return hasattr(module, name) or name in (getattr(module, "hparams", None) or {})


def _alone(trainer: Trainer, name: str) -> None:
    if trainer.world_size > 1:
        raise ConfigError(
            f"{name} works in one process: run it with trainer.devices: 1, and give what it finds to the training with "
            f"{trainer.world_size}"
        )
