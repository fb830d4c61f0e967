"""One training of a module as a trial: finders, callbacks, resume, and what it leaves behind.

What `tune_main` and `TuneCLI` share. Knows the contract's files and variables; does not know how the module is made.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from hpo_trainees.features import DECAYS, RATES, feature_callbacks, named
from hpo_trainees.finders import Build, find_batch_size, find_lr
from hpo_trainees.keeping import SUMMARY_FILE, Best, Goal, Last, write_json
from hpo_trainees.keys import Values
from hpo_trainees.lightning import ReportCallback, ResumeCallback, resume_from
from hpo_trainees.randomness import RandomStateCallback
from hpo_trainees.report import report, should_stop

FOUND_FILE = "found.json"


@dataclass(frozen=True)
class Outcome:
    """A training that is over. `summary`: what summary.json has."""

    trainer: Trainer
    module: LightningModule
    data: LightningDataModule | None
    summary: dict[str, Any]


@dataclass(frozen=True)
class Training:
    """A training that is to be.

    Args:
        build: makes module and data module, with the attributes that finders chose.
        make_trainer: a Trainer with the given arguments changed.
        values: the keys of all sections.
        arguments: those of the Trainer, for what depends on them.
        callbacks: the script's own.
        goal: what is watched.
    """

    build: Build
    make_trainer: Callable[..., Trainer]
    values: Values
    arguments: Mapping[str, Any]
    callbacks: Sequence[Callback]
    goal: Goal

    def run(self) -> Outcome:
        """Trains, and says what came of it.

        Raises:
            ConfigError: what the configuration asks for cannot be done with this module.
        """
        quiet()
        own = self.values.get("", {})
        seed = own.get("seed", 0)
        _seed(seed)
        checkpoint = own.get("ckpt_path") or resume_from()
        found = self._found(checkpoint)
        if found:
            _seed(seed)  # the training is the one that would have run with these values in the configuration
        module, data = self.build(found)
        config = {**self.values.get("model", {}), **self.values.get("optimizer", {}), **found}
        rate, decay = named(config, RATES), named(config, DECAYS)
        given = {name: value for name, value in (("lr", rate), ("weight_decay", decay)) if value is not None}
        summary = Summary(self.values, found, seed)
        callbacks = [
            *self.callbacks,
            ReportCallback(also={f"found_{name}": value for name, value in found.items()}),
            ResumeCallback(given=given),
            RandomStateCallback(),
            *feature_callbacks(self.values, self.goal, _rate(module, rate), result_dir(), self.arguments),
            summary,
        ]
        trainer = self.make_trainer(callbacks=callbacks)
        summary.precision = str(trainer.precision)
        more = {"weights_only": False} if checkpoint and _takes_weights_only() else {}  # the study's own file
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, **more)
        if "swa" in self.values:
            _validate_averaged(trainer, module, data)
        if trainer.is_global_zero:
            summary.show()
        return Outcome(trainer, module, data, summary.content)

    def _found(self, checkpoint: str | None) -> dict[str, Any]:
        """What the finders choose; what they chose before, for a training that goes on."""
        wanted = [name for name in ("batch_size_finder", "lr_finder") if name in self.values]
        if not wanted or self.arguments.get("fast_dev_run"):
            return {}
        if checkpoint is not None and (before := _read_found(checkpoint)) is not None:
            return before
        found: dict[str, Any] = {}
        if "batch_size_finder" in wanted:
            found |= find_batch_size(self.build, self.make_trainer, self.values["batch_size_finder"])
        if "lr_finder" in wanted:
            found |= find_lr(self.build, self.make_trainer, found, self.values["lr_finder"])
        print("found: " + ", ".join(f"{name} {value:g}" for name, value in found.items()))
        write_json(os.path.join(result_dir(), FOUND_FILE), found)
        return found


class Summary(Callback):
    """Writes summary.json when training ends, however it does; from the process of rank 0."""

    def __init__(self, values: Values, found: Mapping[str, Any], seed: int | None) -> None:
        self._values, self._seed = values, seed
        self._path = os.path.join(result_dir(), SUMMARY_FILE)
        self._found = dict(found)
        self.precision = ""
        self.content: dict[str, Any] = {}

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if trainer.state.fn == "fit":
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        stop = should_stop()
        self.content = {
            "metrics": {name: float(value) for name, value in trainer.callback_metrics.items() if name != "step"},
            "best": _best(trainer),
            "last_checkpoint": _existing(c.best_model_path for c in trainer.checkpoint_callbacks if type(c) is Last),
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            "stopped": None if stop is None else {"cause": stop.cause, "reason": stop.reason},
            "found": self._found,
            "seed": self._seed,
            "precision": self.precision,
            "devices": trainer.world_size,
            **{name: self._used(name) for name in ("model", "data", "trainer")},
        }
        write_json(self._path, self.content)

    def _used(self, section: str) -> dict[str, Any]:
        given = self._values.get(section, {})
        return {**given, **{name: value for name, value in self._found.items() if name in given}}

    def show(self) -> None:
        """Prints what matters of it."""
        if not self.content and os.path.exists(self._path):  # written by a process that Lightning started
            with open(self._path, encoding="utf-8") as file:
                self.content = json.load(file)
        best = self.content.get("best")
        if best:
            print(f"best {best['metric']} {best['value']:.6g} in epoch {best['epoch']}: {best['checkpoint']}")
        if self.content:
            print("final " + ", ".join(f"{name} {value:.6g}" for name, value in self.content["metrics"].items()))


def _rate(module: LightningModule, given: float | None) -> float | None:
    """The learning rate of the configuration, or else the module's own default."""
    own = {**dict(module.hparams), **vars(module)}
    return given if given is not None else named({name: own[name] for name in RATES if name in own}, RATES)


