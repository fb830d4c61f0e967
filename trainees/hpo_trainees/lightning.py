"""A Lightning callback that reports validation (and training) metrics into val_dict_list.json, a row an epoch.

    trainer = Trainer(max_epochs=5, callbacks=[ReportCallback()])

Works with the `lightning` and the `pytorch_lightning` package; whichever the script has imported is used.
Knows nothing of the engine.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hpo_trainees.report import report

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
elif "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
    from pytorch_lightning import Callback
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        from pytorch_lightning import Callback


class ReportCallback(Callback):
    """Reports what the module logs with `self.log`, as Lightning averages it over the whole epoch.

    One row for each validation inside `fit`, from the process of rank 0 only; the sanity check is not reported.

    - Validation once an epoch (the default), or once in several: `step` is the epoch, from 1. The row also has the
      training metrics of that epoch that are logged `on_epoch=True`; values of single batches are left out.
    - Validation more often than once an epoch (`val_check_interval`): `step` counts the optimizer's steps
      (`trainer.global_step`), and rows from inside an epoch have the validation metrics only.
    - No validation at all: one row an epoch with the training metrics as they stand in `trainer.callback_metrics`.

    A row is written when nothing more can be logged into it: as the next epoch begins, or training ends.
    """

    def __init__(self) -> None:
        super().__init__()
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

    def _begin(self, trainer: Trainer, row: dict[str, float]) -> None:
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
            report(step=self._epoch if self._counts_epochs else self._global_step, **row)

    def _logged_since(self, trainer: Trainer) -> dict[str, float]:
        # callback_metrics never forgets: what was logged anew is what holds another tensor than before.
        # ("step" is logged to move a logger's x axis; here it is the row's own.)
        now = {name: value for name, value in trainer.callback_metrics.items() if name != "step"}
        return {name: float(value) for name, value in now.items() if value is not self._before.get(name)}


def _in_fit(trainer: Trainer) -> bool:
    return trainer.state.fn == "fit" and not trainer.sanity_checking
