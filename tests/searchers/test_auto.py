"""The default picks by its rule, says whom it picked, and gives what that searcher would."""

from __future__ import annotations

import numpy as np

from hpo_engine.searchers.auto import Auto
from hpo_engine.searchers.bayesian import Bayesian
from hpo_engine.searchers.observations import Observer
from hpo_engine.searchers.tpe import Tpe
from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.testing.histories import SPACES, opened, proposed, simulated, spec_of


def test_each_proposal_is_that_of_the_searcher_in_its_slot() -> None:
    for name in ("mixed", "conditional"):
        spec = spec_of(SPACES[name])
        history = simulated(opened(spec), Tpe(spec), 25, np.random.default_rng(0))
        by = set()
        for _ in range(5):
            (proposal,) = Auto(spec).ask(history, 1)
            assert proposal.note is not None
            by.add(proposal.note["by"])
            inner = {"tpe": Tpe, "bayesian": Bayesian}[proposal.note["by"]](spec)
            observed = Observer(spec.space).read(history)
            assert [proposal.params] == inner.suggest(observed, history.next_id, 1)
            history = proposed(history, [proposal])
        assert by == {"tpe", "bayesian"}


def test_tpe_has_every_other_trial_but_where_numbers_are_few_and_plain() -> None:
    plain = spec_of(SearchSpace(tuple(Float(f"x{i}", 0, 1) for i in range(3))))
    wide = spec_of(SearchSpace(tuple(Float(f"x{i}", 0, 1) for i in range(80))))
    for spec, share in ((plain, 1 / 4), (wide, 1 / 2), (spec_of(SPACES["mixed"]), 1 / 2)):
        observed = Observer(spec.space).read(simulated(opened(spec), Tpe(spec), 12, np.random.default_rng(0)))
        names = [Auto(spec).choice(observed, i) for i in range(40)]
        assert names.count("tpe") / 40 == share
