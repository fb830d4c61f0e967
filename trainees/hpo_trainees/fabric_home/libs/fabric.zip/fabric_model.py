"""Elastic training as scripts written for IBM's library have it: `FabricModel(...).train(...)`.

A stand-in that really trains: data-parallel, with synchronous gradients, over the GPUs or cores that the trial was
given. `batch` samples on each of `n` workers are one step with the gradient of `n * batch` samples (Goyal et al. 2017,
section 2.2), whatever `n` is at the end of the data. It trains torch modules; those of Keras it refuses.

Both generations of the interface are understood: that of version 1.2 (`driver_logger`, `user_callback`,
`fn_step_train`, `fn_test`, `enable_onnx`) and that of 4 and 5 (`metrics`, `driver_logger_callback`,
`worker_logger_callback`, `fn_batch_collate`, `save_to_onnx`).
"""

from __future__ import annotations

import inspect
import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import fabric_team
import torch
from fabric_logging import Loggers, saved
from fabric_team import Team
from torch.utils.data import DataLoader, Subset


class FabricModel:
    """A model, its data, and how it is trained.

    Args:
        model: a torch.nn.Module, on the CPU.
        get_datasets: returns the train and test datasets (map-style).
        loss_function: callable(outputs, labels) -> the mean loss of the samples, a scalar tensor.
        optimizer: a torch.optim.Optimizer of the model's parameters.
        driver_logger: a LoggerCallback of version 1.2; None: rows are written to val_dict_list.json.
        user_callback: one Callback or several.
        fn_step_train: callable(fabric_model, (inputs, labels), accuracy, train_loader, fn_args) -> (accuracy, loss),
            which calls backward() and leaves the step of the optimizer to us.
        fn_test: callable(fabric_model, test_loader, fn_args) -> loss, or (loss, accuracy).
        enable_onnx, save_to_onnx: write RESULT_DIR/model/trained_model.onnx as well (needs the package onnx).
        metrics: callables (outputs, labels) -> number, more that is measured.
        driver_logger_callback, worker_logger_callback: loggers of versions 4 and 5; the latter on each worker.
        fn_batch_collate: callable(list of samples) -> (inputs, labels).
    """

    def __init__(
        self,
        model: Any,
        get_datasets: Callable[[], tuple[Any, Any]] | None = None,
        loss_function: Callable[..., Any] | None = None,
        optimizer: Any = None,
        metrics: Sequence[Callable[..., Any]] | Callable[..., Any] | None = None,
        worker_logger_callback: Any = None,
        driver_logger_callback: Any = None,
        save_to_onnx: bool = False,
        keras_custom_objects: Any = None,
        fn_batch_collate: Callable[..., Any] | None = None,
        *,
        datasets_function: Callable[[], tuple[Any, Any]] | None = None,
        driver_logger: Any = None,
        user_callback: Any = None,
        fn_step_train: Callable[..., Any] | None = None,
        fn_test: Callable[..., Any] | None = None,
        fn_args: Any = None,
        enable_onnx: bool = False,
        **others: Any,
    ) -> None:
        datasets = get_datasets or datasets_function
        if not isinstance(model, torch.nn.Module):
            raise TypeError(
                f"fabric_model trains torch modules; {type(model).__name__} is none (Keras is not supported)"
            )
        if datasets is None or not callable(loss_function) or not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError("FabricModel needs a function for the datasets, a callable loss and a torch optimizer")
        for name in others:
            print(f"fabric: FabricModel({name}=...) is not known here and is ignored", flush=True)
        self.model, self._datasets, self._loss, self._optimizer = model, datasets, loss_function, optimizer
        named = [metrics] if callable(metrics) else list(metrics or ())
        self._metrics = {getattr(metric, "__name__", type(metric).__name__): metric for metric in named}
        self._callbacks = list(user_callback) if isinstance(user_callback, (list, tuple)) else [user_callback]
        self._callbacks = [callback for callback in self._callbacks if callback is not None]
        self._loggers = Loggers(driver_logger, driver_logger_callback, worker_logger_callback)
        self._collate, self._fn_args = fn_batch_collate, fn_args
        self._fn_step_train, self._fn_test = fn_step_train, fn_test
        self._onnx = enable_onnx or save_to_onnx
        self._threads = 0
        self._batch = 1

    # -- what functions of the script call -----------------------------------------------------------------------------

    def __call__(self, *inputs: Any) -> Any:
        return self.model(*inputs)

    def get_model(self) -> Any:
        return self.model

    def get_optimizer(self) -> Any:
        return self._optimizer

    def get_loss_function(self) -> Callable[..., Any]:
        return self._loss

    def parameters(self) -> Iterator[Any]:
        return iter(self.model.parameters())

    # -- training ------------------------------------------------------------------------------------------------------

    def train(
        self,
        epochs: int = 1,
        batch_size: int = 32,
        engines_number: int | None = None,
        num_dataloader_threads: int = 0,
        validation_freq: int = 1,
        checkpoint_freq: int = 0,
        effective_batch_size: int | None = None,
        **others: Any,
    ) -> None:
        """Trains the model, which is then in this object and in RESULT_DIR/model/model_epoch_final.pth.

        Args:
            batch_size: samples of one worker in one step.
            engines_number: the most workers; None: as many as the trial was given. It gets no more than those.
            num_dataloader_threads: processes that load data, in all.
            validation_freq: 0: no validation. Any other: after each epoch, as the search wants to know.
            checkpoint_freq: write the weights every so many epochs, too; 0: never.
            effective_batch_size: samples of one step over all workers; `batch_size` is then a share of it.
        """
        for name in others:
            print(f"fabric: train({name}=...) is not known here and is ignored", flush=True)
        epochs, batch_size = int(epochs), int(batch_size)
        workers = fabric_team.given_workers(None if engines_number is None else int(engines_number))
        if effective_batch_size:
            batch_size = max(1, int(effective_batch_size) // workers)
        if epochs < 1 or batch_size < 1:
            raise ValueError(f"train({epochs}, {batch_size}, ...): epochs and batch size must be at least 1")
        train_set, test_set = self._datasets()
        self._threads = min(int(num_dataloader_threads or 0), os.cpu_count() or 1) // workers
        self._batch = batch_size
        print(f"fabric: {workers} worker(s), {batch_size} samples each, {epochs} epoch(s)", flush=True)
        plan = _Plan(epochs, batch_size, bool(validation_freq), int(checkpoint_freq or 0))
        fabric_team.run(workers, lambda team: self._work(team, plan, train_set, test_set))
        self.model.to("cpu")
        saved(self.model, "final")
        if self._onnx:
            self._write_onnx(train_set)

    def evaluate(self) -> tuple[float, float]:
        """Loss and accuracy (in percent) of the model on the test set, by one process."""
        _, test_set = self._datasets()
        values = self._validated(Team(0, 1, 1), test_set)
        return values["loss"], values["accuracy"]

    def _work(self, team: Team, plan: _Plan, train_set: Any, test_set: Any) -> None:
        """What each process does: all of its parts of each step."""
        self.model.to(team.device)
        params = {
            "optimizer": self._optimizer, "epochs": plan.epochs, "batch_size": plan.batch, "workers": team.workers,
            "rank": team.rank,
        }  # fmt: skip
        for callback in self._callbacks:
            callback.params, callback.model = params, self.model
        loggers = self._loggers if team.rank == 0 else self._loggers.of_worker()
        seed, done = torch.initial_seed() - team.rank, 0
        self._call("on_train_begin")
        loggers.begin(team.workers)
        for epoch in range(plan.epochs):
            self._call("on_epoch_begin", epoch)
            self.model.train()
            steps = _steps(len(train_set), plan.batch * team.workers, seed + epoch)
            batches = iter(self._loader(train_set, _shares(steps, plan.batch, team)))
            for step in steps:
                self._call("on_batch_begin", done)
                values = self._step(team, sum(1 for _ in _mine(step, plan.batch, team)), batches)
                done += math.ceil(len(step) / plan.batch)
                loggers.trained(values, done, epoch)
                self._call("on_batch_end", done)
            for buffer in self.model.buffers():  # running statistics, which each process has of its own samples
                team.share(buffer)
            if plan.validates:
                loggers.tested(self._validated(team, test_set), done, epoch)
            if team.rank == 0 and plan.checkpoints and (epoch + 1) % plan.checkpoints == 0:
                saved(self.model, str(epoch + 1))
            self._call("on_epoch_end", epoch, team.rank == 0)
        self._call("on_train_end")
        loggers.end()

    def _step(self, team: Team, parts: int, batches: Iterator[Any]) -> dict[str, float]:
        """One step of the optimizer by the gradient of all samples of all workers; the step's means."""
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        kind = torch.float64 if any(p.dtype == torch.float64 for p in parameters) else torch.float32
        sizes, names = [p.numel() for p in parameters], ["loss", "accuracy", *self._metrics]
        # gradients, then which parameters have one, the sums of the metrics, and the number of samples
        total = torch.zeros(sum(sizes) + len(sizes) + len(names) + 1, dtype=kind, device=team.device)
        for _ in range(parts):
            inputs, labels = _moved(next(batches), team.device)
            count, found = self._backward(inputs, labels)
            gradients = [p.grad.reshape(-1) if p.grad is not None else p.new_zeros(p.numel()) for p in parameters]
            has = [float(p.grad is not None) for p in parameters]
            rest = torch.tensor([*has, *(found[name] * count for name in names), float(count)], dtype=kind)
            gradient = torch.cat([g.to(kind) for g in gradients]) * count if gradients else total[:0]
            total += torch.cat([gradient, rest.to(team.device)])
        team.sum(total)
        samples = float(total[-1])
        at = 0
        for index, parameter in enumerate(parameters):
            size = sizes[index]
            has_one = bool(total[sum(sizes) + index])
            mean = (total[at : at + size] / samples).reshape(parameter.shape).to(parameter.dtype)
            parameter.grad = mean if has_one else None
            at += size
        self._optimizer.step()
        sums = total[-1 - len(names) : -1].tolist()
        return {name: value / samples for name, value in zip(names, sums, strict=True)}

    def _backward(self, inputs: Any, labels: Any) -> tuple[int, dict[str, float]]:
        """The gradient of one part, in the parameters; its number of samples and their means."""
        self._optimizer.zero_grad()
        if self._fn_step_train is not None:
            accuracy, loss = self._fn_step_train(self, (inputs, labels), _accuracy, None, self._fn_args)
            return _count(inputs), {
                **dict.fromkeys(self._metrics, math.nan),
                "loss": float(loss),
                "accuracy": float(accuracy),
            }
        outputs = self.model(inputs)
        loss = self._loss(outputs, labels)
        loss.backward()
        return _count(inputs), self._measured(outputs.detach(), labels, loss)

    def _validated(self, team: Team, test_set: Any) -> dict[str, float]:
        """The means over the test set; each process takes its share of the batches."""
        was_training = self.model.training
        self.model.eval()
        names = ["loss", "accuracy", *self._metrics]
        total = torch.zeros(len(names) + 1, dtype=torch.float64)
        with torch.no_grad():
            if self._fn_test is not None:
                if team.rank == 0:
                    loader = self._loader(test_set, _chunks(range(len(test_set)), self._batch))
                    found = self._fn_test(self, loader, self._fn_args)
                    loss, accuracy = found if isinstance(found, (tuple, list)) else (found, math.nan)
                    total[:2], total[2:-1], total[-1] = torch.tensor([float(loss), float(accuracy)]), math.nan, 1.0
            else:
                shares = list(_chunks(range(len(test_set)), self._batch))[team.rank :: team.size]
                for batch in self._loader(test_set, shares):
                    inputs, labels = _moved(batch, team.device)
                    outputs = self.model(inputs)
                    values = self._measured(outputs, labels, self._loss(outputs, labels))
                    count = _count(inputs)
                    total += torch.tensor([*(values[name] * count for name in names), count], dtype=torch.float64)
        total = total.to(team.device)
        team.sum(total)
        self.model.train(was_training)
        return {name: float(value / total[-1]) for name, value in zip(names, total[:-1], strict=True)}

    def _measured(self, outputs: Any, labels: Any, loss: Any) -> dict[str, float]:
        more = {name: float(metric(outputs, labels)) for name, metric in self._metrics.items()}
        return {"loss": float(loss), "accuracy": _accuracy(outputs, labels), **more}

    def _loader(self, dataset: Any, batches: Sequence[list[int]] | Iterator[list[int]]) -> Any:
        loaded = list(batches)
        return DataLoader(
            dataset, batch_sampler=loaded, collate_fn=self._collate, num_workers=self._threads if loaded else 0
        )

    def _call(self, name: str, *given: Any) -> None:
        for callback in self._callbacks:
            if (method := getattr(callback, name, None)) is not None:
                method(*given[: _taken(method)])

    def _write_onnx(self, train_set: Any) -> None:
        sample = next(iter(self._loader(Subset(train_set, [0]), [[0]])))[0]
        path = f"{os.environ.get('RESULT_DIR', '.')}/model/trained_model.onnx"
        try:
            torch.onnx.export(self.model.eval(), (sample,), path, dynamo=False)
        except Exception as error:  # the training is done and saved
            print(f"fabric: no ONNX file: {error}", flush=True)


class _Plan:
    """How long and how."""

    def __init__(self, epochs: int, batch: int, validates: bool, checkpoints: int) -> None:
        self.epochs, self.batch, self.validates, self.checkpoints = epochs, batch, validates, checkpoints


def _steps(samples: int, size: int, seed: int) -> list[list[int]]:
    """The samples of each step of an epoch, in an order that all processes draw alike."""
    order = list(range(samples))
    random.Random(seed).shuffle(order)
    return list(_chunks(order, size))


def _chunks(items: Sequence[int], size: int) -> Iterator[list[int]]:
    for at in range(0, len(items), size):
        yield list(items[at : at + size])


def _mine(step: list[int], batch: int, team: Team) -> Iterator[list[int]]:
    """The parts of a step that fall to this process; at the end of the data some may get none."""
    parts = list(_chunks(step, batch))
    return (parts[part] for part in team.parts if part < len(parts))


def _shares(steps: list[list[int]], batch: int, team: Team) -> Iterator[list[int]]:
    return (part for step in steps for part in _mine(step, batch, team))


def _moved(value: Any, device: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(each, device) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_moved(each, device) for each in value]
    return value


def _count(inputs: Any) -> int:
    """The samples of a batch."""
    while not isinstance(inputs, torch.Tensor):
        inputs = next(iter(inputs.values() if isinstance(inputs, dict) else inputs))
    return len(inputs)


def _accuracy(outputs: Any, labels: Any) -> float:
    """Percent of samples whose largest output is at the label; NaN where there are no classes."""
    if not (isinstance(outputs, torch.Tensor) and isinstance(labels, torch.Tensor)) or labels.is_floating_point():
        return math.nan
    if outputs.ndim != labels.ndim + 1:
        return math.nan
    return 100.0 * float((outputs.argmax(1) == labels).float().mean())


def _taken(method: Callable[..., Any]) -> int:
    """How many positional arguments a method of a callback takes; scripts leave out those that they do not use."""
    kinds = [p.kind for p in inspect.signature(method).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return 99
    return sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
