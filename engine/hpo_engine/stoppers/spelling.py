"""Whether two names of metrics are one in two spellings. If in doubt they are two: a study must not stop for that."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

# Abbreviations. No two words that both have a meaning of their own: an evaluation is not the validation, a median or an
# EMA may be an average that is not the mean.
_SAME = {
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
    **dict.fromkeys(("acc", "accuracy"), "acc"),
    **dict.fromkeys(("err", "error"), "err"),
    **dict.fromkeys(("avg", "average"), "avg"),
    **dict.fromkeys(("ppl", "perplexity"), "ppl"),
}
# Words in which a slip is recognised; in others only if they are long: `county` and `country` are two metrics.
_COMMON = (
    *_SAME,
    *("loss", "score", "reward", "return", "precision", "recall", "entropy", "similarity", "distance", "latency"),
    *("throughput", "objective", "metric", "likelihood", "balanced", "weighted", "squared", "absolute", "success"),
)
_LONG = 8
_SEPARATORS = re.compile(r"[_./:\s]+|(?<=[^\W_])-(?=[^\W_])")  # any other - is a minus


def other_spelling(metric: str, names: Collection[str]) -> str | None:
    """The one of the names that can only be the same metric in other letters: `valid_loss` and `val_loss`, `valLoss`
    and `val/loss`, `accuracy` and `acuracy`. Not `val_loss` and `train_loss`, `height` and `weight`, `e` and `E`,
    `u_x` and `u_xx`, `score` and `scores`."""
    if metric in names:
        return None
    words = words_of(metric)
    same = (name for name in names if _same(metric, words, name))
    near = (name for name in names if _one_slip(words, words_of(name)))
    return next(same, None) or next(near, None)


def _same(metric: str, words: Sequence[str], name: str) -> bool:
    if min(sum(map(str.isalpha, metric)), sum(map(str.isalpha, name))) <= 2:  # symbols: x_ is not x
        return metric.strip() == name.strip()
    others = words_of(name)
    if words == others:
        return True
    return min(map(len, [*words, *others])) >= 3 and "".join(words) == "".join(others)  # not u_xx and ux_x


def words_of(name: str) -> list[str]:
    """The words of a name, with abbreviations and slips resolved. In words of one or two letters case counts."""
    spaced = re.sub(r"(?<=[A-Za-z]{3})(?=\d)|(?<=[a-z]{3})(?=[A-Z])", " ", name[:200].strip())
    return [_resolved(word if len(word) <= 2 else word.lower()) for word in _SEPARATORS.split(spaced) if word]


def _resolved(word: str) -> str:
    if word not in _COMMON:
        word = next((common for common in _COMMON if _doubled(word, common) or _slip(word, common)), word)
    return _SAME.get(word, word)


def _doubled(a: str, b: str) -> bool:
    """Whether only doubled letters tell the words apart: `acurracy` and `accuracy`. No plural: `losss` is one s off."""
    if min(len(a), len(b)) < 3 or not a.isalpha():
        return False
    return re.sub(r"(.)\1+", r"\1", a) == re.sub(r"(.)\1+", r"\1", b)


def _one_slip(words: Sequence[str], others: Sequence[str]) -> bool:
    """Whether the names differ in one long word, by a slip."""
    if len(words) != len(others):
        return False
    different = [(a, b) for a, b in zip(words, others, strict=True) if a != b]
    return len(different) == 1 and min(map(len, different[0])) >= _LONG and _slip(*different[0])


def _slip(a: str, b: str) -> bool:
    """Whether inside of a word one letter is missing or surplus, or two neighbours are exchanged. A letter that has
    been replaced makes another word (`content`, `context`), and so does one at the front or the end (`train`, `strain`;
    `score`, `scores`)."""
    if len(a) > len(b):
        a, b = b, a
    if not (a.isalpha() and b.isalpha()) or a[:1] != b[:1] or a[-1:] != b[-1:]:
        return False
    i = next((i for i, c in enumerate(a) if c != b[i]), len(a))
    if len(a) == len(b):
        return i < len(a) and a[i : i + 2] == b[i : i + 2][::-1] and a[i + 2 :] == b[i + 2 :]
    return len(a) >= 5 and len(b) == len(a) + 1 and i < len(a) and a[i:] == b[i + 1 :]
