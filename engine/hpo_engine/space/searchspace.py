"""The search space: parameters, and the only place that scales, rounds, or decides which of them apply.

Searchers see points of the unit cube; training scripts see plain JSON values; `encode` and `decode` convert between
them. Each discrete value has an equal share (cell) of [0, 1]. Knows nothing of studies, trials or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import Problem, SpecError, nearest
from hpo_engine.space.axes import Axis, Cells, axis_of
from hpo_engine.space.checks import read_rules, space_problems
from hpo_engine.space.conditions import Condition, applies, conditions_of, parents_first, when_text
from hpo_engine.space.constraints import Rule
from hpo_engine.space.grid import Grid
from hpo_engine.space.params import Choice, Constant, Float, Int, Param, json_text, key, param_from, param_json
from hpo_engine.text.quoting import shown

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Choice", "Constant", "Float", "Grid", "Int", "Param", "SearchSpace"]

MAX_DRAWS = 100_000
MAX_WALK = 50_000  # configurations: a larger space is not enumerated
_SOME = 3  # rules that a message repeats
_SHORT = 200  # words and signs: rules up to this length are checked on the full number of configurations


Step = tuple[str, Axis, int, tuple[Condition, ...]]
"""One parameter of a plan: name, axis, place in the vector (-1: a constant), conditions."""


@dataclass(frozen=True)
class SearchSpace:
    """A set of parameters. Points are vectors (d,) in [0, 1], one number for each of `dimensions`.

    `require`: rules between parameters, as `constraints` reads them. A configuration that violates one is not a
    member of the space; `decode`, `tidy`, `grid` and `size` ignore them.

    Laws: decode(encode(p)) == p for every value that decode returns (continuous ones to within rounding); every value
    is decode of some point; what decode returns is inside the space except for the rules, and has only the parameters
    that apply.

    Raises:
        SpecError: with every problem found, paths "space.<name>.<field>" and "require[<number>]".
    """

    params: tuple[Param, ...] = ()
    require: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    _by_name: dict[str, Param] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", tuple(self.params))
        texts = (self.require,) if isinstance(self.require, str) else tuple(self.require)
        object.__setattr__(self, "require", texts)
        problems = space_problems(self.params)
        if problems:
            raise SpecError(problems)
        object.__setattr__(self, "rules", read_rules(self.require, self.params))
        object.__setattr__(self, "_by_name", {p.name: p for p in self.params})

    def __reduce__(self) -> tuple[type[SearchSpace], tuple[tuple[Param, ...], tuple[str, ...]]]:
        """What it has worked out is worked out again: some of it are functions, which no pickle can hold."""
        return type(self), (self.params, self.require)

    def __getitem__(self, name: str) -> Param:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __len__(self) -> int:
        return len(self.params)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.params)

    @cached_property
    def dimensions(self) -> tuple[Float | Int | Choice, ...]:
        """The parameters that are searched, in order: all but the constants."""
        return tuple(p for p in self.params if not isinstance(p, Constant))

    @cached_property
    def cells(self) -> tuple[int | None, ...]:
        """The number of values of each dimension; None if it is continuous."""
        return tuple(self._axes[p.name].size for p in self.dimensions)

    @cached_property
    def size(self) -> int | None:
        """The number of different configurations, ignoring the rules; None if a dimension is continuous, or if the
        conditions are too entangled to count."""
        try:
            return None if None in self.cells else self.grid(1).size
        except SpecError:
            return None

    @cached_property
    def allowed_size(self) -> int | None:
        """The number of configurations that the rules allow; None if unlimited, or too large to check one by one."""
        n = self.size
        if n is None or not self.rules:
            return n
        return sum(map(self.allows, self.grid(1))) if n <= self.tries(MAX_WALK) else None

    def unlike(
        self, known: Callable[[dict[str, Any]], bool], start: float, most: int = MAX_WALK
    ) -> dict[str, Any] | None:
        """The first allowed configuration that is not known, walking through the grid from `start` in [0, 1); None if
        there is none, or if the grid has more than `most` points."""
        n = self.size
        if n is None or n > self.tries(most):
            return None
        grid, first = self.grid(1), int(start * n)
        walked = (grid[(first + i) % n] for i in range(n))
        return next((params for params in walked if self.allows(params) and not known(params)), None)

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """Independent and uniform in the unit cube, rejecting what the rules forbid: each try takes len(dimensions)
        numbers from `rng`. Raises SpecError after 100,000 tries (fewer if the rules are long)."""
        return self.draw(lambda: rng.random(len(self.dimensions)).tolist())

    def draw(self, point: Callable[[], Sequence[float]]) -> dict[str, Any]:
        """The parameters at the first of the points that the rules allow. Raises SpecError as `sample`."""
        draws = self.tries(MAX_DRAWS)
        for _ in range(draws):
            params = self.decode(point())
            if not self.rules or self.allows(params):
                return params
        raise SpecError([Problem("require", f"no configuration in {draws:,} draws satisfies {self.rules_text}")])

    def allows(self, params: Mapping[str, Any]) -> bool:
        """Whether a configuration satisfies all rules."""
        return all(rule.holds(params) for rule in self.rules)

    def allowed(self, points: np.ndarray) -> np.ndarray:  # (n, d) -> (n,) bool
        """Which points, as `tidy` takes them, decode to what the rules allow."""
        import numpy as np

        live = self.tidy(points) if self.rules else np.asarray(points)
        out = np.ones(len(live), dtype=bool)
        for rule in self.rules:
            named = [(p.name, self._axes[p.name], self._places.get(p.name, -1)) for p in self.params]
            named = [step for step in named if step[0] in rule.names]
            columns = [i for _, _, i in named if i >= 0]
            # Conditions on constants leave no NaN in the point; decode evaluates them.
            whole = any(i < 0 and self[name].when for name, _, i in named)
            rows = np.flatnonzero(out & ~np.isnan(live[:, columns]).any(axis=1))
            for row, point in zip(rows.tolist(), live[rows].tolist(), strict=True):
                values = {name: axis.decode(point[i] if i >= 0 else 0.0) for name, axis, i in named}
                out[row] = rule.holds(self.decode(point) if whole else values)
        return out

    def tries(self, most: int) -> int:
        """How many configurations to check against the rules: `most`, or fewer if the rules are long, so that it takes
        no longer than for short ones."""
        return most if self._words <= _SHORT else most * _SHORT // self._words

    @cached_property
    def _words(self) -> int:
        return sum(rule.length for rule in self.rules)

    @property
    def rules_text(self) -> str:
        """The rules for a message, abbreviated if there are many."""
        some = [shown(text) for text in self.require[:_SOME]]
        return " and ".join(some) + (f" and {more} more" if (more := len(self.require) - _SOME) > 0 else "")

    def decode(self, vector: np.ndarray | Sequence[float]) -> dict[str, Any]:
        """The parameters at a point; entries are clipped to [0, 1], those of parameters that do not apply are not read.

        Raises:
            ValueError: the vector has another length, or NaN for a parameter that applies.
        """
        point: Sequence[float] = vector.tolist() if hasattr(vector, "tolist") else vector
        if len(point) != len(self.dimensions):
            raise ValueError(f"a point of this space has {len(self.dimensions)} entries, not {len(point)}")
        out: dict[str, Any] = {}
        for name, axis, where, conditions in self.plan:
            if not conditions or applies(conditions, out):
                out[name] = axis.decode(point[where] if where >= 0 else 0.0)
        return out if self._in_order else {name: out[name] for name in self.names if name in out}

    def tidied(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Valid values in their canonical form: 5.0 becomes 5 for a whole number, 0.1 + 0.2 becomes 0.3."""
        return {name: self._axes[name].tidy(value) for name, value in params.items()}

    def walk(self, pick: Callable[[Float | Int | Choice], Any]) -> dict[str, Any]:
        """The parameters with the values that `pick` returns, parents first; it is called for those that apply only.

        Values are moved to the nearest valid one. Raises ValueError for an unknown choice.
        """
        out: dict[str, Any] = {}
        for name, axis, where, conditions in self.plan:
            if not conditions or applies(conditions, out):
                out[name] = axis.tidy(pick(self.dimensions[where])) if where >= 0 else axis.decode(0.0)
        return {name: out[name] for name in self.names if name in out}

    def encode(self, params: Mapping[str, Any]) -> np.ndarray:
        """The point (d,) of a parameter set: centres of cells, NaN where a parameter does not apply or is missing.

        Numbers outside their bounds become the bound. Raises ValueError for an unknown choice.
        """
        import numpy as np

        return np.array(self.vector(params), dtype=float)

    def vector(self, params: Mapping[str, Any]) -> list[float]:
        """As `encode`, without numpy."""
        point = [math.nan] * len(self.dimensions)
        seen: dict[str, Any] = {}
        for name, axis, where, conditions in self.plan:
            if name in params and (not conditions or applies(conditions, seen)):
                if name in self._children:
                    seen[name] = axis.tidy(params[name])
                if where >= 0:
                    point[where] = axis.encode(params[name])
        return point

    def tidy(self, points: np.ndarray) -> np.ndarray:  # (n, d) -> (n, d)
        """encode(decode(p)) of many points at once, to within rounding: each entry at the middle of its value's cell,
        NaN where the parameter does not apply. Entries are clipped to [0, 1]; NaN for one that applies counts as 0.5.
        """
        import numpy as np

        out: np.ndarray = np.clip(np.nan_to_num(np.asarray(points, dtype=float), nan=0.5), 0.0, 1.0)
        where_live: dict[str, np.ndarray] = {}
        for name, axis, where, conditions in self.plan:
            live = np.ones(len(out), dtype=bool)
            for parent, accepted in conditions:
                live &= where_live[parent]
                live[live] = self._accepts(parent, accepted, out, live)
            where_live[name] = live
            if where >= 0:
                out[:, where] = np.where(live, axis.snap(out[:, where]), math.nan)
        return out

    def _accepts(self, parent: str, accepted: frozenset[Any], points: np.ndarray, live: np.ndarray) -> np.ndarray:
        """For the points that are `live`: whether the parent's value there is an accepted one."""
        import numpy as np

        axis, where = self._axes[parent], self._places.get(parent, -1)
        if where < 0:
            return np.full(int(live.sum()), key(axis.decode(0.0)) in accepted)
        column = points[live, where]
        if isinstance(axis, Cells) and not axis.fine:
            return np.isin(axis.cell(column), sorted(axis.grid_places(accepted, 1)))
        return np.array([key(axis.decode(u)) in accepted for u in column.tolist()], dtype=bool)

    def problem_with(self, params: Mapping[str, Any]) -> str | None:
        """Why `params` is not a member of this space, in one line; None if it is one.

        A member has all the parameters that apply and no others, and satisfies the rules. Rounding errors are
        forgiven, and 5.0 is a whole number: see `tidied`.
        """
        wrong = self.misfit(params)
        broken = None if wrong else next((rule for rule in self.rules if not rule.holds(params)), None)
        return wrong if broken is None else f"require: {shown(broken.text)} does not hold"

    def misfit(self, params: Mapping[str, Any]) -> str | None:
        """As `problem_with`, ignoring the rules."""
        if not isinstance(params, Mapping):
            return f"parameters must map names to values, not {json_text(params)}"
        for name in params:
            if name not in self._by_name:
                return f"{shown(name)} is not a parameter of the space{nearest(str(name), self.names)}"
        seen: dict[str, Any] = {}
        for name, axis, _, conditions in self.plan:
            if conditions and not applies(conditions, seen):
                if name in params:
                    return f"{shown(name)} is given, but applies only {when_text(self[name].when)}"
            elif name not in params:
                return f"{shown(name)} is missing"
            else:
                wrong = axis.problem(params[name])
                if wrong:
                    return f"{shown(name)}: {wrong}"
                if name in self._children:
                    seen[name] = axis.tidy(params[name])
        return None

    def grid(self, levels: int = 5) -> Grid:
        """Every combination of all choices, all whole numbers, all steps, and `levels` points of a continuous axis."""
        if levels < 1:
            raise ValueError(f"levels must be at least 1, not {levels}")
        return Grid(self.names, [(name, axis) for name, axis, _, _ in self.plan], self._children, levels)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back exactly; fields at their default are left out."""
        out: dict[str, Any] = {"params": [param_json(p) for p in self.params]}
        return {**out, "require": list(self.require)} if self.require else out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchSpace:
        return cls(tuple(param_from(entry) for entry in data["params"]), tuple(data.get("require", ())))

    def axis(self, name: str) -> Axis:
        """The mapping of one parameter's values to [0, 1] and back."""
        return self._axes[name]

    @cached_property
    def _axes(self) -> dict[str, Axis]:
        return {p.name: axis_of(p) for p in self.params}

    @cached_property
    def plan(self) -> tuple[Step, ...]:
        """The parameters, parents first."""
        return tuple(
            (p.name, self._axes[p.name], self._places.get(p.name, -1), self.conditions[p.name])
            for p in parents_first(self.params)
        )

    @cached_property
    def _places(self) -> dict[str, int]:
        """Each dimension's place in the vector."""
        return {p.name: i for i, p in enumerate(self.dimensions)}

    @cached_property
    def conditions(self) -> dict[str, tuple[Condition, ...]]:
        return {p.name: conditions_of(p, self._axes) for p in self.params}

    @cached_property
    def _children(self) -> dict[str, list[tuple[str, frozenset[Any]]]]:
        """Parent -> its children, with the keys that let them apply."""
        out: dict[str, list[tuple[str, frozenset[Any]]]] = {}
        for child, conditions in self.conditions.items():
            for parent, accepted in conditions:
                out.setdefault(parent, []).append((child, accepted))
        return out

    @cached_property
    def _in_order(self) -> bool:
        return tuple(step[0] for step in self.plan) == self.names
