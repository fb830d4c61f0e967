"""The searchers, one file each: pure proposers that know the study, the space and maths, and start nothing.

This file holds what they share. A searcher keeps no state but caches; all chance comes from `trial_rng`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo_engine.searchers.interface import Searcher as Searcher
from hpo_engine.searchers.interface import Traits as Traits

if TYPE_CHECKING:
    import numpy as np

    from hpo_engine.study.spec import StudySpec


def trial_rng(spec: StudySpec, trial_id: int) -> np.random.Generator:
    """The random numbers of one trial: they depend on the study's seed and the trial's id, and on nothing else.

    A spec that was never opened has no seed yet; it counts as seed 0.
    """
    import numpy as np

    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(spec.seed or 0, spawn_key=(trial_id,))))
