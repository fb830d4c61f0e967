"""Byte-pair encoding of words (Sennrich et al. 2016, "Neural machine translation of rare words with subword units").

A vocabulary begins with single characters; the pair of neighbours that occurs most often is merged into one symbol,
again and again, until the vocabulary is large enough. Standard library only; the same texts always give the same
tokenizer.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

PAD, UNKNOWN = 0, 1  # what fills short texts up, and a character that training never saw
END = "_"  # closes each word; words hold none
_WORD = re.compile(r"[^\W\d_]+|\d|[^\w\s]")  # letters, one digit, one sign; an underscore only separates


class Tokenizer:
    """Turns text into numbers PAD < UNKNOWN < ... < len(self).

    Args:
        characters: the single ones, in order.
        merges: pairs of symbols, in the order in which they are merged.
    """

    def __init__(self, characters: Sequence[str], merges: Sequence[tuple[str, str]]) -> None:
        self._characters = list(characters)
        self._merges = list(merges)
        self._ranks = {pair: rank for rank, pair in enumerate(self._merges)}
        symbols = [*self._characters, *(left + right for left, right in self._merges)]
        self._numbers: dict[str, int] = {}
        for symbol in symbols:  # two pairs may give the same symbol
            self._numbers.setdefault(symbol, len(self._numbers) + 2)
        self._known: dict[str, list[int]] = {}

    def __len__(self) -> int:
        """How many numbers there are, with PAD and UNKNOWN."""
        return len(self._numbers) + 2

    def encode(self, text: str) -> list[int]:
        return [number for word in words(text) for number in self._encode_word(word)]

    def decode(self, numbers: Iterable[int]) -> str:
        """The words, with blanks between them; "?" for UNKNOWN."""
        texts = {number: symbol for symbol, number in self._numbers.items()} | {PAD: "", UNKNOWN: "?"}
        return "".join(texts[number] for number in numbers).replace(END, " ").strip()

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"characters": self._characters, "merges": self._merges}), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Raises ValueError for a file that is not such a one."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(found["characters"], [(left, right) for left, right in found["merges"]])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a tokenizer ({error})") from None

    def _encode_word(self, word: str) -> list[int]:
        if word not in self._known:
            symbols = [*word, END]
            while len(symbols) > 1:
                best = min(
                    zip(symbols, symbols[1:], strict=False), key=lambda pair: self._ranks.get(pair, len(self._ranks))
                )
                if best not in self._ranks:
                    break
                symbols = _merge(symbols, best)
            self._known[word] = [self._numbers.get(symbol, UNKNOWN) for symbol in symbols]
        return self._known[word]


def train_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """A tokenizer with `size` numbers, fewer only if there is nothing left to merge.

    Raises:
        ValueError: there are more single characters than that.
    """
    counts = Counter(word for text in texts for word in words(text))
    characters = sorted({character for word in counts for character in word} | {END})
    if len(characters) + 2 > size:
        raise ValueError(f"a vocabulary of {size} is too small: the texts have {len(characters)} different characters")
    spelt = {word: [*word, END] for word in counts}
    pairs: Counter[tuple[str, str]] = Counter()
    where: defaultdict[tuple[str, str], set[str]] = defaultdict(set)  # the words that a pair may occur in
    for word, symbols in spelt.items():
        _count(pairs, where, word, symbols, counts[word])
    merges: list[tuple[str, str]] = []
    numbers = len(characters) + 2
    known = set(characters)
    while numbers < size and pairs:
        most = max(pairs.values())
        best = max(pair for pair, times in pairs.items() if times == most)  # of several, the last in the alphabet
        for word in where.pop(best):
            _count(pairs, where, word, spelt[word], -counts[word])
            spelt[word] = _merge(spelt[word], best)
            _count(pairs, where, word, spelt[word], counts[word])
        merges.append(best)
        if best[0] + best[1] not in known:
            known.add(best[0] + best[1])
            numbers += 1
    return Tokenizer(characters, merges)


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _count(
    pairs: Counter[tuple[str, str]],
    where: defaultdict[tuple[str, str], set[str]],
    word: str,
    symbols: list[str],
    times: int,
) -> None:
    for pair in zip(symbols, symbols[1:], strict=False):
        pairs[pair] += times
        if times > 0:
            where[pair].add(word)
        elif pairs[pair] <= 0:
            del pairs[pair]


def _merge(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] = merged[-1] + symbol
        else:
            merged.append(symbol)
    return merged
