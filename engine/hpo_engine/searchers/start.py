"""The quasi-random start that searchers share, before there are results to learn from.

Knows nothing of results.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from hpo_engine.maths.quasirandom import ScrambledSobol
    from hpo_engine.study.spec import StudySpec


def start_point(spec: StudySpec, i: int) -> np.ndarray:  # (d,)
    """Point i of a scrambled Sobol sequence over the space's dimensions; depends on the study's seed, d and i alone.

    Entries are in [0, 1). `SearchSpace.decode` makes parameters of it: each value of a choice or a whole number comes
    up about equally often; entries of conditional parameters that do not apply are not read.
    """
    return _sequence(len(spec.space.dimensions), spec.seed or 0).point(i)


@lru_cache(maxsize=16)
def _sequence(d: int, seed: int) -> ScrambledSobol:
    from hpo_engine.maths.quasirandom import ScrambledSobol

    return ScrambledSobol(d, seed)
