"""The variables that bound the threads of libraries: what is set, and what is left to whoever set it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hpo_engine.system import threads


@pytest.mark.parametrize(
    ("cores", "usable", "at_once", "each"),
    [
        (2, 2, 1, None),
        (2, 2, 2, 1),
        (2, 2, 50, 1),
        (64, 64, 3, 21),
        (1, 1, 4, None),
        (2, 64, 1, 2),
        (3, 64, 2, 1),
        (8, 8, 0, None),
    ],
)
def test_share_is_cores_by_trials_at_a_time_and_nothing_where_libraries_take_no_more(
    cores: int, usable: int, at_once: int, each: int | None
) -> None:
    assert threads.share(cores, usable, at_once) == each


def test_nothing_given_everything_set() -> None:
    assert threads.variables({"PATH": "/bin"}, 3) == dict.fromkeys(threads.NAMES, "3")
    assert threads.variables({}, None) == {}


def test_what_is_given_stays_and_the_others_are_set() -> None:
    env = threads.variables({"MKL_NUM_THREADS": "9", "NUMBA_NUM_THREADS": "4"}, 2)
    assert env == dict.fromkeys(set(threads.NAMES) - {"MKL_NUM_THREADS", "NUMBA_NUM_THREADS"}, "2")


@pytest.mark.parametrize(("omp", "followed"), [("3", "3"), ("4,2", "4"), (" 5 ", "5")])
def test_others_follow_openmp_but_not_the_number_of_processes(omp: str, followed: str) -> None:
    env = threads.variables({"OMP_NUM_THREADS": omp, "POLARS_MAX_THREADS": "7"}, 1)
    assert env.pop("LOKY_MAX_CPU_COUNT") == "1", "one thread in each of many processes is a setting of its own"
    assert env == dict.fromkeys(set(threads.OWN) - {"POLARS_MAX_THREADS"}, followed)
    assert not set(env) & set(threads.BY_OMP), "their libraries go by OMP_NUM_THREADS themselves"


@pytest.mark.parametrize("omp", ["", "auto", "0", "-1", "²", pytest.param("9" * 5000, id="5,000 digits")])
def test_value_that_is_no_number_leaves_all_alone(omp: str) -> None:
    assert threads.variables({"OMP_NUM_THREADS": omp}, 1) == {}


def test_words() -> None:
    assert (
        threads.described(1, 2, 2) == "2 trials at a time share 2 cores: 1 thread each (OMP_NUM_THREADS and its like)"
    )
    assert "3 trials at a time share 64 cores: 21 threads each" in threads.described(21, 64, 3)
    assert threads.described(2, 2, 1).startswith("a quota gives trials 2 cores: 2 threads (")


OWN_THREADS = """
import os, sys
import numpy
from hpo_engine.system import threads
import ctypes
def counts():
    found = []
    for line in open("/proc/self/maps"):
        path = line.split(maxsplit=5)[-1].strip()
        if "openblas" in os.path.basename(path):
            library = ctypes.CDLL(path)
            for name in threads._SETTERS:
                getter = getattr(library, name.replace("_set_", "_get_"), None)
                if getter:
                    found.append(getter())
    return set(found)
before = counts()
threads.keep_to_one(os.environ)
import hpo_engine.maths.gp
print(before, counts())
"""


def _own_threads(**more: str) -> str:
    env = {name: value for name, value in os.environ.items() if name not in threads.NAMES}
    return subprocess.run(
        [sys.executable, "-c", OWN_THREADS], env={**env, **more}, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.slow
def test_engine_itself_computes_in_one_thread_unless_its_environment_says_how_many() -> None:
    """Its search thinks while trials run: threads of its own that wait for each other cost it more than they gain."""
    told = _own_threads()
    if told == "set() set()":
        pytest.skip("numpy has another library than OpenBLAS")
    assert told.endswith(" {1}")
    if len(os.sched_getaffinity(0)) > 1:
        assert not told.startswith("{1} ") and _own_threads(OPENBLAS_NUM_THREADS="2") == "{2} {2}"
