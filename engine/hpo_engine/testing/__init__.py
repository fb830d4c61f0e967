"""What every implementation of a port must keep: classes to inherit from in a test, ours or a plugin's."""

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in ("executors", "histories", "searchers", "stores")))

from hpo_engine.testing.executors import ExecutorLaws  # noqa: E402
from hpo_engine.testing.searchers import SearcherLaws  # noqa: E402
from hpo_engine.testing.stores import StoreLaws  # noqa: E402

__all__ = ["ExecutorLaws", "SearcherLaws", "StoreLaws"]
