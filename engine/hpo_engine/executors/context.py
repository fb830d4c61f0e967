"""What an executor is made with: the study as far as running its attempts goes. Knows no kind of executor."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hpo_engine.executors.local.bound import Bind, as_bound
from hpo_engine.study.spec import Resources

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExecutorContext:
    """The argument of an executor's class.

    `resources`: of the study. `env`: the engine's own environment. `bind`: finds argv, environment and folders of an
    attempt. `say`: called with one-line notices. `errors`: the file that the executor's own processes write errors to.
    `study`, `name`: of the study in the ledger of the machine; if `study` is empty, the ledger is not used.
    `interpreter`: the Python of the executor's own processes.
    """

    resources: Resources
    env: Mapping[str, str]
    bind: Bind = as_bound
    say: Callable[[str], None] = _log.info
    errors: str = os.devnull
    study: str = ""
    name: str = ""
    interpreter: str = sys.executable
