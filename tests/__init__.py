"""Tests run beside each other: arithmetic on the small arrays of most is slower with several threads than with one."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before anything imports numpy
