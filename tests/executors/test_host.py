"""What this machine is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpo_engine.executors.devices import count_cores
from hpo_engine.executors.host import this_machine
from hpo_engine.study.provenance import Gpu


def test_machine_with_two_gpus_one_of_which_does_not_say_how_large_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559 MiB, 550.54'\necho 'Old, [N/A], 550.54'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = this_machine()
    assert found.gpus == (Gpu("NVIDIA H100 80GB HBM3", 81559, "550.54"), Gpu("Old", None, "550.54"))
    assert (found.host, found.cores) == (os.uname().nodename, count_cores())
    assert found.memory_mb is not None and found.memory_mb > 100 and "Linux" in found.os


def test_machine_without_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert this_machine().gpus == ()
