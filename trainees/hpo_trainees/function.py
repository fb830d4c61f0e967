"""Runs a Python function as a trial: what `hpo_engine.tune` packs in a notebook or a program, a script unpacks here.

The script, `hpo_function.py` in the trial's folder, is written by `tune`; beside it are `hpo_function.pkl` (the
function and what it uses), `hpo_function.data` (large arrays, which all trials map into memory) and
`hpo_function.json`.
Standard library only, but for cloudpickle, which unpickles. Knows nothing of the engine.
"""

from __future__ import annotations

import inspect
import json
import mmap
import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from hpo_trainees.report import RESULT_FILE, config, report, should_stop

SCRIPT, PICKLE, DATA, MANIFEST = "hpo_function.py", "hpo_function.pkl", "hpo_function.data", "hpo_function.json"
_loading = 0


class Manifest(NamedTuple):
    """`function`: its name; `by`: "keywords" or "mapping", how it takes parameters; `objectives`: metrics, as the
    study has them; `buffers`: (offset, bytes) of each array in the data file; `sources`: text of the code, by the name
    of its file, or of the notebook's cell, in tracebacks."""

    function: str
    by: str
    objectives: Sequence[str]
    buffers: Sequence[Sequence[int]]
    sources: Mapping[str, str]
    fingerprint: str


def load(folder: str) -> tuple[Manifest, Callable[..., Any], Mapping[str, Any]]:
    """What is packed in `folder`: the manifest, the function, and what it uses of the program that defined it, by name.

    Raises: what unpickling does, such as ModuleNotFoundError.
    """
    global _loading
    with open(os.path.join(folder, MANIFEST), encoding="utf-8") as file:
        manifest = Manifest(**json.load(file))
    _loading += 1
    try:
        with open(os.path.join(folder, PICKLE), "rb") as packed:
            unpickler = pickle.Unpickler(packed, buffers=_buffers(folder, manifest.buffers))  # noqa: S301  (the user's)
            return manifest, unpickler.load(), unpickler.load()
    finally:
        _loading -= 1


def is_loading() -> bool:
    """Whether modules that are imported now are imported for a packed function: they must not start a study."""
    return _loading > 0


def main(script: str, names: dict[str, Any], *, run: bool) -> None:
    """The script's only call. `names`: its globals, which get the classes and functions that the function knows by
    their names in `__main__`, so that they can be pickled in the trial; also in processes that a trial spawns (`run` is
    false there)."""
    folder = os.path.dirname(os.path.abspath(script))
    try:
        manifest, function, known = load(folder)
    except Exception as error:
        _fail(error, f"the packed function cannot be loaded: {type(error).__name__}: {error}")
    names.update({name: value for name, value in known.items() if name not in names})
    if run:
        _run(manifest, function)


def tensor_from(buffer: Any, dtype: str, shape: Sequence[int]) -> Any:
    """A torch tensor in the memory of `buffer`."""
    import torch

    return torch.frombuffer(buffer, dtype=getattr(torch, dtype)).reshape(shape)


def _run(manifest: Manifest, function: Callable[..., Any]) -> None:
    params = config()
    sink = _Sink(manifest)
    try:
        result = function(**params) if manifest.by == "keywords" else function(params)
        if inspect.isawaitable(result):
            import asyncio

            result = asyncio.run(_awaited(result))
        sink.take(_exhausted(result, sink) if inspect.isgenerator(result) else result)
        if not os.path.exists(
            os.path.join(os.environ.get("RESULT_DIR", ""), RESULT_FILE)
        ):  # a logger of its own may have left metrics elsewhere
            print(
                f"{manifest.function} has returned nothing and reported nothing; return {sink.wanted}, or call "
                f"hpo.report({sink.wanted}=...)",
                file=sys.stderr,
            )
    except Exception as error:
        _remember(manifest.sources)
        _fail(error, None)


async def _awaited(result: Any) -> Any:
    return await result


def _exhausted(steps: Any, sink: _Sink) -> Any:
    """Takes what a generator yields, until it or the trial ends; returns what it returns."""
    should_stop()  # from now on SIGTERM does not end the process between two steps
    try:
        while True:
            sink.take(next(steps))
            if should_stop():
                steps.close()
                return None
    except StopIteration as end:
        return end.value


class _Sink:
    """Reports what a function returns or yields. `objectives`: what a number, or as many numbers, are called."""

    def __init__(self, manifest: Manifest) -> None:
        self._name, self._objectives = manifest.function, list(manifest.objectives)

    @property
    def wanted(self) -> str:
        return self._objectives[0]

    def take(self, result: Any) -> None:
        """Raises TypeError: it cannot be reported. None is nothing to report."""
        if result is None:
            return
        if isinstance(result, Mapping):
            metrics = dict(result)
            if bad := [key for key in metrics if not isinstance(key, str)]:
                raise TypeError(f"{self._name} returned a metric whose name is not text: {bad[0]!r}")
            try:
                _reported(metrics)
            except TypeError as error:  # a list of scores, or weights beside the loss
                raise TypeError(f"of the metrics that {self._name} returned, {error}") from None
            return
        if isinstance(result, str) or (not _is_number(result) and not isinstance(result, (tuple, list))):
            raise TypeError(
                f"{self._name} returned {_shown(result)}; return a number ({self._objectives[0]}), a dictionary of "
                "metrics, or nothing after hpo.report(...)"
            )
        values = list(result) if isinstance(result, (tuple, list)) else [result]
        if len(values) != len(self._objectives):
            raise TypeError(
                f"{self._name} returned {len(values)} values, and the study has {len(self._objectives)} "
                f"({', '.join(self._objectives)}); a dictionary names them"
            )
        _reported(dict(zip(self._objectives, values)))  # noqa: B905  (Python 3.9)


def _reported(metrics: dict[str, Any]) -> None:
    step = metrics.pop("step", None)
    report(step, **metrics)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _remember(sources: Mapping[str, str]) -> None:
    """Lets tracebacks show the code as it was packed."""
    import linecache

    for name, text in sources.items():
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)


def _fail(error: BaseException, line: str | None) -> NoReturn:
    """Ends the process as an uncaught exception does; the traceback begins in the function's own code."""
    import traceback

    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.stdout.flush()
    traceback.print_exception(type(error), error, trace)
    if line is not None:
        print(line, file=sys.stderr)
    raise SystemExit(1)


def _buffers(folder: str, places: Sequence[Sequence[int]]) -> list[memoryview]:
    """Views of the data file: pages are shared by all trials, until one of them writes to them."""
    if not places:
        return []
    with open(os.path.join(folder, DATA), "rb") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    return [memory[begin : begin + size] for begin, size in places]
