"""Functions as scripts: how they are called, what can be pickled, and what a trial does with what they return."""

from __future__ import annotations

import functools
import importlib
import json
import os
import runpy
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from hpo_engine.api.packing.calling import Calling, calling
from hpo_engine.api.packing.fingerprint import fingerprint
from hpo_engine.api.packing.script import is_same, write_script
from hpo_engine.errors import SpecError

KEYWORDS, MAPPING = Calling("keywords"), Calling("mapping")


class Trainer:
    def __init__(self, scale: float) -> None:
        self.scale = scale

    def fit(self, lr: float, width: int) -> float:
        return self.scale * lr * width

    def __call__(self, params: Mapping[str, Any]) -> float:
        return self.fit(**params)


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **named: Any) -> Any:
        print("called with", sorted(named))
        return function(*args, **named)

    return wrapper


@logged
def decorated(lr: float, width: int) -> float:
    return lr * width


def resuming(lr: float, width: int, resume_from: str | None = None) -> None: ...


def with_data(data: Any, lr: float, width: int = 3) -> None: ...


CALLS: dict[str, tuple[Callable[..., Any], Calling]] = {
    "names": (lambda lr, width: 0, KEYWORDS),
    "one mapping": (lambda params: 0, MAPPING),
    "a mapping and a default": (lambda params, verbose=False: 0, MAPPING),
    "all keywords": (lambda **params: 0, KEYWORDS),
    "some keywords": (lambda lr, **others: 0, KEYWORDS),
    "keyword-only": (lambda *, lr, width: 0, KEYWORDS),
    "defaults": (lambda lr=1, width=2, depth=3: 0, KEYWORDS),
    "bound method": (Trainer(2.0).fit, KEYWORDS),
    "instance": (Trainer(2.0), MAPPING),
    "decorated": (decorated, KEYWORDS),
    "partial": (functools.partial(with_data, [1, 2]), KEYWORDS),
    "partial by name": (functools.partial(with_data, data=[1, 2]), KEYWORDS),
    "resuming": (resuming, Calling("keywords", resumes=True)),
    "no signature": (max, MAPPING),
}


@pytest.mark.parametrize("name", CALLS)
def test_parameters_are_passed_as_the_signature_takes_them(name: str) -> None:
    function, expected = CALLS[name]
    assert calling(function, ["lr", "width"], "f") == expected


@pytest.mark.parametrize(
    "function, text",
    [
        (lambda lr, wdith: 0, 'f has no parameter "width", which the space has; did you mean "wdith"?'),
        (lambda lr, width, depth: 0, 'f needs "depth", which the space does not have'),
        (lambda: 0, 'f has no parameter "lr"'),
    ],
)
def test_what_does_not_fit_the_signature_is_refused(function: Callable[..., Any], text: str) -> None:
    with pytest.raises(SpecError) as refused:
        calling(function, ["lr", "width"], "f")
    assert text in str(refused.value)


def test_a_scalar_parameter_is_not_taken_for_a_mapping() -> None:
    def train(learning_rate: float) -> None: ...

    with pytest.raises(SpecError, match='no parameter "lr".*learning_rate'):
        calling(train, ["lr"], "train")


def in_trial(function: Callable[..., Any], folder: Path, params: Mapping[str, Any], objectives: list[str]) -> Any:
    """The exit code, the rows, and what was printed; by a fork, which has the imports of the tests done."""
    folder.mkdir(exist_ok=True)
    called = calling(function, list(params), "train")
    write_script(str(folder), function, "train", called, objectives, "/nowhere")
    (folder / "config.json").write_text(json.dumps(params))
    output = folder / "output.log"
    pid = os.fork()
    if pid == 0:
        _run(folder, output)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    rows = folder / "val_dict_list.json"
    return code, json.loads(rows.read_text()) if rows.exists() else [], output.read_text()


def _run(folder: Path, output: Path) -> NoReturn:
    try:
        os.chdir(folder)
        os.environ.pop("RESULT_DIR", None)
        with open(output, "w") as file:
            sys.stdout = sys.stderr = file
            runpy.run_path("hpo_function.py", run_name="__main__")
        os._exit(0)
    except SystemExit as end:
        os._exit(int(end.code or 0))
    finally:
        os._exit(99)


def steps(lr: float) -> Generator[Any, None, Any]:
    for epoch in range(3):
        yield {"step": epoch + 1, "loss": lr / (epoch + 1)}
    return {"loss": -1.0}


async def coroutine(lr: float) -> float:
    return lr


def reporting(lr: float) -> None:
    import hpo_engine as hpo

    hpo.report(step=1, loss=lr)
    importlib.import_module("hpo_engine.reports.objects")
    hpo.report(step=2, loss=lr)
    assert not hpo.should_stop()


BIG = np.arange(100_000, dtype=np.float64)

GOOD: dict[str, tuple[Callable[..., Any], Any]] = {
    "number": (lambda lr: lr, [{"loss": 0.5}]),
    "numpy number": (lambda lr: np.float32(lr), [{"loss": 0.5}]),
    "mapping": (lambda lr: {"loss": lr, "accuracy": np.int64(1), "step": 4}, [{"step": 4, "loss": 0.5, "accuracy": 1}]),
    "generator": (steps, [*({"step": n, "loss": 0.5 / n} for n in (1, 2, 3)), {"loss": -1.0}]),
    "coroutine": (coroutine, [{"loss": 0.5}]),
    "reporting": (reporting, [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.5}]),
    "array": (lambda lr: BIG.sum() * lr, [{"loss": BIG.sum() / 2}]),
    "bound": (functools.partial(Trainer(2.0).fit, width=3), [{"loss": 3.0}]),
}


