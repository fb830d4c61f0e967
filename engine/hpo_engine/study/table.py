"""The trials of a study by id, as an immutable sequence that is cheap to change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from hpo_engine.study.trial import Trial


class TrialTable(Sequence[Trial]):
    """The trials of a study by id: immutable, in chunks, so that a change costs the same at 10,000 trials."""

    __slots__ = ("_chunks", "_length")
    _SIZE = 128

    def __init__(self, trials: Sequence[Trial] = ()) -> None:
        size = self._SIZE
        self._chunks = tuple(tuple(trials[i : i + size]) for i in range(0, len(trials), size))
        self._length = len(trials)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Trial]: ...
    def __getitem__(self, index: int | slice) -> Trial | Sequence[Trial]:
        if isinstance(index, slice):
            return tuple(self)[index]
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._chunks[index // self._SIZE][index % self._SIZE]

    def __iter__(self) -> Iterator[Trial]:
        for chunk in self._chunks:
            yield from chunk

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrialTable) and self._chunks == other._chunks

    __hash__ = None  # type: ignore[assignment]

    def changed(self, since: TrialTable) -> Iterator[Trial]:
        """The trials that `since` lacks or has as another object; quick if it is an earlier state."""
        for k, chunk in enumerate(self._chunks):
            old = since._chunks[k] if k < len(since._chunks) else ()
            if chunk is not old:
                for i, trial in enumerate(chunk):
                    if i >= len(old) or old[i] is not trial:
                        yield trial

    def put(self, trial: Trial) -> TrialTable:
        """A table with `trial` at its id (appended if the id is the length)."""
        if not 0 <= trial.id <= self._length:
            raise IndexError(trial.id)
        which, where = divmod(trial.id, self._SIZE)
        chunk = self._chunks[which] if which < len(self._chunks) else ()
        new = TrialTable.__new__(TrialTable)
        new._chunks = (*self._chunks[:which], (*chunk[:where], trial, *chunk[where + 1 :]), *self._chunks[which + 1 :])
        new._length = max(self._length, trial.id + 1)
        return new
