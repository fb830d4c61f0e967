"""The grid of a space as a sequence: every combination by index, counted exactly and never listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from hpo_engine.errors import SpecError
from hpo_engine.space.axes import Axis

MAX_GRID_STATES = 200_000


class Grid(Sequence[dict[str, Any]]):
    """All grid points of a space by index, each made when asked for; the first parameters vary slowest.

    A parameter that does not apply adds no combinations. `size` is exact (`len` fails above 2^63 - 1).

    Args:
        names: the parameters in the order of a configuration. axes: the same, parents first, each with its axis.
        children: parent -> its children, each with the keys of the parent's values that let it apply.
        levels: places on an axis that is not discrete.

    Raises:
        SpecError: the conditions are too entangled to count.
    """

    # An axis is cut into runs of values that switch the same conditions off; a state is the set (bits, by place in
    # the plan) of later parameters that are off already. Configurations are counted per state, from the end.

    def __init__(
        self,
        names: Sequence[str],
        axes: Sequence[tuple[str, Axis]],
        children: Mapping[str, Sequence[tuple[str, frozenset[Any]]]],
        levels: int,
    ) -> None:
        self.levels = levels
        self._names, self._axes, self._children = names, axes, children
        self._place = {name: i for i, (name, _) in enumerate(axes)}
        self._runs = [self._runs_of(name, axis) for name, axis in axes]
        self._counts = self._count()

    @property
    def size(self) -> int:
        return self._counts[0][0]

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.size))]
        if index < 0:
            index += self.size
        if not 0 <= index < self.size:
            raise IndexError(index)
        out: dict[str, Any] = {}
        off = 0
        for i, (name, axis) in enumerate(self._axes):
            if off >> i & 1:
                off |= self._children_bits(i)
                continue
            for start, stop, switched in self._runs[i]:
                inside = self._counts[i + 1][_later(off | switched, i)]
                if index < (stop - start) * inside:
                    k, index = divmod(index, inside)
                    out[name] = axis.at(start + k, self.levels)
                    off |= switched
                    break
                index -= (stop - start) * inside
        return {name: out[name] for name in self._names if name in out}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(self.size))

    def _runs_of(self, name: str, axis: Axis) -> list[tuple[int, int, int]]:
        """(start, stop, what is switched off) along the axis's grid."""
        length = axis.grid_size(self.levels)
        cares = [
            (self._place[child], axis.grid_places(accepted, self.levels))
            for child, accepted in self._children.get(name, ())
        ]
        edges = {0, length}
        for _, accepted_at in cares:
            for k in accepted_at:
                edges |= {k, k + 1}
        cuts = sorted(edges)
        return [
            (a, b, sum({1 << child for child, accepted_at in cares if a not in accepted_at}))
            for a, b in zip(cuts, cuts[1:], strict=False)
        ]

    def _children_bits(self, i: int) -> int:
        children = self._children.get(self._axes[i][0], ())
        return sum({1 << self._place[child] for child, _ in children})

    def _count(self) -> list[dict[int, int]]:
        reached: list[set[int]] = [{0}]
        for i, runs in enumerate(self._runs):
            after = set()
            for off in reached[-1]:
                if off >> i & 1:
                    after.add(_later(off | self._children_bits(i), i))
                else:
                    after |= {_later(off | switched, i) for _, _, switched in runs}
            reached.append(after)
            if len(after) > MAX_GRID_STATES:
                raise SpecError("the space's conditions are too entangled for a grid; use another algorithm")
        counts: list[dict[int, int]] = [{} for _ in reached[:-1]] + [{0: 1}]
        for i in range(len(self._runs) - 1, -1, -1):
            for off in reached[i]:
                if off >> i & 1:
                    counts[i][off] = counts[i + 1][_later(off | self._children_bits(i), i)]
                else:
                    counts[i][off] = sum(
                        (b - a) * counts[i + 1][_later(off | switched, i)] for a, b, switched in self._runs[i]
                    )
        return counts


def _later(off: int, i: int) -> int:
    """The bits of parameters after place i."""
    return off >> (i + 1) << (i + 1)