def test_what_a_function_returns_is_reported(tmp_path: Path) -> None:
    for name, (function, rows) in GOOD.items():
        code, found, text = in_trial(function, tmp_path / name, {"lr": 0.5}, ["loss"])
        assert (code, found) == (0, rows), (name, text)
    size = (tmp_path / "array" / "hpo_function.data").stat().st_size
    assert size == BIG.nbytes > 10 * (tmp_path / "array" / "hpo_function.pkl").stat().st_size


def test_what_cannot_be_reported_fails_the_trial_in_words(tmp_path: Path) -> None:
    code, rows, text = in_trial(lambda lr: "great", tmp_path / "text", {"lr": 0.5}, ["loss"])
    assert code == 1 and not rows
    assert text.splitlines()[-1] == (
        "TypeError: train returned str 'great'; return a number (loss), a dictionary of metrics, or nothing after "
        "hpo.report(...)"
    )
    code, _, text = in_trial(lambda lr: {"loss": [lr, lr]}, tmp_path / "scores", {"lr": 0.5}, ["loss"])
    error = "TypeError: of the metrics that train returned, loss must be one number, not [0.5, 0.5]"
    assert code == 1 and text.splitlines()[-1] == error
    _, rows, text = in_trial(lambda lr: None, tmp_path / "none", {"lr": 0.5}, ["loss"])
    assert not rows and "train has returned nothing and reported nothing; return loss, or call hpo.report" in text
    code, _, text = in_trial(lambda lr: (lr, 1), tmp_path / "two", {"lr": 0.5}, ["loss"])
    assert code == 1 and "train returned 2 values, and the study has 1 (loss)" in text
    code, rows, _ = in_trial(lambda lr: (lr, 1), tmp_path / "both", {"lr": 0.5}, ["loss", "size"])
    assert (code, rows) == (0, [{"loss": 0.5, "size": 1}])


def test_a_traceback_begins_in_the_function_and_shows_its_text(tmp_path: Path) -> None:
    def train(lr: float) -> None:
        raise ValueError("unlucky")  # here

    code, _, text = in_trial(train, tmp_path / "raised", {"lr": 0.5}, ["loss"])
    assert code == 1
    assert [line.strip() for line in text.splitlines() if "File" in line or "raise" in line] == [
        f'File "{__file__}", line {train.__code__.co_firstlineno + 1}, in train',
        'raise ValueError("unlucky")  # here',
    ]


def test_what_cannot_be_pickled_is_named(tmp_path: Path) -> None:
    lock, file = threading.Lock(), open(tmp_path / "log.txt", "w")  # noqa: SIM115
    trainer = Trainer(1.0)
    trainer.files = {"log": file}  # type: ignore[attr-defined]

    def locked(lr: float) -> None:
        lock.acquire()

    def writes(lr: float) -> None:
        trainer.fit(lr, 1)

    cases: list[tuple[Callable[..., Any], str]] = [
        (locked, 'train > variable "lock" of the enclosing function is a _thread.lock'),
        (
            writes,
            'train > variable "trainer" of the enclosing function > attribute "files" > key \'log\' is a TextIOWrapper',
        ),
        (
            trainer.fit,
            "train > the Trainer that it is a method of > attribute \"files\" > key 'log' is a TextIOWrapper",
        ),
        (functools.partial(with_data, lock), "train > argument 1 is a _thread.lock"),
    ]
    for function, text in cases:
        with pytest.raises(SpecError) as refused:
            write_script(str(tmp_path), function, "train", MAPPING, ["loss"], "/nowhere")
        assert text in str(refused.value) and "\n" not in str(refused.value)
    file.close()


def defined(text: str) -> Any:
    """A function as a notebook's cell defines it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, f"/tmp/ipykernel_1/{hash(text)}.py", "exec"), names)
    return names["train"]


CELL = "SCALE = 2\nclass Net:\n  def size(self): return super().__sizeof__()\ndef train(lr): return lr * SCALE + Net().size()"


def test_a_function_is_the_same_until_its_code_or_its_data_change(tmp_path: Path) -> None:
    same = [CELL, "\n\n" + CELL, CELL.replace("return lr", "return (lr)")]
    assert len({fingerprint(defined(text)) for text in same}) == 1
    other = [
        CELL.replace("SCALE = 2", "SCALE = 3"),
        CELL.replace("lr *", "lr +"),
        CELL.replace("__sizeof__", "__str__"),
    ]
    assert len({fingerprint(defined(text)) for text in [CELL, *other]}) == 4
    for name in "ab":
        (tmp_path / name).mkdir()
        write_script(str(tmp_path / name), defined(CELL), "train", KEYWORDS, ["loss"], "/nowhere")
    assert is_same(str(tmp_path / "a"), str(tmp_path / "b"))
    write_script(str(tmp_path / "b"), defined(other[0]), "train", KEYWORDS, ["loss"], "/nowhere")
    assert not is_same(str(tmp_path / "a"), str(tmp_path / "b"))
