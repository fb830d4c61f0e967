"""Search spaces as Python values: `Space(lr=float(1e-4, 0.1, log=True), layers=int(1, 5))`.

The entries are those of a study file, and are checked by what checks a study file.
"""

from __future__ import annotations

import builtins
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import Problem, SpecError

if TYPE_CHECKING:
    from hpo_engine.space.params import Param
    from hpo_engine.space.searchspace import SearchSpace

When = Mapping[str, Any]
"""Other parameters, each with the value that it must have, or a list of such values."""


@dataclass(frozen=True, repr=False)
class Entry:
    """One parameter of a space, without its name: what a study file has under `space`, as a mapping."""

    document: Mapping[str, Any]

    def __repr__(self) -> str:
        """The call that makes it."""
        (kind, first), *more = self.document.items()
        words = [repr(end) for end in first] if kind in ("float", "int") else [repr(first)]
        return f"{kind}({', '.join([*words, *(f'{name}={value!r}' for name, value in more)])})"


def float(
    low: builtins.float,
    high: builtins.float,
    *,
    log: bool = False,
    step: builtins.float | None = None,
    power: builtins.float | None = None,
    when: When | None = None,
) -> Entry:
    """A real number from `low` to `high`, both included.

    Args:
        log: uniform in the logarithm, as for learning rates.
        step: only low + k * step.
        power: the value is power ** u, and low, high and step are those of u.
        when: it applies only where other parameters have these values, as in `{"optimizer": "sgd"}`.
    """
    return _number("float", low, high, log, step, power, when)


def int(
    low: builtins.int,
    high: builtins.int,
    *,
    log: bool = False,
    step: builtins.int | None = None,
    power: builtins.int | None = None,
    when: When | None = None,
) -> Entry:
    """A whole number from `low` to `high`, both included; the other arguments as for `float`."""
    return _number("int", low, high, log, step, power, when)


def choice(values: Sequence[Any], *, ordered: bool = False, when: When | None = None) -> Entry:
    """One of some JSON values. `ordered`: neighbours in the list are alike, as in [32, 64, 128]."""
    listed = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else values
    return _entry({"choice": listed, "ordered": ordered or None, "when": when})


def constant(value: Any, *, when: When | None = None) -> Entry:
    """A fixed value, handed to every trial; without a condition the plain value does."""
    return _entry({"constant": value}, when=when)


class Space:
    """The parameters of a search, in order, and the rules between them. Immutable.

        space = hpo.Space(
            lr=hpo.float(1e-4, 0.1, log=True),
            optimizer=hpo.choice(["adam", "sgd"]),
            momentum=hpo.float(0.5, 0.99, when={"optimizer": "sgd"}),
            epochs=5,
            require="lr <= momentum",
        )

    Args:
        params: entries by name, for names that are not words of Python; they come before the others.
        require: rules that every configuration fulfils, one or several; see docs/constraints.md.
        entries: entries by name; a plain value is a constant.

    Raises:
        SpecError: with every problem, as a study file with this space would have it.
    """

    def __init__(
        self, params: Mapping[str, Any] | None = None, /, *, require: str | Sequence[str] = (), **entries: Any
    ) -> None:
        from hpo_engine.studyfile.native import space_from

        if params is not None and not isinstance(params, Mapping):
            raise SpecError(f"a space maps names to entries, and this is {params!r}")
        if not isinstance(require, Sequence):
            raise SpecError([Problem("require", f"must be a rule, or a list of rules, not {require!r}")])
        given = {**(params or {}), **entries}
        documents = {name: _document(value) for name, value in given.items()}
        self._made: SearchSpace = space_from(documents, require if isinstance(require, str) else list(require))

    @classmethod
    def of(cls, space: SearchSpace) -> Space:
        """The space of a study, such as `Study.spec.space`."""
        new = cls.__new__(cls)
        new._made = space
        return new

    @property
    def search_space(self) -> SearchSpace:
        """What searchers see of it."""
        return self._made

    @property
    def require(self) -> tuple[str, ...]:
        """Its rules."""
        return self._made.require

    @property
    def size(self) -> builtins.int | None:
        """The number of different configurations; None if it is unlimited or too large to count."""
        return self._made.allowed_size

    def sample(self, n: builtins.int = 1, seed: builtins.int = 0) -> list[dict[str, Any]]:
        """`n` independent draws: the configurations that the algorithm `random` tries first with this seed, unless some
        of them are alike."""
        return [self._draw(number, seed) for number in range(n)]

    def _draw(self, number: builtins.int, seed: builtins.int) -> dict[str, Any]:
        rng = random.Random(f"{seed}/{number}")
        return self._made.draw(lambda: [rng.random() for _ in self._made.dimensions])

    def check(self, params: Mapping[str, Any]) -> None:
        """Raises SpecError, with the reason, if `params` is not a configuration of this space."""
        if problem := self._made.problem_with(params):
            raise SpecError(problem)

    def to_dict(self) -> dict[str, Any]:
        """What a study file has under `space`."""
        from hpo_engine.studyfile.native import entry

        return {param.name: entry(param) for param in self._made.params}

    def __getitem__(self, name: str) -> Param:
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._made

    def __iter__(self) -> Iterator[str]:
        return iter(self._made.names)

    def __len__(self) -> builtins.int:
        return len(self._made)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self._made == other._made

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        words = [f"{name}={_shown(value)}" for name, value in self.to_dict().items()]
        rules = [f"require={list(self.require)!r}"] if self.require else []
        return f"Space({', '.join([*words, *rules])})"

    def _repr_html_(self) -> str:
        """For Jupyter: a row for each parameter."""
        from hpo_engine.api.notebook.page import space_page

        return space_page(self.to_dict(), self.require)


def _number(kind: str, low: Any, high: Any, log: bool, step: Any, power: Any, when: When | None) -> Entry:
    return _entry({kind: [low, high]}, log=log or None, step=step, power=power, when=when)


def _entry(value: Mapping[str, Any], **more: Any) -> Entry:
    return Entry({k: v for k, v in {**value, **more}.items() if v is not None or k == "constant"})


def _document(value: Any) -> Any:
    """An entry as a study file has it."""
    from hpo_engine.space.params import Choice, Constant, Float, Int, plain
    from hpo_engine.studyfile.native import entry

    if isinstance(value, (Choice, Constant, Float, Int)):
        return entry(value)
    return plain(value.document if isinstance(value, Entry) else value)


def _shown(value: Any) -> str:
    return repr(Entry(value)) if isinstance(value, dict) else repr(value)
