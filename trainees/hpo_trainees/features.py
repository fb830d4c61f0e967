"""The Trainer's features by words of the configuration: precision, profiler, logger, early stopping, averaging.

Which keys there are for all that (`SECTIONS`), and what they become.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, StochasticWeightAveraging
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from lightning.pytorch.tuner.tuning import Tuner

from hpo_trainees.keeping import Best, Goal, Last, Patience
from hpo_trainees.keys import Section, Values
from hpo_trainees.values import ConfigError

RATES = ("lr", "learning_rate")
DECAYS = ("weight_decay", "wd")
ALIASES = {"epochs": "trainer.max_epochs", "steps": "trainer.max_steps", "seed_everything": ".seed"}
_GONE = {
    "auto_lr_find": 'write "lr_finder": true',
    "auto_scale_batch_size": 'write "batch_size_finder": true',
    "stochastic_weight_avg": 'write "swa": true',
    "gpus": 'write "trainer.accelerator": "gpu" and "trainer.devices"',
    "num_processes": 'write "trainer.accelerator": "cpu" and "trainer.devices"',
    "tpu_cores": 'write "trainer.accelerator": "tpu" and "trainer.devices"',
    "auto_select_gpus": 'write "trainer.devices": "auto"',
    "resume_from_checkpoint": 'write "ckpt_path"',
    "checkpoint_callback": 'write "trainer.enable_checkpointing"',
    "weights_summary": 'write "trainer.enable_model_summary"',
    "progress_bar_refresh_rate": 'write "trainer.enable_progress_bar"',
    "terminate_on_nan": 'write "trainer.detect_anomaly"',
    "replace_sampler_ddp": 'write "trainer.use_distributed_sampler"',
    "amp_backend": 'write "trainer.precision"',
    "amp_level": 'write "trainer.precision"',
    "track_grad_norm": "log it in the module (on_before_optimizer_step)",
}
_PRECISIONS = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}


def _run(
    seed: int | None = 0,
    monitor: str | None = None,
    mode: Literal["min", "max"] | None = None,
    ckpt_path: str | None = None,
) -> None:
    """What belongs to no part. `monitor`, `mode`: what best.ckpt and early stopping go by."""


def trainer_section() -> Section:
    return Section.of("trainer", Trainer, without=("callbacks", "plugins", "barebones", "model_registry"), gone=_GONE)


def feature_sections() -> list[Section]:
    """The keys that are the same for every module."""
    loaders = ("self", "model", "train_dataloaders", "val_dataloaders", "dataloaders", "datamodule", "method")
    own: dict[str, Any] = {"plain": False, "switch": True}
    return [
        Section.of("", _run),
        Section.of("early_stopping", EarlyStopping, **own),
        Section.of("swa", StochasticWeightAveraging, without=("avg_fn", "device"), **own),
        Section.of("lr_finder", Tuner.lr_find, without=(*loaders, "update_attr"), **own),
        Section.of("batch_size_finder", Tuner.scale_batch_size, without=loaders, **own),
        Section.of("checkpoint", ModelCheckpoint, without=("dirpath", "monitor", "mode", "save_last"), **own),
    ]


def trainer_arguments(given: Mapping[str, Any], *, result_dir: str, log_dir: str) -> dict[str, Any]:
    """Arguments of Trainer, with the words of the configuration made into objects, over our own defaults.

    One device, because a trial shares the machine; no progress bar unless somebody looks at it; metrics in a CSV file
    below LOG_DIR.
    """
    watched = not os.environ.get("SUBID") and sys.stderr.isatty()
    out: dict[str, Any] = {
        "accelerator": "auto",
        "devices": 1,
        "logger": "csv",
        "default_root_dir": result_dir,
        "enable_progress_bar": watched,
        "enable_model_summary": watched,
        **given,
    }
    if not any(out.get(name) for name in ("max_epochs", "max_steps", "max_time", "fast_dev_run")):
        print("max_epochs is not set: training for 10 epochs")
        out["max_epochs"] = 10
    if out.get("precision") is not None:
        out["precision"] = _PRECISIONS.get(str(out["precision"]), out["precision"])
    out["logger"] = _logger(out["logger"], log_dir)
    if isinstance(out.get("profiler"), str):
        out["profiler"] = _profiler(out["profiler"], log_dir)
    return out


def _logger(wanted: Any, folder: str) -> Any:
    if isinstance(wanted, (bool, Logger)) or wanted is None:
        return CSVLogger(folder, name="lightning") if wanted is True else wanted or False
    if wanted == "csv":
        return CSVLogger(folder, name="lightning")
    if wanted == "tensorboard":
        from lightning.pytorch.loggers import TensorBoardLogger

        return TensorBoardLogger(folder, name="lightning")
    if isinstance(wanted, (list, tuple)):
        return [_logger(one, folder) for one in wanted]
    raise ConfigError(f'trainer.logger must be csv, tensorboard, true or false, not "{wanted}"')


def _profiler(word: str, folder: str) -> Profiler:
    kinds: dict[str, type[Profiler]] = {
        "simple": SimpleProfiler,
        "advanced": AdvancedProfiler,
        "pytorch": PyTorchProfiler,
    }
    if word not in kinds:
        raise ConfigError(f'trainer.profiler must be one of {", ".join(kinds)}, not "{word}"')
    return kinds[word](dirpath=folder, filename=f"profile-{word}")


def feature_callbacks(
    values: Values, goal: Goal, rate: float | None, folder: str, trainer: Mapping[str, Any]
) -> list[Callback]:
    """Those that the configuration asks for; the checkpoints come last, when all others have seen the epoch.

    Args:
        rate: the learning rate of the configuration, which averaging goes on with unless it has one of its own.
    """
    made: list[Callback] = []
    if "early_stopping" in values:
        made.append(Patience(goal, values["early_stopping"]))
    if "swa" in values:
        options = dict(values["swa"])
        if options.setdefault("swa_lrs", rate) is None:
            raise ConfigError("swa needs swa.swa_lrs, the learning rate of the epochs that are averaged")
        made.append(StochasticWeightAveraging(**options))
    if trainer.get("enable_checkpointing") is not False and not trainer.get("fast_dev_run"):
        made += [Best(folder, goal, values.get("checkpoint")), Last(folder)]
    return made


def named(values: Mapping[str, Any], names: Sequence[str]) -> float | None:
    """The number with one of these names, at any depth."""
    for name, value in values.items():
        if name in names and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    inner = (named(value, names) for value in values.values() if isinstance(value, Mapping))
    return next((value for value in inner if value is not None), None)
