"""Executors that take no reason when they stop an attempt, as those written for earlier versions."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo_engine.core.ports import Executor
    from hpo_engine.study.trial import StopCause


def taking_reasons(executor: Executor) -> Executor:
    """The executor, or one around it that keeps the reasons from it."""
    parameters = inspect.signature(executor.stop).parameters
    takes = "reason" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    wrapped: Any = executor if takes else _WithoutReason(executor)
    found: Executor = wrapped
    return found


class _WithoutReason:
    def __init__(self, inner: Executor) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def stop(self, nonce: str, cause: StopCause, *, kill: bool = False, reason: str = "") -> None:
        self._inner.stop(nonce, cause, kill=kill)
