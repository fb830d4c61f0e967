"""What callbacks of an elastic training are derived from, by the names that IBM's library had.

All methods may be left out. Epochs count from 0.
"""

from __future__ import annotations

from typing import Any


class Callback:
    """A callback for training. Each worker has its own copy, so that one which changes the learning rate changes it in
    all of them.

    Attributes:
        params: "optimizer" (the worker's), "epochs", "batch_size" (of one worker), "workers", and "rank" of the worker.
        model: the torch module that the worker trains.
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.model: Any = None

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def set_model(self, model: Any) -> None:
        self.model = model

    def on_train_begin(self) -> None: ...

    def on_train_end(self) -> None: ...

    def on_epoch_begin(self, epoch: int) -> None: ...

    def on_epoch_end(self, epoch: int, save_model: bool = False) -> None:
        """`save_model`: whether this worker is the one that saves; True for the first one only."""

    def on_batch_begin(self, batch: int) -> None: ...

    def on_batch_end(self, batch: int) -> None: ...


class LoggerCallback:
    """A logger of the driver, as scripts of version 1.2 have it."""

    def on_train_begin(self) -> None: ...

    def log_train_metrics(self, loss: float, acc: float, completed_batch: int, worker: int = 0) -> None:
        """After each step.

        Args:
            loss: the mean of the step's samples, over all workers. acc: accuracy in percent (NaN where there is none).
            completed_batch: batches of all workers so far. worker: how many workers there are.
        """

    def log_test_metrics(self, loss: float, acc: float, completed_batch: int, worker: int = 0) -> None:
        """After each validation; as above, over all samples of the test set."""

    def on_train_end(self) -> None: ...
