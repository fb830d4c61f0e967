"""Random numbers that go on where they were: a resumed training draws what an uninterrupted one would have drawn."""

from __future__ import annotations

import random
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class RandomStateCallback(Callback):
    """Keeps the states of Python's, NumPy's and PyTorch's generators in each checkpoint, and sets them again.

    Lightning's checkpoints lack them, so that a resumed training shuffles its data, and drops units, as its first epoch
    did. Several processes get the state of rank 0.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        states: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.get_rng_state_all()
        try:
            import numpy

            states["numpy"] = numpy.random.get_state()
        except ImportError:
            pass
        return states

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        states, self._restored = self._restored, None
        if states is None:
            return
        random.setstate(states["python"])
        torch.set_rng_state(states["torch"].cpu())
        if "cuda" in states and len(states["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
        if "numpy" in states:
            import numpy

            numpy.random.set_state(states["numpy"])
        # The epoch's iterator, which draws a seed, was made before this: an uninterrupted training makes it now.
        loop: Any = trainer.fit_loop
        if not getattr(loop, "restarted_mid_epoch", False) and loop._data_fetcher is not None:
            iter(loop._data_fetcher)
