"""Test functions of the COCO platform (coco-experiment): `bbob`, continuous, and `bbob-mixint`, with whole numbers.

Source: Hansen et al., Real-Parameter Black-Box Optimization Benchmarking 2009: Noiseless Functions Definitions;
Tusar, Brockhoff and Hansen, Mixed-Integer Benchmark Problems for Single- and Bi-Objective Optimization, 2019.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from typing import Any

from hpo_engine.space.searchspace import Float, Int, SearchSpace

# name: suite, function, dimensions, instance
FUNCTIONS: Mapping[str, tuple[str, int, int, int]] = {
    "sphere-20d": ("bbob", 1, 20, 1),
    "slope-5d": ("bbob", 5, 5, 2),  # the best point is a corner
    "sector-10d": ("bbob", 6, 10, 3),
    "steps-5d": ("bbob", 7, 5, 1),  # plateaus
    "rosenbrock-10d": ("bbob", 9, 10, 2),
    "ellipsoid-10d": ("bbob", 10, 10, 3),
    "ridge-10d": ("bbob", 13, 10, 1),
    "powers-20d": ("bbob", 14, 20, 2),
    "rastrigin-3d": ("bbob", 15, 3, 3),
    "schaffer-5d": ("bbob", 17, 5, 1),
    "schwefel-10d": ("bbob", 20, 10, 2),
    "gallagher-5d": ("bbob", 22, 5, 2),
    "mixint-sphere-10d": ("bbob-mixint", 1, 10, 1),
    "mixint-gallagher-5d": ("bbob-mixint", 21, 5, 2),
    "mixint-rosenbrock-10d": ("bbob-mixint", 8, 10, 3),
    "mixint-rastrigin-5d": ("bbob-mixint", 15, 5, 1),
}


class Function:
    """One function, its space, and its lowest value."""

    def __init__(self, name: str) -> None:
        import cocoex

        suite, number, dimension, instance = FUNCTIONS[name]
        self._suite = cocoex.Suite(suite, "", f"dimensions: {dimension} function_indices: {number}")
        self._problem = self._suite.get_problem_by_function_dimension_instance(number, dimension, instance)
        whole = self._problem.number_of_integer_variables
        lows, highs = self._problem.lower_bounds.tolist(), self._problem.upper_bounds.tolist()
        self.space = SearchSpace(
            tuple(
                Int(f"x{i}", int(low), int(high)) if i < whole else Float(f"x{i}", low, high)
                for i, (low, high) in enumerate(zip(lows, highs, strict=True))
            )
        )
        self._names = self.space.names

    def evaluate(self, params: Mapping[str, Any], resource: int | None = None) -> float:
        return float(self._problem([params[name] for name in self._names]))

    def lowest(self) -> float:
        """The value at the best point, which the platform tells through a file only."""
        here = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                self._problem._best_parameter("print")
                with contextlib.closing(open("._bbob_problem_best_parameter.txt")) as file:
                    point = [float(word) for word in file.read().split()]
            finally:
                os.chdir(here)
        return float(self._problem(point))
