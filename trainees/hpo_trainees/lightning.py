"""Lightning callbacks: one reports metrics into val_dict_list.json, a row an epoch, and saves a checkpoint when the run
is ended early; one sees to it that new values of the optimizer's parameters arrive when training goes on from one.

    trainer = Trainer(max_epochs=5, callbacks=[ReportCallback(), ResumeCallback()])
    trainer.fit(module, data, ckpt_path=resume_from())

Works with the `lightning` and the `pytorch_lightning` package; whichever the script has imported is used.
Knows nothing of the engine.
"""

from __future__ import annotations

import copy
import math
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hpo_trainees.report import Stop, report, should_stop

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
elif "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
    from pytorch_lightning import Callback
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        from pytorch_lightning import Callback


CHECKPOINT = "stopped.ckpt"


class ReportCallback(Callback):
    """Reports what the module logs with `self.log`, as Lightning averages it over the whole epoch.

    One row for each validation inside `fit`, from the process of rank 0 only; the sanity check is not reported.

    - Validation once an epoch (the default), or once in several: `step` is the epoch, from 1. The row also has the
      training metrics of that epoch that are logged `on_epoch=True`; values of single batches are left out.
    - Validation more often than once an epoch (`val_check_interval`): `step` counts the optimizer's steps
      (`trainer.global_step`), and rows from inside an epoch have the validation metrics only.
    - No validation at all: one row an epoch with the training metrics as they stand in `trainer.callback_metrics`.

    A row is written when nothing more can be logged into it: as the next epoch begins, or training ends.

    When the run is to end (`report.should_stop`), training ends after the batch, with `stopped.ckpt` in RESULT_DIR.

    Args:
        save_on_stop: whether that checkpoint is saved.
        also: numbers that each row has besides, such as values that the script has chosen.
    """

    def __init__(self, save_on_stop: bool = True, also: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self._save_on_stop = save_on_stop
        self._also = dict(also or {})
        self._stop: Stop | None = None
        self._row: dict[str, float] | None = None  # a row that waits for its epoch's training metrics
        self._epoch = 0
        self._global_step = 0
        self._before: dict[str, Any] = {}
        self._counts_epochs: bool | None = None  # settled by the first row, so that one run never mixes two units

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if _in_fit(trainer):
            self._before = dict(trainer.callback_metrics)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if _in_fit(trainer):
            self._begin(trainer, self._logged_since(trainer))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._row is None and not trainer.enable_validation:
            self._before = {}
            self._begin(trainer, {})

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._row is not None:  # training continues in the epoch that was just validated
            self._write(trainer, self._row, inside_epoch=True)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not in `on_train_epoch_end`: callbacks come before the module there, and the module may still log.
        self._finish(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        should_stop()  # from now on SIGTERM leaves time for a checkpoint

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *batch: Any) -> None:
        if trainer.world_size == 1:  # several processes would not notice in the same batch: Lightning sees to that
            self._end_if_asked(trainer)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *batch: Any, **more: Any) -> None:
        if _in_fit(trainer) and trainer.world_size == 1:
            self._end_if_asked(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if trainer.state.fn == "fit" and isinstance(exception, SystemExit):  # what Lightning makes of SIGTERM
            self._end_if_asked(trainer)
            self._finish(trainer)

    def _end_if_asked(self, trainer: Trainer) -> None:
        if self._stop is not None:
            return
        self._stop = should_stop()
        if self._stop is not None:
            trainer.should_stop = True
            if self._save_on_stop:
                _save(trainer)

    def _begin(self, trainer: Trainer, row: dict[str, float]) -> None:
        if self._stop is not None and self._counts_epochs is not False and not trainer.is_last_batch:
            return  # Lightning validates before it stops: this epoch was cut short, and would look like a whole one
        self._row, self._epoch, self._global_step = row, trainer.current_epoch + 1, trainer.global_step

    def _finish(self, trainer: Trainer) -> None:
        if self._row is not None:
            self._write(trainer, {**self._logged_since(trainer), **self._row}, inside_epoch=False)

    def _write(self, trainer: Trainer, row: dict[str, float], *, inside_epoch: bool) -> None:
        self._row = None
        if self._counts_epochs is None:
            # Validations have an even spacing: if any comes inside an epoch, then the first one does.
            self._counts_epochs = not inside_epoch
        if row and trainer.is_global_zero:
            report(step=self._epoch if self._counts_epochs else self._global_step, **{**self._also, **row})

    def _logged_since(self, trainer: Trainer) -> dict[str, float]:
        # callback_metrics never forgets: what was logged anew is what holds another tensor than before.
        # ("step" is logged to move a logger's x axis; here it is the row's own.)
        now = {name: value for name, value in trainer.callback_metrics.items() if name != "step"}
        return {name: float(value) for name, value in now.items() if value is not self._before.get(name)}


def resume_from() -> str | None:
    """The checkpoint that this run is to go on from, for `ckpt_path`; None: it begins afresh."""
    path = os.environ.get("HPO_RESUME_FROM", "")
    return path if os.path.isfile(path) else None


class ResumeCallback(Callback):
    """Training that goes on from a checkpoint does so with the values that the module's `configure_optimizers` gives
    now: Lightning restores those of the checkpoint, without a word.

    The learning rate of each group is what the checkpoint had, times the new configured one by the one that the
    checkpoint was trained with, so that a schedule keeps its place; schedulers get the new base. All other parameters
    of the optimizer (weight decay, momentum, betas) are as configured now, but those that a scheduler cycles. Before
    the first step both are read back. A `OneCycleLR` is as long as it is configured now.

    Args:
        learning_rate, weight_decay: what the optimizer must be configured with, in one of its groups at least. A module
            that was made by `load_from_checkpoint` has the hyperparameters of the checkpoint, for example.
        given: "lr" and "weight_decay" as the configuration has them, for a module that may make something else of
            them. If one has changed since the checkpoint, then the optimizer must be configured otherwise than then.

    Raises:
        RuntimeError: (in `fit`) a value is still the checkpoint's, or the optimizer is not configured with the given
            one.
    """

    def __init__(
        self,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        given: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self._wanted = {"lr": learning_rate, "weight_decay": weight_decay}
        self._given = dict(given or {})
        self._given_before: dict[str, float] = {}
        self._before: list[list[dict[str, Any]]] = []  # as configured when the checkpoint was made
        self._configured: list[list[dict[str, Any]]] = []
        self._lengths: list[dict[str, Any]] = []
        self._restored: dict[tuple[int, int], tuple[dict[str, float], dict[str, float]]] = {}  # and what was set

    def state_dict(self) -> dict[str, Any]:
        return {"configured": self._configured, "given": self._given}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = state_dict.get("configured", [])
        self._given_before = state_dict.get("given", {})

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The optimizers are new; the checkpoint's state is loaded into them after this.
        self._configured = [[_values(group) for group in optimizer.param_groups] for optimizer in trainer.optimizers]
        self._restored = {}
        self._lengths = [_lengths(one) for optimizer in trainer.optimizers for one in _schedulers(trainer, optimizer)]
        groups = [group for optimizer in self._configured for group in optimizer]
        for name, wanted in self._wanted.items():
            if wanted is not None and not any(_close(group.get(name, math.nan), wanted) for group in groups):
                found = ", ".join(f"{group.get(name)}" for group in groups)
                raise RuntimeError(
                    f"the optimizer is configured with {_NAMES[name]} {found or 'none'}, not with {wanted}: where does "
                    "configure_optimizers take it from? (load_from_checkpoint brings back the hyperparameters of the "
                    "checkpoint)"
                )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.ckpt_path and not trainer.global_step:
            return
        self._check_given()
        schedulers = [one for optimizer in trainer.optimizers for one in _schedulers(trainer, optimizer)]
        for scheduler, lengths in zip(schedulers, self._lengths, strict=False):
            vars(scheduler).update(lengths)
        for i, optimizer in enumerate(trainer.optimizers):
            ratios = []
            for k, group in enumerate(optimizer.param_groups):
                restored = _values(group, base=False)
                before = self._before[i][k] if i < len(self._before) and k < len(self._before[i]) else None
                ratios.append(_renew(group, self._configured[i][k], before))
                self._restored[i, k] = restored, _values(group, base=False)
            for scheduler in _schedulers(trainer, optimizer):
                _rebase(scheduler, ratios)
        if trainer.is_global_zero and (changes := "; ".join(self._changes())):
            print(f"goes on from the checkpoint with {changes}")

    def _check_given(self) -> None:
        for name, now in self._given.items():
            before = self._given_before.get(name, now)
            if _close(now, before) or not self._before:
                continue
            groups = [
                (old.get(name), new.get(name))
                for olds, news in zip(self._before, self._configured, strict=False)
                for old, new in zip(olds, news, strict=False)
            ]
            if all(old == new for old, new in groups):
                raise RuntimeError(
                    f"{_NAMES[name]} is {now} and was {before} when the checkpoint was made, and configure_optimizers "
                    f"still gives {', '.join(str(new) for _, new in groups) or 'none'}: where does it take it from?"
                )

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        if not self._restored:
            return
        i = next((i for i, known in enumerate(trainer.optimizers) if known is optimizer), 0)
        for k, group in enumerate(optimizer.param_groups):
            restored, wanted = self._restored.pop((i, k), ({}, {}))
            now = _values(group, base=False)
            for name in restored.keys() & _NAMES.keys():
                if _close(now[name], restored[name]) and not _close(wanted[name], restored[name]):
                    raise RuntimeError(
                        f"{_NAMES[name]} is {now[name]}, the checkpoint's, and not {wanted[name]}: something has set "
                        "it back after training began, such as a hook of the module or another callback"
                    )

    def _changes(self) -> Iterator[str]:
        for restored, now in self._restored.values():
            for name, text in _NAMES.items():
                if name in now and not _close(now[name], restored[name]):
                    yield f"{text} {now[name]:g}, not {restored[name]:g}"


_NAMES = {"lr": "learning rate", "weight_decay": "weight decay"}
_LENGTHS = ("total_steps", "_schedule_phases")  # of OneCycleLR, which refuses a step beyond its end
_SCALED = ("lr", "initial_lr", "max_lr", "min_lr")  # of a group: the rate, and what schedulers keep there
_CYCLED = ("momentum", "betas", "base_momentum", "max_momentum")  # what OneCycleLR and CyclicLR change


def _values(group: dict[str, Any], *, base: bool = True) -> dict[str, Any]:
    """The parameters of a group as plain values. `base`: the learning rate without what a scheduler has made of it."""
    found = {name: _plain(value) for name, value in group.items() if name != "params"}
    if base and "initial_lr" in found:
        found["lr"] = found["initial_lr"]
    return found


def _renew(group: dict[str, Any], configured: dict[str, Any], before: dict[str, Any] | None) -> float:
    """Sets a restored group to the values as configured now. Returns the new learning rate by the old one."""
    new, old = configured["lr"], _plain(group.get("initial_lr", group["lr"])) if before is None else before["lr"]
    ratio = new / old if old else 1.0
    for name in _SCALED:
        if name in group:
            _set(group, name, _plain(group[name]) * ratio if old else configured.get(name, new))
    cycled = _CYCLED if "max_momentum" in group else ()
    for name, value in configured.items():
        if name not in _SCALED and name not in cycled and name in group and _plain(group[name]) != value:
            _set(group, name, value)
    return ratio


def _set(group: dict[str, Any], name: str, value: Any) -> None:
    if hasattr(group[name], "fill_"):  # a tensor, which a compiled optimizer step holds
        group[name].fill_(value)
    else:
        group[name] = value


def _rebase(scheduler: Any, ratios: list[float]) -> None:
    """Scales what a scheduler works out its rates from."""
    for name in ("base_lrs", "max_lrs", "_last_lr"):
        values = getattr(scheduler, name, None)
        if isinstance(values, list) and len(values) == len(ratios):
            setattr(scheduler, name, [value * ratio for value, ratio in zip(values, ratios, strict=True)])


def _lengths(scheduler: Any) -> dict[str, Any]:
    return {name: copy.copy(vars(scheduler)[name]) for name in _LENGTHS if name in vars(scheduler)}


def _schedulers(trainer: Trainer, optimizer: Any) -> Iterator[Any]:
    """The optimizer's schedulers, and those that they are made of."""
    waiting = [config.scheduler for config in trainer.lr_scheduler_configs]
    while waiting:
        scheduler = waiting.pop()
        waiting += getattr(scheduler, "_schedulers", [])
        if getattr(scheduler, "optimizer", optimizer) is optimizer:
            yield scheduler


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)


def _save(trainer: Trainer) -> None:
    """Saves aside first: there may not be time enough. All processes of a distributed training take part."""
    path = os.path.join(os.environ.get("RESULT_DIR") or os.getcwd(), CHECKPOINT)
    trainer.save_checkpoint(f"{path}.part")
    if trainer.is_global_zero:
        os.replace(f"{path}.part", path)


def _in_fit(trainer: Trainer) -> bool:
    return trainer.state.fn == "fit" and not trainer.sanity_checking
