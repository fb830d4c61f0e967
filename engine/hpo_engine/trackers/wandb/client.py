"""Talks to the worker: starts it, hands messages over one by one, and leaves it to finish alone in the end."""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from hpo_engine.trackers.background import Unreachable
from hpo_engine.trackers.wandb.runs import Message
from hpo_engine.trackers.wandb.worker import DONE, LEFT

_ANSWER_S = 120.0  # a server that accepts connections and never answers is not waited for longer
_NOT_OURS = (
    "WANDB_RUN_ID", "WANDB_NAME", "WANDB_RUN_GROUP", "WANDB_JOB_TYPE", "WANDB_RESUME", "WANDB_NOTES", "WANDB_DIR",
    "WANDB_SERVICE", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_CONFIG_PATHS",
)  # fmt: skip


class Client:
    """`folder`: the study's, in which wandb makes its own."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # of the worker's stdin

    def done(self) -> set[str]:
        """The keys of the messages that any worker of the study has written."""
        with suppress(OSError), open(f"{self._folder}/wandb/{DONE}", encoding="utf-8") as file:
            return set(file.read().splitlines())
        return set()

    def deliver(self, message: Message) -> None:
        """Raises Unreachable: try again; RuntimeError: never."""
        process = self._started()
        try:
            self._send(process, message)
            said = self._answer(process)
        except (OSError, ValueError) as error:
            self._drop()
            raise Unreachable(f"W&B: its process ended ({error})") from None
        if "error" in said:
            if said["final"]:
                raise RuntimeError(f"W&B: {said['error']}")
            raise Unreachable(f"W&B: {said['error']}")

    def leave(self, left: Iterable[Message], wait_s: float) -> None:
        """The worker writes these, too, and ends; it is waited for `wait_s` seconds and then left alone."""
        left = list(left)
        if left:
            path = f"{self._folder}/wandb/{LEFT}"
            os.makedirs(os.path.dirname(path), exist_ok=True)  # the worker may not have come to it
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(f"{_text(message)}\n" for message in left)
            with suppress(OSError):
                self._send(self._started(), {"left": path})
        if self._process is None or self._process.stdin is None:
            return
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(wait_s)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            env = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hpo_engine.trackers.wandb.worker", self._folder], env=env,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        return self._process

    def _send(self, process: subprocess.Popen[bytes], message: Message) -> None:
        assert process.stdin is not None
        with self._lock:
            process.stdin.write(f"{_text(message)}\n".encode())
            process.stdin.flush()

    def _answer(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], _ANSWER_S)[0]:
            raise OSError(f"no answer in {_ANSWER_S:g} s")
        line = process.stdout.readline()
        if not line:
            raise OSError(f"exit code {process.wait(10)}")
        said: dict[str, Any] = json.loads(line)
        return said

    def _drop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


def _text(message: Message) -> str:
    return json.dumps(_finite(message), default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    """Numbers that JSON has not, as the worker reads them."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, (list, tuple)) else value
