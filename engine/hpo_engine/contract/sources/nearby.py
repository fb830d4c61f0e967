"""Which of the names that a script reports may be meant by one that it does not report."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+|[^\W_a-zA-Z]+")
_EVALUATION = ("val", "valid", "validation", "eval", "evaluation", "test", "dev")


def nearest_metric(metric: str, names: Sequence[str]) -> str:
    """`val_loss` for `loss`, among `train_loss` and `val_loss`; a name with a slip in it; "" if none is near.

    Names that have all words of the metric come first, then those that have no other words than it; of these what is
    measured in an evaluation, since that is what studies search for.
    """
    import difflib  # only on the way to an error

    words = _words(metric)
    more = [name for name in names if words and words <= _words(name)]
    less = [name for name in names if set() < _words(name) <= words]
    if found := more or less:
        return next((name for name in found if not _words(name).isdisjoint(_EVALUATION)), found[0])
    return next(iter(difflib.get_close_matches(metric, names, n=1, cutoff=0.6)), "")


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name[:200])}
