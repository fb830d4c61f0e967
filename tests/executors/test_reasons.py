"""Executors of earlier versions, which take no reason when they stop an attempt."""

from __future__ import annotations

from typing import Any

import pytest

from hpo_engine.executors.reasons import taking_reasons
from hpo_engine.study.trial import StopCause


class Old:
    stopped: tuple[Any, ...] = ()

    def stop(self, nonce: str, cause: StopCause, *, kill: bool = False) -> None:
        self.stopped = nonce, cause, kill

    def free(self) -> int:
        return 7


class New(Old):
    def stop(self, nonce: str, cause: StopCause, *, kill: bool = False, reason: str = "") -> None:
        self.stopped = nonce, cause, kill, reason


@pytest.mark.parametrize(("made", "expected"), [(Old, ("n", "user", True)), (New, ("n", "user", True, "why"))])
def test_the_reason_reaches_those_that_take_one(made: type[Old], expected: tuple[Any, ...]) -> None:
    inner = made()
    executor: Any = taking_reasons(inner)  # type: ignore[arg-type]
    executor.stop("n", StopCause.USER, kill=True, reason="why")
    assert inner.stopped == expected and executor.free() == 7
