"""What a study was run with: the commit of the script's folder, the interpreter's packages, the machine. Frozen.

Gathered in `contract.git`, `contract.interpreter` and `executors.devices`; nothing here reads a file. Values of the
command line that may be secret are hidden (`text.secrets`), because trackers send all of it to their servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpo_engine.study.values import fields_from_plain, fields_to_plain


@dataclass(frozen=True)
class FileChange:
    """A file that differs from the commit: lines added and removed (None: not a text)."""

    path: str
    added: int | None = None
    removed: int | None = None


@dataclass(frozen=True)
class Code:
    """The git commit that the script's folder was at when the study copied it, and how the folder differed from it.

    `commit`: its full hash ("": none yet). `branch`: "" if HEAD is detached. `remote`: the URL of origin without
    credentials ("": none). `folder`: the script's folder within the repository ("." is its root).
    `dirty`: whether anything in the folder differed (None: git did not answer in time). `changes`: the files that
    differed, `untracked`: those that git does not know (a folder ends with a slash), relative to the script's folder
    and the first ones only; `changed_files`, `untracked_files`: how many there are; `added`, `removed`: lines in all.
    """

    commit: str
    branch: str = ""
    remote: str = ""
    folder: str = "."
    dirty: bool | None = None
    changes: tuple[FileChange, ...] = ()
    untracked: tuple[str, ...] = ()
    changed_files: int = 0
    untracked_files: int = 0
    added: int = 0
    removed: int = 0

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return fields_to_plain(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Code:
        """The inverse of `to_json`; keys that this version does not know are ignored."""
        return fields_from_plain(cls, data)


@dataclass(frozen=True)
class Gpu:
    """A GPU of the machine; `memory_mb` in MiB."""

    name: str
    memory_mb: int | None = None
    driver: str = ""


@dataclass(frozen=True)
class Machine:
    """`cores`: those that trials may use. `memory_mb`: installed memory in MiB. `cpu`: the processor's name."""

    host: str
    os: str = ""
    cpu: str = ""
    cores: int | None = None
    memory_mb: int | None = None
    gpus: tuple[Gpu, ...] = ()


@dataclass(frozen=True)
class Runtime:
    """What an engine and its trials ran on. `at`: when this was found out (UTC seconds), which is not compared.

    `engine`: hpo-engine's version. `interpreter`: the path of the Python that runs the script, `python` its version,
    `packages` what is installed there, name -> version (all empty if the command does not start with a Python).
    """

    engine: str
    machine: Machine
    interpreter: str = ""
    python: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    at: float = field(default=0.0, compare=False)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return fields_to_plain(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Runtime:
        """The inverse of `to_json`; keys that this version does not know are ignored."""
        return fields_from_plain(cls, data)


@dataclass(frozen=True)
class Provenance:
    """What a study's trials were: the `command` as the study file has it, without secrets; the code; the latest of the
    `runtimes`, one for each machine or environment that it ran in. None: not known."""

    command: tuple[str, ...]
    code: Code | None = None
    runtime: Runtime | None = None
