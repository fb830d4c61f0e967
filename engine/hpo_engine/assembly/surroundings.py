"""What an engine and its trials run on, put together from the script's interpreter and the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from hpo_engine.contract import binding
from hpo_engine.contract.interpreter import interpreter_of
from hpo_engine.contract.placeholders import literal
from hpo_engine.executors.host import this_machine
from hpo_engine.study.provenance import Runtime
from hpo_engine.study.spec import StudySpec
from hpo_engine.version import __version__


def runtime(spec: StudySpec, folder: str, env: Mapping[str, str]) -> Runtime:
    """What the study's trials run on if an engine starts them here and now. Takes as long as nvidia-smi, if that is
    there, and a start of the script's own Python, if that is not the engine's; call it beside other work.

    Args:
        folder: of the script. env: the engine's environment.
    """
    own = {name: value for name, value in spec.env.items() if value == literal(value)}
    python = interpreter_of(binding.command(spec, sys.executable), {**env, **own}, folder)
    return Runtime(__version__, this_machine(), python.path, python.version, dict(python.packages))


def here(spec: StudySpec, folder: str) -> Runtime:
    """`runtime` in this process's environment."""
    return runtime(spec, folder, os.environ)
