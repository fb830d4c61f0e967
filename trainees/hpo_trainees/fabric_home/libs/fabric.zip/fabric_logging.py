"""Where an elastic training's metrics and weights go: to the script's loggers, or to the trial's result file."""

from __future__ import annotations

import json
import math
import os
from typing import Any

import torch


class Loggers:
    """The loggers of one process.

    Args:
        first: of version 1.2, see `callbacks.LoggerCallback`.
        driver, worker: of versions 4 and 5: log_train_metrics(metrics, iteration, epoch, workers),
            log_test_metrics(metrics, iteration, epoch), on_train_begin(), on_train_end().
    """

    def __init__(self, first: Any, driver: Any, worker: Any) -> None:
        self._first, self._driver, self._worker = first, driver, worker
        self._result = _ResultFile() if first is None and driver is None else None
        self._workers = 1

    def of_worker(self) -> Loggers:
        """Those of a process that is not the driver."""
        other = Loggers(None, None, self._worker)
        other._result = None
        return other

    def begin(self, workers: int) -> None:
        self._workers = workers
        self._each("on_train_begin")

    def trained(self, values: dict[str, float], done: int, epoch: int) -> None:
        """`done`: batches of all workers so far."""
        if self._first is not None:
            self._first.log_train_metrics(values["loss"], values["accuracy"], done, self._workers)
        for logger in self._later():
            logger.log_train_metrics(values, done, epoch, self._workers)

    def tested(self, values: dict[str, float], done: int, epoch: int) -> None:
        if self._first is not None and hasattr(self._first, "log_test_metrics"):
            self._first.log_test_metrics(values["loss"], values["accuracy"], done, self._workers)
        for logger in self._later():
            if hasattr(logger, "log_test_metrics"):
                logger.log_test_metrics(values, done, epoch)
        if self._result is not None:
            self._result.add(values)

    def end(self) -> None:
        self._each("on_train_end")

    def _later(self) -> list[Any]:
        return [logger for logger in (self._driver, self._worker) if logger is not None]

    def _each(self, name: str) -> None:
        for logger in (self._first, *self._later()):
            if (method := getattr(logger, name, None)) is not None:
                method()


class _ResultFile:
    """val_dict_list.json in RESULT_DIR, whole after each epoch: loss, accuracy (0 to 1) and other metrics of the test
    set."""

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []

    def add(self, values: dict[str, float]) -> None:
        step = len(self._rows) + 1  # a script may train a second time
        row = {name: value for name, value in values.items() if not math.isnan(value)}
        if "accuracy" in row:
            row["accuracy"] /= 100.0
        self._rows.append({"step": step, **row})
        print(f"fabric: epoch {step}: " + ", ".join(f"{name} {value:.6g}" for name, value in row.items()), flush=True)
        if (folder := os.environ.get("RESULT_DIR")) is not None:
            aside = f"{folder}/.val_dict_list.json.tmp"
            with open(aside, "w", encoding="utf-8") as file:
                json.dump(self._rows, file)
            os.replace(aside, f"{folder}/val_dict_list.json")


def saved(model: Any, name: str) -> None:
    """Writes the weights to RESULT_DIR/model/model_epoch_<name>.pth."""
    if (folder := os.environ.get("RESULT_DIR")) is not None:
        os.makedirs(f"{folder}/model", exist_ok=True)
        torch.save(model.state_dict(), f"{folder}/model/model_epoch_{name}.pth")
