"""The plan of brackets: how many configurations begin with how much of the resource, and how many are promoted.

Numbers only: knows no trial and no history. Amounts of the resource are whole numbers, as scripts count epochs.

Notation: R the most that a trial gets, eta the factor between rungs, s a bracket's number of promotions.

Source: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization, JMLR 2018, Algorithm 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

_DUST = 1e-12  # relative: powers of a float are not exact, and 243 is 3^5


@dataclass(frozen=True)
class Rung:
    """`size` configurations that get `resource` each."""

    size: int
    resource: int


Bracket = tuple[Rung, ...]
"""From the least of the resource, where all begin, to the most."""


class HyperbandPlan:
    """All brackets for a resource of `least` to `most` (whole numbers) with factor `eta` (at least 1.01).

    Rungs that come to the same whole amount are one rung. For most=81 and eta=3, size x resource:

        s=4   81 x 1   27 x 3    9 x 9    3 x 27   1 x 81
        s=3            34 x 3   11 x 9    3 x 27   1 x 81
        s=2                     15 x 9    5 x 27   1 x 81
        s=1                               8 x 27   2 x 81
        s=0                                        5 x 81
    """

    def __init__(self, most: int, least: int = 1, eta: float = 3.0) -> None:
        if not (1 <= least <= most and eta >= 1.01):
            raise ValueError(f"no plan for a resource of {least} to {most} with eta {eta:g}")
        self.eta = float(eta)
        powers, amounts = [0], [most]
        for k in range(1, deepest(most, least, eta) + 1):
            amount = max(least, math.floor(most / self.eta**k + 0.5))
            if amount < amounts[-1]:
                powers.append(k)
                amounts.append(amount)
        self._powers, self._amounts = powers, amounts  # by s: R is divided by eta ** powers[s]

    @property
    def deepest(self) -> int:
        """The largest s."""
        return len(self._amounts) - 1

    @property
    def amounts(self) -> tuple[int, ...]:
        """The rungs' amounts of the resource, from the least to the most."""
        return tuple(reversed(self._amounts))

    def bracket(self, s: int, size: int | None = None) -> Bracket:
        """The bracket with s promotions; `size` configurations begin in it (default: the paper's number)."""
        size = self.size(s) if size is None else size
        return tuple(
            Rung(max(1, _down(size / self.eta ** (self._powers[s] - self._powers[t]))), self._amounts[t])
            for t in range(s, -1, -1)
        )

    def size(self, s: int) -> int:
        """n of Algorithm 1, line 3: brackets cost about the same."""
        return _up((self.deepest + 1) / (s + 1) * self.eta ** self._powers[s])

    def least_size(self, s: int) -> int:
        """With fewer configurations than this, the last rungs would only repeat a single one."""
        return _up(self.eta ** self._powers[s])

    def within(self, s: int, runs: int | None, configurations: int | None = None) -> Bracket | None:
        """The largest bracket s, up to the paper's, that takes at most so many `runs` and `configurations` (None: no
        limit); None if that leaves fewer than `least_size`."""
        high = self.size(s) if configurations is None else min(self.size(s), configurations)
        low = self.least_size(s)
        if high < low or (runs is not None and number_of_runs(self.bracket(s, low)) > runs):
            return None
        if runs is not None:
            high = min(high, runs)
            while low < high:  # the number of runs grows with the number of configurations
                middle = (low + high + 1) // 2
                if number_of_runs(self.bracket(s, middle)) <= runs:
                    low = middle
                else:
                    high = middle - 1
        return self.bracket(s, high)

    def next(self, s: int | None, runs: int | None, configurations: int | None = None) -> Bracket | None:
        """The bracket that follows bracket s (None: the first), of those that fit: the longest below s, after s=0 the
        longest of all. None if no runs or no configurations are left. Thus a budget is used up, and every bracket ends
        at the most."""
        if runs is not None and runs <= 0:
            return None
        longest = s - 1 if s else self.deepest
        fitting = (self.within(t, runs, configurations) for t in range(longest, -1, -1))
        return next((bracket for bracket in fitting if bracket), None)

    def following(self, s: int | None, runs: int | None, configurations: int | None = None) -> Iterator[Bracket]:
        """The brackets after bracket s (None: all), until the runs or the configurations are used up."""
        while bracket := self.next(s, runs, configurations):
            yield bracket
            s = len(bracket) - 1
            runs = None if runs is None else runs - number_of_runs(bracket)
            configurations = None if configurations is None else configurations - bracket[0].size

    def round(self, configurations: int | None = None) -> tuple[Bracket, ...]:
        """One full set of brackets, from the longest to the one without promotions; no configuration is in two."""
        out: list[Bracket] = []
        for bracket in self.following(None, None, configurations):
            out.append(bracket)
            if len(bracket) == 1:
                break
        return tuple(out)

    def planned(
        self,
        runs: int | None,
        trials: int | None = None,
        count: Callable[[Iterable[Bracket]], Counter[int]] | None = None,
    ) -> Counter[int]:
        """How many runs so many `runs` at most (None: no limit) and `trials`, which are configurations, come to, by
        amount, unless some fail. At least one of the two is a limit. `count`: what to count instead, as `starts_of`."""
        count = runs_of if count is None else count
        limits = [(runs, number_of_runs), (trials, _size_of)]
        # Whole rounds are all alike; only at the end smaller brackets are needed.
        times = min(limit // sum(map(each, self.round())) - 1 for limit, each in limits if limit is not None)
        times = max(0, times)
        rest = (limit - times * sum(map(each, self.round())) if limit is not None else None for limit, each in limits)
        return +(_times(count(self.round()), times) + count(self.following(None, *rest)))

    def planned_whole(self, runs: int | None, configurations: int) -> Counter[int]:
        """As `planned`, for a space of so many configurations, in which those that the brackets leave behind are
        promoted to the most as well."""
        begun = list(self.following(None, runs, configurations))
        counts = runs_of(begun)
        return +(counts + _left_over(begun, None if runs is None else runs - counts.total()))


def _left_over(brackets: Iterable[Bracket], runs: int | None) -> Counter[int]:
    """The runs of trials that the brackets leave behind and that are promoted up to the most, highest rung first."""
    counts: Counter[int] = Counter()
    behind = [
        (rung.resource, rung.size - above.size, [upper.resource for upper in bracket[k + 1 :]])
        for bracket in brackets
        for k, (rung, above) in enumerate(zip(bracket, bracket[1:], strict=False))
    ]
    for _, number, ahead in sorted(behind, reverse=True):
        rest = number * len(ahead) if runs is None else min(runs - counts.total(), number * len(ahead))
        counts.update({amount: (rest + len(ahead) - 1 - i) // len(ahead) for i, amount in enumerate(ahead)})
    return counts


def runs_of(brackets: Iterable[Bracket]) -> Counter[int]:
    """Amount of the resource -> how many runs get it."""
    counts: Counter[int] = Counter()
    for bracket in brackets:
        counts.update({rung.resource: rung.size for rung in bracket})
    return counts


def starts_of(brackets: Iterable[Bracket]) -> Counter[int]:
    """Amount of the resource -> how many configurations begin with it."""
    counts: Counter[int] = Counter()
    for bracket in brackets:
        counts.update({bracket[0].resource: bracket[0].size})
    return counts


def trained_once(counts: Mapping[int, int], starts: Mapping[int, int]) -> int:
    """The resource that the runs take if each promoted trial goes on from the next smaller amount.

    Args:
        counts: runs by amount. starts: those of them that begin a configuration.
    """
    before = dict(pairwise(sorted({*counts, *starts})))
    before = {amount: less for less, amount in before.items()}
    promoted = {amount: max(0, runs - starts.get(amount, 0)) for amount, runs in counts.items()}
    return sum(amount * counts[amount] - before.get(amount, 0) * promoted[amount] for amount in counts)


def cut_off(plan: HyperbandPlan, runs: int) -> Counter[int]:
    """The runs of the plan's own brackets, one after the other, the last one cut off when `runs` are used up."""
    whole = runs_of(plan.round())
    times, rest = divmod(runs, whole.total())
    counts = _times(whole, times)
    for bracket in plan.round():
        for rung in bracket:
            taken = min(rest, rung.size)
            counts.update({rung.resource: taken})
            rest -= taken
    return +counts


def in_words(counts: Mapping[int, int], name: str, about: str = "", spent: int | None = None) -> str:
    """`22 runs: 12 of 1, 7 of 3, 3 of 9 epochs; 60 epochs in all`; `about` precedes what may turn out differently.
    `spent`: the resource in all, if promoted trials go on from what they had."""
    runs = sum(counts.values())
    spent = sum(amount * number for amount, number in counts.items()) if spent is None else spent
    parts = [f"{number:,} of {amount:,}" for amount, number in sorted(counts.items()) if number > 0]
    split = f": {about}{', '.join(parts)}" if len(parts) > 1 else f" of {next(iter(+Counter(counts)), 0):,}"
    return f"{runs:,} run{'' if runs == 1 else 's'}{split} {name}; {about}{spent:,} {name} in all"


def _times(counts: Counter[int], times: int) -> Counter[int]:
    return Counter({amount: runs * times for amount, runs in counts.items()})


def number_of_runs(bracket: Bracket) -> int:
    return sum(rung.size for rung in bracket)


def _size_of(bracket: Bracket) -> int:
    """How many configurations begin in it."""
    return bracket[0].size


def spent_by(bracket: Bracket) -> int:
    """The resource that all its trials take."""
    return sum(rung.size * rung.resource for rung in bracket)


def deepest(most: int, least: int, eta: float) -> int:
    """The largest s with least * eta^s <= most, in spite of rounding."""
    s = 0
    while least * float(eta) ** (s + 1) <= most * (1 + _DUST):
        s += 1
    return s


def _up(x: float) -> int:
    return math.ceil(x * (1 - _DUST))


def _down(x: float) -> int:
    return math.floor(x * (1 + _DUST))
