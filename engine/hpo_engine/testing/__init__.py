"""What every implementation of a port must keep: classes to inherit from in a test, ours or a plugin's.

A searcher in `mine.py`, held to the laws on many spaces and histories by `pytest test_mine.py`:

    from mine import MySearcher
    from hpo_engine.testing import SearcherLaws

    class TestMine(SearcherLaws):
        def make(self, spec):
            return MySearcher(spec)

The other suites work alike; what a subclass must give is in each class's docstring. `histories` makes studies and
histories for tests of your own. Needs pytest, which nothing else in the package imports.
"""

import pytest

_ROOMS = ("executors", "histories", "searchers", "sources", "stoppers", "stores", "trackers")
pytest.register_assert_rewrite(*(f"{__name__}.{room}" for room in _ROOMS))

from hpo_engine.testing.executors import ExecutorLaws  # noqa: E402
from hpo_engine.testing.searchers import SearcherLaws  # noqa: E402
from hpo_engine.testing.sources import FoundSourceLaws, SourceLaws  # noqa: E402
from hpo_engine.testing.stoppers import StopperLaws  # noqa: E402
from hpo_engine.testing.stores import StoreLaws  # noqa: E402
from hpo_engine.testing.trackers import TrackerLaws  # noqa: E402

__all__ = ["ExecutorLaws", "FoundSourceLaws", "SearcherLaws", "SourceLaws", "StopperLaws", "StoreLaws", "TrackerLaws"]
