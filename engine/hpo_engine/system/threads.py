"""The environment variables that limit how many threads the libraries of a trial use.

Without them each library takes all cores for each trial, and threads that wait for each other make trials that run at
the same time many times slower. Knows names and numbers, nothing of trials.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

OMP = "OMP_NUM_THREADS"
BY_OMP = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Their libraries use OMP_NUM_THREADS if these are not set; those below do not."""
OWN = (
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
CORES = ("LOKY_MAX_CPU_COUNT",)
"""What joblib, and so scikit-learn, takes for the number of cores: `n_jobs=-1` starts so many processes."""
NAMES = (OMP, *BY_OMP, *OWN, *CORES)
_DIGITS = 9  # of a number of threads at most; Python refuses to read one of thousands
_SETTERS = (
    "openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "scipy_openblas_set_num_threads64_",
    "MKL_Set_Num_Threads",
    "bli_thread_set_num_threads",
)


def share(cores: int, usable: int, at_once: int) -> int | None:
    """Threads for each of `at_once` trials; None if the libraries' own choice does no harm.

    Args:
        cores: how many this machine offers, with a quota counted in; usable: how many a library sees.
    """
    threads = max(1, cores // max(1, at_once))
    return threads if threads < usable else None


def variables(given: Mapping[str, str], threads: int | None) -> dict[str, str]:
    """What to set in an environment that has `given`. Nothing that is given changes; where OMP_NUM_THREADS is, others
    follow it, by themselves or by its (first) number; anything but a number is left to whoever set it."""
    if threads is None:
        return {}
    if OMP not in given:
        return {name: str(threads) for name in NAMES if name not in given}
    first = given[OMP].partition(",")[0].strip()
    if not (first.isascii() and first.isdigit() and len(first) <= _DIGITS and int(first)):
        return {}
    wanted = {**dict.fromkeys(OWN, first), **dict.fromkeys(CORES, str(threads))}
    return {name: value for name, value in wanted.items() if name not in given}


def described(threads: int, cores: int, at_once: int, studies: int = 1) -> str:
    """`2 trials at a time share 2 cores: 1 thread each (OMP_NUM_THREADS and its like)`; `studies`: whose trials."""
    of = f"{cores} core{'' if cores == 1 else 's'}"
    each = f"{threads} thread{'' if threads == 1 else 's'}"
    if at_once == 1:
        return f"a quota gives trials {of}: {each} ({OMP} and its like)"
    whose = f" of {studies} studies" if studies > 1 else ""
    return f"{at_once} trials at a time{whose} share {of}: {each} each ({OMP} and its like)"


def keep_to_one(given: Mapping[str, str]) -> None:
    """Linear algebra of this process, the engine's, runs in one thread from now on: trials run beside it, and its own
    matrices are small. Nothing is done where `given`, its environment, says how many."""
    if any(name in given for name in (OMP, *BY_OMP)):
        return
    import ctypes

    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
            paths = {line.split(maxsplit=5)[5].rstrip("\n") for line in file if ".so" in line}
    except (OSError, IndexError):
        return
    for path in paths:
        if any(word in os.path.basename(path) for word in ("openblas", "mkl_rt", "libblis")):
            try:
                library = ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
            except OSError:
                continue
            for name in _SETTERS:
                if setter := getattr(library, name, None):
                    setter(1)