def _best(trainer: Trainer) -> dict[str, Any] | None:
    for callback in trainer.checkpoint_callbacks:
        if type(callback) is Best and callback.best_model_path and callback.best_model_score is not None:
            return {
                "metric": callback.monitor,
                "mode": callback.mode,
                "value": float(callback.best_model_score),
                "epoch": callback.epoch,
                "checkpoint": callback.best_model_path,
            }
    return None


def _existing(paths: Any) -> str | None:
    return next((path for path in paths if path), None)


def _validate_averaged(trainer: Trainer, module: LightningModule, data: LightningDataModule | None) -> None:
    """The averaged weights are set after the last validation: they get one of their own, and a checkpoint."""
    if should_stop() is not None or not trainer.enable_validation:
        return
    epoch = trainer.current_epoch
    (found, *others) = trainer.validate(module, datamodule=data, verbose=False) or [{}]
    metrics = {f"swa_{name}": value for one in (found, *others) for name, value in one.items()}
    trainer.save_checkpoint(os.path.join(result_dir(), "swa.ckpt"), weights_only=True)
    if trainer.is_global_zero and metrics:
        report(step=epoch, **metrics)
        print("averaged weights: " + ", ".join(f"{name} {value:.6g}" for name, value in metrics.items()))


def _read_found(checkpoint: str) -> dict[str, Any] | None:
    for folder in (result_dir(), os.path.dirname(checkpoint)):
        try:
            with open(os.path.join(folder, FOUND_FILE), encoding="utf-8") as file:
                return dict(json.load(file))
        except (OSError, ValueError):
            continue
    return None


def result_dir() -> str:
    return os.path.abspath(os.environ.get("RESULT_DIR") or os.getcwd())


def log_dir() -> str:
    return os.path.abspath(os.environ.get("LOG_DIR") or os.path.join(result_dir(), "logs"))


def _seed(seed: int | None) -> None:
    if seed is not None:
        pl.seed_everything(seed, workers=True, verbose=False)


def _takes_weights_only() -> bool:
    import inspect

    return "weights_only" in inspect.signature(Trainer.fit).parameters


def quiet() -> None:
    """In a trial, Lightning's notes on hardware and on loaders' workers are noise in each output."""
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    if os.environ.get("SUBID"):
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")  # Lightning's own use of PyTorch
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        warnings.filterwarnings("ignore", message=".*The number of training batches .* is smaller than the logging.*")
