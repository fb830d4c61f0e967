"""Optimizers and schedules by name, for the modules beside this."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hpo_trainees.values import ConfigError

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine")
WARM_UP = 0.05  # share of the steps of a cosine schedule in which the rate rises


def check_choice(name: str, value: str, known: Iterable[str]) -> None:
    """Raises ConfigError for a `value` that is not among the `known` ones of the parameter `name`."""
    if value not in (known := list(known)):
        words = ", ".join(f'"{word}"' for word in known[:-1]) + f' or "{known[-1]}"'
        raise ConfigError(f"{name} must be {words}, not {value!r}")


def configured(
    module: LightningModule,
    *,
    optimizer: str,
    learning_rate: float,
    weight_decay: float,
    momentum: float,
    schedule: str,
) -> Any:
    """What `configure_optimizers` returns: one of OPTIMIZERS over all weights of `module`, with one of SCHEDULES.

    `momentum` is for sgd only; `learning_rate` is the highest value of a schedule.
    """
    check_choice("schedule", schedule, SCHEDULES)
    made = _optimizer(optimizer, module.parameters(), learning_rate, weight_decay, momentum)
    if schedule == "constant":
        return made
    steps = int(module.trainer.estimated_stepping_batches)
    return {"optimizer": made, "lr_scheduler": {"scheduler": make_cosine(made, steps), "interval": "step"}}


def _optimizer(
    name: str, weights: Iterable[nn.Parameter], learning_rate: float, weight_decay: float, momentum: float
) -> Optimizer:
    check_choice("optimizer", name, OPTIMIZERS)
    if name == "sgd":
        return torch.optim.SGD(weights, lr=learning_rate, weight_decay=weight_decay, momentum=momentum)
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind(weights, lr=learning_rate, weight_decay=weight_decay)


def make_cosine(optimizer: Optimizer, steps: int) -> LambdaLR:
    """A linear rise over the first twentieth of `steps`, then half a cosine down to 0 (SGDR, Loshchilov & Hutter 2017,
    equation 5, without restarts).

    The shape is not part of a checkpoint's state: a run that goes on to more epochs follows the longer curve.
    """
    warm = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm)))) / 2

    return LambdaLR(optimizer, factor)
