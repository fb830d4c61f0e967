"""This machine in words and numbers, for the record of what a study ran on."""

from __future__ import annotations

import os
import platform
from contextlib import suppress

from hpo_engine.executors.devices import count_cores, nvidia_smi
from hpo_engine.study.provenance import Gpu, Machine


def this_machine() -> Machine:
    """The host, its system, processor, memory and GPUs. What cannot be found out is left out; never raises."""
    about = os.uname()
    return Machine(
        about.nodename,
        os=", ".join(filter(None, [_distribution(), f"{about.sysname} {about.release} {about.machine}"])),
        cpu=_processor(),
        cores=count_cores(),
        memory_mb=_memory_mb(),
        gpus=_gpus(),
    )


def _gpus() -> tuple[Gpu, ...]:
    """All GPUs of the machine, whichever the trials may use."""
    with suppress(OSError):
        rows = [[cell.strip() for cell in line.split(",")] for line in nvidia_smi("name,memory.total,driver_version")]
        return tuple(Gpu(row[0], _mebibytes(row[1]), row[2]) for row in rows if len(row) == 3)
    return ()


def _mebibytes(text: str) -> int | None:
    """`81559 MiB` as a number; None for `[N/A]`."""
    number = text.partition(" ")[0]
    return int(number) if number.isdigit() else None


def _memory_mb() -> int | None:
    with suppress(OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return None


def _distribution() -> str:
    with suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return ""


def _processor() -> str:
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, text = line.partition(":")
            if name.strip() in ("model name", "Model"):
                return text.strip()
    return ""
