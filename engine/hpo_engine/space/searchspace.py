"""The search space: parameters, and the only place that scales, rounds, or decides which of them apply.

Searchers see points of the unit cube; training scripts see plain JSON values; `encode` and `decode` lead from one to
the other. Discrete values own equal shares (cells) of [0, 1]. Knows nothing of studies, trials or files.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from hpo_engine.errors import Problem, SpecError, nearest
from hpo_engine.space.axes import Axis, Cells, Steps, axis_of
from hpo_engine.space.constraints import Rule, read_rule
from hpo_engine.space.params import (
    Choice,
    Constant,
    Float,
    Int,
    Param,
    When,
    field_problems,
    json_text,
    key,
    name_problem,
    param_from,
    param_json,
    shown,
)

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Choice", "Constant", "Float", "Grid", "Int", "Param", "SearchSpace"]

MAX_PARAMS = 10_000
MAX_GRID_STATES = 200_000
MAX_RULES = 100
MAX_RULE_WORDS = 2000  # of all rules together
MAX_DRAWS = 100_000
MAX_WALK = 50_000  # configurations: a larger space is not walked through
_SOME = 3  # rules that a message repeats
_SHORT = 200  # words and signs: rules that long may be held against as many configurations as shorter ones


@dataclass(frozen=True)
class SearchSpace:
    """A set of parameters. Points are vectors (d,) in [0, 1], one number for each of `dimensions`.

    `require`: rules between parameters, as `constraints` reads them. A configuration that breaks one is no member of
    the space; `decode`, `tidy`, `grid` and `size` know nothing of them.

    Laws: decode(encode(p)) == p for the values that decode gives (continuous ones to within rounding); every value is
    decode of some point; what decode gives is inside the space but for the rules, and holds only the parameters that
    apply.

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
        problems = _problems(self.params)
        if problems:
            raise SpecError(problems)
        object.__setattr__(self, "rules", _rules(self.require, self.params))
        object.__setattr__(self, "_by_name", {p.name: p for p in self.params})

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
        """For each dimension the number of its values; None where it is continuous."""
        return tuple(self._axes[p.name].size for p in self.dimensions)

    @cached_property
    def size(self) -> int | None:
        """How many different configurations there are, rules aside; None where a dimension is continuous, or nobody can
        count."""
        try:
            return None if None in self.cells else self.grid(1).size
        except SpecError:
            return None

    @cached_property
    def allowed_size(self) -> int | None:
        """How many configurations the rules allow; None where there is no end of them, or too many to hold against the
        rules one by one."""
        n = self.size
        if n is None or not self.rules:
            return n
        return sum(map(self.allows, self.grid(1))) if n <= self.tries(MAX_WALK) else None

    def unlike(
        self, known: Callable[[dict[str, Any]], bool], start: float, most: int = MAX_WALK
    ) -> dict[str, Any] | None:
        """The first configuration that the rules allow and that is not known, from a place in [0, 1) on; None if there
        is none, or if there are more than `most` to walk through."""
        n = self.size
        if n is None or n > self.tries(most):
            return None
        grid, first = self.grid(1), int(start * n)
        walked = (grid[(first + i) % n] for i in range(n))
        return next((params for params in walked if self.allows(params) and not known(params)), None)

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """Independent and uniform in the unit cube, among what the rules allow: takes len(dimensions) numbers from
        `rng`, again and again until they do. Raises SpecError after 100,000 times (fewer where rules are long)."""
        return self.draw(lambda: rng.random(len(self.dimensions)).tolist())

    def draw(self, point: Callable[[], Sequence[float]]) -> dict[str, Any]:
        """The parameters at the first of the points that the rules allow. Raises SpecError as `sample`."""
        draws = self.tries(MAX_DRAWS)
        for _ in range(draws):
            params = self.decode(point())
            if not self.rules or self.allows(params):
                return params
        raise SpecError([Problem("require", f"no configuration in {draws:,} draws fulfils {self.rules_text}")])

    def allows(self, params: Mapping[str, Any]) -> bool:
        """Whether a configuration fulfils the rules, all of them."""
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
            # Conditions on constants cannot be told from NaN; decode tells.
            whole = any(i < 0 and self[name].when for name, _, i in named)
            rows = np.flatnonzero(out & ~np.isnan(live[:, columns]).any(axis=1))
            for row, point in zip(rows.tolist(), live[rows].tolist(), strict=True):
                values = {name: axis.decode(point[i] if i >= 0 else 0.0) for name, axis, i in named}
                out[row] = rule.holds(self.decode(point) if whole else values)
        return out

    def tries(self, most: int) -> int:
        """How many configurations to hold against the rules: `most`, or fewer where they are so long that it would take
        longer than that for short ones."""
        return most if self._words <= _SHORT else most * _SHORT // self._words

    @cached_property
    def _words(self) -> int:
        return sum(rule.length for rule in self.rules)

    @property
    def rules_text(self) -> str:
        """The rules in words, some of them where there are many."""
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
        """Values without `problem`, as the parameters have them: 5.0 is 5 for a whole number, 0.1 + 0.2 is 0.3."""
        return {name: self._axes[name].tidy(value) for name, value in params.items()}

    def walk(self, pick: Callable[[Float | Int | Choice], Any]) -> dict[str, Any]:
        """The parameters with the values that `pick` gives, parents first; it is asked for those that apply, only.

        Values are taken to the nearest member. Raises ValueError for a choice that is not there.
        """
        out: dict[str, Any] = {}
        for name, axis, where, conditions in self.plan:
            if not conditions or applies(conditions, out):
                out[name] = axis.tidy(pick(self.dimensions[where])) if where >= 0 else axis.decode(0.0)
        return {name: out[name] for name in self.names if name in out}

    def encode(self, params: Mapping[str, Any]) -> np.ndarray:
        """The point (d,) of a parameter set: centres of cells, NaN where a parameter does not apply or is missing.

        Numbers outside their bounds come out at the bound. Raises ValueError for a choice that is not there.
        """
        import numpy as np

        return np.array(self.vector(params), dtype=float)

    def vector(self, params: Mapping[str, Any]) -> list[float]:
        """As `encode`, without numpy."""
        point = [math.nan] * len(self.dimensions)
        seen: dict[str, Any] = {}
        for name, axis, where, conditions in self.plan:
            if name in params and (not conditions or applies(conditions, seen)):
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
        """Why `params` is no member of this space, in one line; None where it is one.

        A member has all the parameters that apply and no others, and fulfils the rules; rounding dust is forgiven, and
        5.0 is a whole number: see `tidied`.
        """
        wrong = self.misfit(params)
        broken = None if wrong else next((rule for rule in self.rules if not rule.holds(params)), None)
        return wrong if broken is None else f"require: {shown(broken.text)} does not hold"

    def misfit(self, params: Mapping[str, Any]) -> str | None:
        """As `problem_with`, rules aside."""
        if not isinstance(params, Mapping):
            return f"parameters must map names to values, not {json_text(params)}"
        for name in params:
            if name not in self._by_name:
                return f"{shown(name)} is no parameter of the space{nearest(str(name), self.names)}"
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
                seen[name] = axis.tidy(params[name])
        return None

    def grid(self, levels: int = 5) -> Grid:
        """Every combination of all choices, all whole numbers, all steps, and `levels` points of a continuous axis."""
        if levels < 1:
            raise ValueError(f"levels must be at least 1, not {levels}")
        return Grid(self, levels)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back exactly; fields at their default are left out."""
        out: dict[str, Any] = {"params": [param_json(p) for p in self.params]}
        return {**out, "require": list(self.require)} if self.require else out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchSpace:
        return cls(tuple(param_from(entry) for entry in data["params"]), tuple(data.get("require", ())))

    def axis(self, name: str) -> Axis:
        """The way of one parameter's values to [0, 1] and back."""
        return self._axes[name]

    @cached_property
    def _axes(self) -> dict[str, Axis]:
        return {p.name: axis_of(p) for p in self.params}

    @cached_property
    def plan(self) -> tuple[Step, ...]:
        """The parameters, parents first: name, axis, place in the vector (-1: a constant), conditions."""
        return tuple(
            (p.name, self._axes[p.name], self._places.get(p.name, -1), self.conditions[p.name])
            for p in _parents_first(self.params)
        )

    @cached_property
    def _places(self) -> dict[str, int]:
        """Each dimension's place in the vector."""
        return {p.name: i for i, p in enumerate(self.dimensions)}

    @cached_property
    def conditions(self) -> dict[str, tuple[Condition, ...]]:
        return {p.name: _conditions(p, self._axes) for p in self.params}

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


