"""What a study was run with, in a few lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from hpo_engine.study.provenance import Code, Gpu, Machine, Provenance, Runtime
from hpo_engine.text.tables import counted, size_text

_TOLD = (
    "torch", "lightning", "pytorch-lightning", "tensorflow", "keras", "jax", "flax", "transformers", "scikit-learn",
    "xgboost", "lightgbm", "catboost", "timm", "accelerate", "deepspeed",
)  # fmt: skip
"""The packages whose versions are worth a word in one line; all of them are in `show --json`."""
_MOST = 4


def lines(found: Provenance) -> Iterator[str]:
    """One line each on the code, the packages and the machine, as far as they are known."""
    if found.code is not None:
        yield f"code: {code_line(found.code)}"
    if found.runtime is not None:
        if found.runtime.python:
            yield f"python: {python_line(found.runtime)}"
        yield f"machine: {machine_line(found.runtime.machine)}; hpo-engine {found.runtime.engine}"


def code_line(code: Code) -> str:
    """`commit 3f2a1bc09d on main, 2 files changed (+10 -3), 1 untracked`."""
    text = f"commit {code.commit[:10]}" if code.commit else "no commit yet"
    text += f" on {code.branch}" if code.branch else ", detached" if code.commit else ""
    if code.dirty is None:
        return f"{text} (changes unknown: git took too long)"
    parts = []
    if code.changed_files:
        parts.append(f"{counted(code.changed_files, 'file')} changed (+{code.added} -{code.removed})")
    if code.untracked_files:
        parts.append(f"{code.untracked_files} untracked")
    return ", ".join([text, *(parts or ["unchanged"])])


def python_line(runtime: Runtime) -> str:
    """`3.12.4, torch 2.6.0, lightning 2.5.1 (212 packages)`."""
    told = [f"{name} {runtime.packages[name]}" for name in _TOLD if name in runtime.packages][:_MOST]
    count = f" ({counted(len(runtime.packages), 'package')})" if runtime.packages else ""
    return ", ".join([runtime.python, *told]) + count


def machine_line(machine: Machine) -> str:
    """`node7, 16 cores, 126 GiB, 2 x NVIDIA H100 80GB HBM3`."""
    parts = [machine.host]
    if machine.cores is not None:
        parts.append(counted(machine.cores, "core"))
    if machine.memory_mb is not None:
        parts.append(size_text(machine.memory_mb << 20))
    return ", ".join([*parts, *_gpus(machine.gpus)])


def _gpus(gpus: tuple[Gpu, ...]) -> Iterator[str]:
    names = [gpu.name for gpu in gpus]
    for name in dict.fromkeys(names):
        yield f"{names.count(name)} x {name}"
