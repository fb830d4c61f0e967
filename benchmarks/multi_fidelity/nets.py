"""Small nets, many at a time: each has its own weights and settings, and all are trained in one batched product.

Plain stochastic gradient descent or AdamW, with warm-up and a schedule of the learning rate that spans the training, as
scripts do it: a short training is then another one than the beginning of a long one. Needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_WIDEST = 64
_DEFAULTS: Mapping[str, Any] = {
    "optimizer": "sgd", "batch": 32, "width": 32, "activation": "relu", "learning_rate": 0.05, "momentum": 0.0,
    "beta2": 0.999, "weight_decay": 0.0, "dropout": 0.0, "smoothing": 0.0, "init_scale": 1.0, "warmup": 0.0,
    "schedule": "constant", "decay": 1.0, "noise": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Data:
    """`kind`: classes (cross entropy) or values (squared error). `error`: validate by the share that is wrong."""

    x: np.ndarray
    y: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    kind: str = "classes"
    error: bool = False


def curves(data: Data, params: Sequence[Mapping[str, Any]], epochs: int, layers: int = 1) -> np.ndarray:
    """Validation losses (configurations, epochs); those of a training that diverged stay at what a guess is worth."""
    settings = [{**_DEFAULTS, **p} for p in params]
    out = np.empty((len(params), epochs))
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, s in enumerate(settings):
        groups.setdefault((s["optimizer"], s["batch"], s["activation"], s["schedule"]), []).append(i)
    for rows in groups.values():
        for part in np.array_split(rows, -(-len(rows) // 128)):
            out[part] = _trained(data, [settings[i] for i in part], epochs, layers)
    return out


def _trained(data: Data, settings: Sequence[Mapping[str, Any]], epochs: int, layers: int) -> np.ndarray:
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    nets = _Nets(data, settings, layers)
    x, y = torch.tensor(data.x, dtype=torch.float32), torch.tensor(data.y)
    generator = torch.Generator().manual_seed(1)
    batch, name = settings[0]["batch"], settings[0]["schedule"]
    steps = -(-len(x) // batch)
    rates = _rates(settings, name, steps, epochs)
    curve, step = [], 0
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(batch):
            nets.step(x[rows], y[rows], rates[step], step + 1, generator)
            step += 1
        curve.append(nets.validate())
    return np.array(curve).T


def _rates(settings: Sequence[Mapping[str, Any]], name: str, steps: int, epochs: int) -> Any:  # (steps, b)
    """The learning rate of each configuration at each step of a training of so many epochs."""
    import torch

    total = steps * epochs
    at = np.arange(total)[:, None] / total
    warmup = np.array([max(s["warmup"], 1e-9) for s in settings])
    rising = np.minimum(1.0, (at + 1 / total) / warmup)
    past = np.clip((at - warmup) / (1 - warmup), 0, 1)
    falling = {
        "constant": lambda: np.ones_like(past),
        "cosine": lambda: 0.5 * (1 + np.cos(math.pi * past)),
        "linear": lambda: 1 - past,
        "step": lambda: np.where(past < 0.6, 1.0, np.where(past < 0.85, 0.1, 0.01)),
        "exponential": lambda: np.array([s["decay"] for s in settings]) ** np.floor(at * epochs),
    }[name]()
    peak = np.array([s["learning_rate"] for s in settings])
    return torch.tensor(peak * rising * falling, dtype=torch.float32)


class _Nets:
    def __init__(self, data: Data, settings: Sequence[Mapping[str, Any]], layers: int) -> None:
        import torch

        def column(key: str) -> Any:
            return torch.tensor([float(s[key]) for s in settings])[:, None, None]

        self._data, self._torch = data, torch
        self._adam, self._relu = settings[0]["optimizer"] == "adam", settings[0]["activation"] == "relu"
        self._momentum, self._beta2 = column("momentum"), column("beta2")
        self._decay, self._dropout = column("weight_decay"), column("dropout")
        self._smoothing, self._noise = column("smoothing")[:, 0, 0], column("noise")
        units = torch.arange(_WIDEST)[None, None]
        self._mask = (units < torch.tensor([s["width"] for s in settings])[:, None, None]).float()
        inputs = data.x.shape[1]
        outputs = int(data.y.max()) + 1 if data.kind == "classes" else (data.y.shape[1] if data.y.ndim > 1 else 1)
        sizes = [inputs, *[_WIDEST] * layers, outputs]
        generator = torch.Generator().manual_seed(0)
        self._params = []
        for a, b in zip(sizes, sizes[1:], strict=False):
            fan = torch.full((len(settings), 1, 1), float(inputs)) if a == inputs else self._mask.sum(2, keepdim=True)
            bound = column("init_scale") / fan.sqrt()
            weight = torch.rand((1, a, b), generator=generator) * 2 - 1
            self._params += [weight * bound, torch.zeros(len(settings), 1, b)]
        for p in self._params:
            p.requires_grad_()
        self._first = [torch.zeros_like(p) for p in self._params]
        self._second = [torch.zeros_like(p) for p in self._params]
        self._val = torch.tensor(data.x_val, dtype=torch.float32), torch.tensor(data.y_val)

    def _forward(self, x: Any, generator: Any = None) -> Any:
        torch = self._torch
        h = x[None].expand(len(self._mask), -1, -1)
        if generator is not None and float(self._noise.max()) > 0:
            h = h + self._noise * torch.randn(h.shape[1:], generator=generator)[None]
        last = len(self._params) - 2
        for k in range(0, last + 1, 2):
            h = torch.baddbmm(self._params[k + 1], h, self._params[k])
            if k < last:
                h = (torch.relu(h) if self._relu else torch.tanh(h)) * self._mask
                if generator is not None and float(self._dropout.max()) > 0:
                    kept = (torch.rand(h.shape[1:], generator=generator)[None] >= self._dropout).float()
                    h = h * kept / (1 - self._dropout)
        return h

    def _losses(self, out: Any, y: Any, smoothing: Any) -> Any:  # (b,)
        torch = self._torch
        if self._data.kind != "classes":
            return ((out - (y[:, None] if y.ndim == 1 else y)[None].float()) ** 2).mean(dim=(1, 2))
        logs = torch.log_softmax(out, dim=2)
        own = logs.gather(2, y[None, :, None].expand(len(out), -1, 1)).mean(dim=(1, 2))
        return -(1 - smoothing) * own - smoothing * logs.mean(dim=(1, 2))

    def step(self, x: Any, y: Any, rates: Any, count: int, generator: Any) -> None:
        torch = self._torch
        loss = self._losses(self._forward(x, generator), y, self._smoothing).sum()
        grads = torch.autograd.grad(loss, self._params)
        rate = rates[:, None, None]
        with torch.no_grad():
            for p, g, m, v in zip(self._params, grads, self._first, self._second, strict=True):
                if self._adam:
                    m.mul_(0.9).add_(g, alpha=0.1)
                    v.mul_(self._beta2).add_((1 - self._beta2) * g * g)
                    root = (v / (1 - self._beta2**count)).sqrt_().add_(1e-8)
                    p.mul_(1 - rate * self._decay).sub_(rate * (m / (1 - 0.9**count)) / root)
                else:
                    m.mul_(self._momentum).add_(g + self._decay * p)
                    p.sub_(rate * m)

    def validate(self) -> np.ndarray:
        torch, (x, y) = self._torch, self._val
        guess = 1.0 if self._data.kind != "classes" or self._data.error else 1.5 * math.log(int(y.max()) + 1)
        with torch.no_grad():
            out = self._forward(x)
            if self._data.error:
                wrong = (out.argmax(2) != y[None]).float().mean(1)
                losses = torch.where(out.isfinite().all(dim=2).all(dim=1), wrong, torch.ones_like(wrong))
            else:
                losses = self._losses(out, y, torch.zeros(len(out)))
        return np.minimum(np.nan_to_num(losses.numpy(), nan=guess, posinf=guess), guess)


Train = Callable[[Sequence[Mapping[str, Any]], int], np.ndarray]