class Grid(Sequence[dict[str, Any]]):
    """All grid points of a space by index, each made when asked for; the first parameters vary slowest.

    A parameter that does not apply adds no combinations. `size` is exact (`len` fails above 2^63 - 1).

    Raises:
        SpecError: conditions so entangled that they cannot be counted.
    """

    # An axis is cut into runs of values that switch the same conditions off; a state is the set (bits, by place in
    # the plan) of later parameters that are off already. Configurations are counted per state, from the end.

    def __init__(self, space: SearchSpace, levels: int) -> None:
        self.levels = levels
        self._space = space
        self._place = {step[0]: i for i, step in enumerate(space.plan)}
        self._runs = [self._runs_of(step[0], step[1]) for step in space.plan]
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
        for i, (name, axis, _, _) in enumerate(self._space.plan):
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
        return {name: out[name] for name in self._space.names if name in out}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(self.size))

    def _runs_of(self, name: str, axis: Axis) -> list[tuple[int, int, int]]:
        """(start, stop, what is switched off) along the axis's grid."""
        length = axis.grid_size(self.levels)
        cares = [
            (self._place[child], axis.grid_places(accepted, self.levels))
            for child, accepted in self._space._children.get(name, ())
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
        children = self._space._children.get(self._space.plan[i][0], ())
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


# -- conditions ---------------------------------------------------------------------------------------------------

Condition = tuple[str, frozenset[Any]]  # parent, keys of the values that let the child apply


def applies(conditions: tuple[Condition, ...], seen: Mapping[str, Any]) -> bool:
    """Whether every parent applies itself and has an accepted value."""
    return all(parent in seen and key(seen[parent]) in accepted for parent, accepted in conditions)


def _conditions(param: Param, axes: Mapping[str, Axis]) -> tuple[Condition, ...]:
    return tuple(
        (parent, frozenset(key(axes[parent].tidy(v)) for v in _accepted(values, axes[parent])))
        for parent, values in (param.when or {}).items()
    )


def _accepted(values: Any, axis: Axis) -> list[Any]:
    """The values that a condition lists; a list that is itself one value of the parent (a choice) means that value."""
    return values if isinstance(values, list) and axis.problem(values) is not None else [values]


def _parents_first(params: Sequence[Param]) -> list[Param]:
    """In the order given, but each parameter right after the last of its parents; those in a circle are left out."""
    by_name = {p.name: p for p in params}
    missing = {p.name: len(p.when or {}) for p in params}
    children: dict[str, list[str]] = {}
    for p in params:
        for parent in p.when or {}:
            children.setdefault(parent, []).append(p.name)
    order: list[Param] = []
    for p in params:
        ready = [p.name] if not p.when else []
        while ready:
            name = ready.pop()
            order.append(by_name[name])
            for child in reversed(children.get(name, [])):
                missing[child] -= 1
                if not missing[child]:
                    ready.append(child)
    return order


def when_text(when: When | None) -> str:
    return "where " + " and ".join(f"{shown(k)} is {json_text(v)}" for k, v in (when or {}).items())


Step = tuple[str, Axis, int, tuple[Condition, ...]]


# -- what a space refuses --------------------------------------------------------------------------------------------


def _problems(params: Sequence[Param]) -> list[Problem]:
    if len(params) > MAX_PARAMS:
        return [Problem("space", f"{len(params)} parameters; at most {MAX_PARAMS} are allowed")]
    found: list[Problem] = []
    seen: dict[str, str] = {}
    sound: dict[str, Axis] = {}
    paths = [
        f"space.{shown(p.name)}" if isinstance(p.name, str) and p.name else f"space[{i}]" for i, p in enumerate(params)
    ]
    for path, param in zip(paths, params, strict=True):
        wrong = name_problem(param.name)
        if wrong is None:
            normal = unicodedata.normalize("NFC", param.name)
            twin = seen.get(normal)
            seen.setdefault(normal, param.name)
            if twin is not None:
                wrong = "duplicate name" if twin == param.name else "duplicate name (the same text, encoded otherwise)"
        if wrong:
            found.append(Problem(path, wrong))
        in_fields = [Problem(f"{path}.{name}", text) for name, text in field_problems(param)]
        if not in_fields:
            axis = axis_of(param)
            if isinstance(axis, Steps) and axis.too_fine:
                in_fields = [Problem(f"{path}.step", "is too small: it does not tell the values apart")]
            elif not wrong:
                sound[param.name] = axis
        found += in_fields
    known = {p.name for p in params if isinstance(p.name, str)}
    for path, param in zip(paths, params, strict=True):
        found += [Problem(f"{path}.{name}", text) for name, text in _when_problems(param, known, sound)]
    if not found:
        placed = {p.name for p in _parents_first(params)}
        circle = [path for path, p in zip(paths, params, strict=True) if p.name not in placed]
        found += [Problem(f"{path}.when", "goes round in a circle of conditions") for path in circle]
    return found


def _when_problems(param: Param, known: set[str], sound: Mapping[str, Axis]) -> Iterator[tuple[str, str]]:
    if param.when is None:
        return
    if not isinstance(param.when, Mapping):
        yield "when", f"must map parameters to values, not {json_text(param.when)}"
        return
    for parent, values in param.when.items():
        path = f"when.{shown(parent)}"
        if parent not in known:
            yield path, f"there is no such parameter{nearest(str(parent), known)}"
        elif parent == param.name:
            yield path, "a parameter cannot be its own condition"
        elif parent in sound:
            accepted = _accepted(values, sound[parent])
            if not accepted:
                yield path, "lists no values"
            for value in accepted:
                wrong = sound[parent].problem(value)
                if wrong:
                    yield path, wrong


def _rules(texts: Sequence[Any], params: Sequence[Param]) -> tuple[Rule, ...]:
    """The rules that the texts say. Raises SpecError with every problem."""
    rules, problems = [], []
    for i, text in enumerate(texts[:MAX_RULES]):
        path = f"require[{i}]"
        if not isinstance(text, str):
            problems.append(Problem(path, f'must be a rule as text, as in "hidden2 <= hidden1", not {json_text(text)}'))
            continue
        try:
            rules.append(read_rule(text, params))
        except SpecError as error:
            problems += [Problem(path, problem.text) for problem in error.problems]
    if len(texts) > MAX_RULES:
        problems.append(Problem("require", f"{len(texts)} rules; at most {MAX_RULES} are allowed"))
    if (words := sum(rule.length for rule in rules)) > MAX_RULE_WORDS:
        text = f"the rules have {words:,} words and signs in all; at most {MAX_RULE_WORDS:,} are allowed"
        problems.append(Problem("require", text))
    if problems:
        raise SpecError(problems)
    return tuple(rules)
