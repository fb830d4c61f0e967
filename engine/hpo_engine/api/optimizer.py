"""`Optimizer`: a searcher in this process, asked for configurations and told what became of them.

Events, history, queue and searcher are those of a study that an engine runs; only the processes are missing. So it
proposes what such a study would have proposed.
"""

from __future__ import annotations

import math
import numbers
import os
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from hpo_engine.api.memory import Memory
from hpo_engine.api.space import Space
from hpo_engine.api.trials import TrialRecord, record_of
from hpo_engine.errors import EngineError, Problem, SpecError
from hpo_engine.study.events import AttemptIntended, Event, MetricsSeen, TrialEnded, TrialProposed
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import Budget, Named, Params, Resource, StudySpec
from hpo_engine.study.trial import FailureKind, Trial, TrialState

if TYPE_CHECKING:
    from hpo_engine.core.proposing import Proposer
    from hpo_engine.core.recorder import Recorder
    from hpo_engine.space.searchspace import SearchSpace
    from hpo_engine.study.history import History

Values = float | Sequence[float] | Mapping[str, float]
"""One value, or with several objectives one for each, in their order or by their names."""
_ENDS = {"completed": TrialState.COMPLETED, "failed": TrialState.FAILED, "pruned": TrialState.PRUNED}


@dataclass(frozen=True)
class Suggestion:
    """A configuration to try. `id` counts from 0; `resource`: how much of it to train with (None: there is none)."""

    id: int
    params: Params
    resource: int | None = None

    def __getitem__(self, name: str) -> Any:
        return self.params[name]


class Optimizer:
    """Searches a space for the best values of a function that the caller evaluates.

        optimizer = hpo.Optimizer(hpo.Space(x=hpo.float(-5, 5)), seed=1)
        for _ in range(30):
            trial = optimizer.ask()
            optimizer.tell(trial, (trial["x"] - 2) ** 2)
        print(optimizer.best)

    With the same seed it proposes what `hpo-engine submit` with one trial at a time does. It may be used by several
    threads, copied and pickled; a copy goes on as the original would.

    Args:
        space: a Space, or the entries of one. algorithm: auto, tpe, bayesian, random ... (`hpo-engine algorithms`),
            module:Class, or path/file.py:Class.
        seed: of the search; None: a new one, see `seed`.
        objectives: minimize, maximize, or as in a study file: "minimize loss", or several of these.
        options: of the algorithm. trials: how many there will be, for algorithms that plan.
        resource: for algorithms that give trials less of something than the most, as {"name": "epochs", "max": 27}.
        points: configurations to try first; what one leaves out is filled in.

    Raises:
        SpecError: what is wrong, as for a study file.
    """

    def __init__(
        self,
        space: Space | SearchSpace | Mapping[str, Any],
        algorithm: str = "auto",
        *,
        seed: int | None = None,
        objectives: str | Sequence[str] = "minimize",
        options: Mapping[str, Any] | None = None,
        trials: int | None = None,
        resource: Mapping[str, Any] | None = None,
        points: Sequence[Params] = (),
    ) -> None:
        from hpo_engine.study.events import fold, opening

        spec = StudySpec(
            "optimizer",
            _space(space),
            _objectives(objectives),
            ("optimizer",),
            os.getcwd(),
            algorithm=_algorithm(algorithm, options),
            seed=secrets.randbelow(2**31) if seed is None else _count("seed", seed, least=0),
            resource=None if resource is None else _resource(resource),
            budget=Budget(None if trials is None else _count("trials", trials)),
        )
        if not isinstance(points, Sequence) or not all(isinstance(point, Mapping) for point in points):
            raise SpecError([Problem("points", f"must be a list of configurations, not {points!r}")])
        if points:
            spec = _with_points(spec, points)
        events = opening(spec, time.time())
        self._begin(Memory(spec, events), fold(events))

    def _begin(self, memory: Memory, history: History) -> None:
        from hpo_engine import assembly
        from hpo_engine.core.proposing import Proposer
        from hpo_engine.core.recorder import Recorder
        from hpo_engine.core.searcher_thread import InLine

        self._lock, self._memory = threading.RLock(), memory
        self._recorder: Recorder = Recorder(memory, history, ())
        self._proposer: Proposer = Proposer(self._recorder, assembly.searcher(memory.spec), InLine)

    # -- ask and tell --------------------------------------------------------------------------------------------------

    @overload
    def ask(self) -> Suggestion: ...
    @overload
    def ask(self, n: int) -> list[Suggestion]: ...
    def ask(self, n: int | None = None) -> Suggestion | list[Suggestion]:
        """The next configuration; with `n` a list of at most `n`, to be evaluated side by side.

        Raises:
            EngineError: there is none: the search is over, or waits for results (with `n` the list is empty).
            SearcherError: the algorithm failed.
        """
        most = 1 if n is None else _count("n", n)
        with self._lock:
            now = time.time()
            ids = self._proposer.propose(most, now)
            if self._memory.spec.resource is not None:  # what is carried on needs to have begun
                for number in ids:
                    self._intend(self.history.trials[number], now)
            self._recorder.commit()
            found = [_suggestion(self.history.trials[number]) for number in ids]
            if n is not None:
                return found
            if not found:
                raise EngineError(self._why_nothing())
            return found[0]

    def tell(
        self,
        trial: Suggestion | TrialRecord | int | Params,
        value: Values | None = None,
        *,
        state: str = "completed",
        step: float | None = None,
        reason: str = "",
    ) -> None:
        """What became of a trial.

        Args:
            trial: a suggestion, or its id; or a configuration: of an open trial, or one that was evaluated elsewhere,
                which counts as one more trial.
            value: one that is not finite makes the trial a failed one. Of a pruned trial: what it had reached.
            state: completed, failed, or pruned (given up early, after `step`).
            reason: in words, for people.

        Raises:
            SpecError: there is no such trial, it has ended already, the configuration is not in the space, or the value
                is not one.
        """
        if state not in _ENDS:
            raise SpecError([Problem("state", f"must be completed, failed or pruned, not {state!r}")])
        if not isinstance(reason, str):
            raise SpecError([Problem("reason", f"must be text, not {reason!r}")])
        values = None if value is None else self._values(value)
        if state == "completed" and values is None:
            raise SpecError([Problem("value", 'is missing; of a trial that failed write state="failed"')])
        with self._lock:
            number = self._number(trial)
            now = time.time()
            if state == "pruned" and values is not None:
                self._report(number, values, step, now)
            self._recorder.record(_end(number, _ENDS[state], values, reason, now))
            self._recorder.commit()

    def report(self, trial: Suggestion | TrialRecord | int, value: Values, step: float) -> None:
        """A value that an open trial has reached at a step: what counts if it is pruned later. Raises SpecError."""
        values = self._values(value)
        with self._lock:
            self._report(self._number(trial), values, step, time.time())
            self._recorder.commit()

    def enqueue(self, params: Params) -> None:
        """Puts a configuration, complete or partial, first in line. Raises SpecError."""
        from hpo_engine.space.params import plain
        from hpo_engine.study.revision import queued

        with self._lock:
            for event in queued(self.history, [plain(params)], time.time()):
                self._recorder.record(event)
            self._recorder.commit()

    # -- what is known -------------------------------------------------------------------------------------------------

    @property
    def history(self) -> History:
        """All that is known, as searchers and figures see it."""
        return self._recorder.history

    @property
    def seed(self) -> int:
        return self._memory.spec.seed or 0

    @property
    def space(self) -> Space:
        return Space.of(self._memory.spec.space)

    @property
    def done(self) -> bool:
        """Whether the search is over: the algorithm has nothing more to propose, or `trials` have begun."""
        history = self.history
        if self._proposer.exhausted or (history.trials_left == 0 and not self._proposer.wanted):
            return True
        return not history.open_ids and not history.queue and bool(self._proposer.why_over())  # known without asking

    @property
    def best(self) -> TrialRecord | None:
        """The best trial so far; of several objectives the one of the `front` that is best by the first. None: no trial
        has a value yet."""
        history = self.history
        return None if history.best is None else record_of(history, history.best)

    @property
    def front(self) -> list[TrialRecord]:
        """The trials that no other one dominates, by the first objective."""
        history = self.history
        return [record_of(history, history.trials[number]) for _, number in history.front]

    @property
    def trials(self) -> list[TrialRecord]:
        """All of them, by id."""
        history = self.history
        return [record_of(history, trial) for trial in history.trials]

    # -- files and copies ----------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes all that it knows to a file, from which `load` makes one that goes on from here. Raises OSError."""
        with self._lock:
            self._memory.save(os.fspath(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Optimizer:
        """The optimizer that was saved. Raises SpecError: it is not such a file; OSError."""
        return cls._of(Memory.load(os.fspath(path)))

    @classmethod
    def _of(cls, memory: Memory) -> Optimizer:
        from hpo_engine.study.events import fold

        new = cls.__new__(cls)
        new._begin(memory, fold(memory.events))
        return new

    def __reduce__(self) -> tuple[Any, tuple[Memory]]:
        with self._lock:
            return type(self)._of, (Memory(self._memory.spec, list(self._memory.events)),)

    def __repr__(self) -> str:
        spec, history = self._memory.spec, self.history
        best = history.best_value
        shown = "" if best is None else f", best {best:g}"
        return f"<Optimizer {spec.algorithm.name}, seed {spec.seed}: {history.next_id} trials{shown}>"

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _values(self, value: Values) -> tuple[float, ...]:
        names = [aim.metric for aim in self._memory.spec.objectives]
        given: Any = value
        if isinstance(value, Mapping):
            if set(value) != set(names):
                raise SpecError([Problem("value", f"must have {', '.join(names)}, not {', '.join(map(str, value))}")])
            given = [value[name] for name in names]
        elif not isinstance(given, (list, tuple)):
            listed = given.tolist() if hasattr(given, "tolist") else given  # numpy, torch
            given = listed if isinstance(listed, list) else [given]
        found = tuple([_number(each) for each in given])
        if len(found) != len(names):
            raise SpecError([Problem("value", f"must be {len(names)} ({', '.join(names)}), not {len(found)}")])
        return found

    def _number(self, trial: Any) -> int:
        """The id of the open trial that is meant. A configuration from elsewhere becomes one. Raises SpecError."""
        history = self.history
        if isinstance(trial, Mapping):
            return self._of_params(trial)
        whole = isinstance(trial, numbers.Integral) and not isinstance(trial, bool)
        number = int(trial) if whole else getattr(trial, "id", None)
        if number is None:
            raise SpecError([Problem("trial", f"must be what ask returned, its id or a configuration, not {trial!r}")])
        if number not in range(history.next_id):
            raise SpecError([Problem("trial", f"there is no trial {number}; there are {history.next_id} (from 0)")])
        known = history.trials[number]
        if isinstance(trial, Suggestion) and trial.params != known.params:
            raise SpecError([Problem("trial", f"trial {number} has other values; it is from another optimizer")])
        if known.state.ended:
            raise SpecError([Problem("trial", f"trial {number} has ended already: {_how(history, known)}")])
        return number

    def _of_params(self, params: Params) -> int:
        from hpo_engine.space.params import key, plain

        history, space = self.history, self._memory.spec.space
        given = plain(params)
        if problem := space.problem_with(given):
            raise SpecError([Problem("trial", problem)])
        given = space.tidied(given)
        for trial in history.open:
            if key(trial.params) == key(given):
                return trial.id
        resource = self._memory.spec.full_resource
        self._recorder.record(TrialProposed(time.time(), history.next_id, given, resource))
        return history.next_id

    def _report(self, number: int, values: Sequence[float], step: float | None, now: float) -> None:
        trial = self.history.trials[number]
        self._intend(trial, now)
        at = len(trial.rows) + 1 if step is None else _number(step, "step")
        if isinstance(step, numbers.Integral):
            at = int(step)
        if not math.isfinite(at):
            raise SpecError([Problem("step", f"must be a number, not {step!r}")])
        names = [aim.metric for aim in self._memory.spec.objectives]
        rows = (Row(at, dict(zip(names, values, strict=True))),)
        self._recorder.record(MetricsSeen(now, number, rows))

    def _intend(self, trial: Trial, now: float) -> None:
        """A trial begins to run, if it has not begun."""
        if trial.state is TrialState.PENDING:
            number = len(trial.attempts) + 1
            self._recorder.record(AttemptIntended(now, trial.id, number, f"{trial.id}/{number}"))

    def _why_nothing(self) -> str:
        if self.history.open_ids and not self._proposer.exhausted:
            return f"{self._memory.spec.algorithm.name} waits for results: tell what became of the open trials first"
        why = self._proposer.why_over()
        return f"the search is over{f': {why}' if why else ''}"


def _suggestion(trial: Trial) -> Suggestion:
    return Suggestion(trial.id, dict(trial.params), trial.proposal.resource)


def _end(number: int, state: TrialState, values: Sequence[float] | None, reason: str, now: float) -> Event:
    if state is TrialState.COMPLETED:
        assert values is not None
        if not all(map(math.isfinite, values)):
            text = reason or f"the value is not a finite number: {', '.join(map(str, values))}"
            return TrialEnded(now, number, TrialState.FAILED.value, reason=text, failure=FailureKind.BAD_RESULT.value)
        several = tuple(values) if len(values) > 1 else None
        return TrialEnded(now, number, state.value, values[0], reason, values=several)
    failure = FailureKind.EXIT_CODE.value if state is TrialState.FAILED else None
    return TrialEnded(now, number, state.value, reason=reason, failure=failure)


def _how(history: History, trial: Trial) -> str:
    values = history.values(trial)
    return f"{trial.state.value}{f' with {values[0]:g}' if values else ''}"


def _number(value: Any, what: str = "value") -> float:
    if isinstance(value, bool) or not (isinstance(value, numbers.Real) or hasattr(value, "__float__")):
        raise SpecError([Problem(what, f"must be a number, not {value!r}")])
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise SpecError([Problem(what, f"must be a number, not {value!r}")]) from None


def _count(what: str, value: Any, least: int = 1) -> int:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least:
        return int(value)
    raise SpecError([Problem(what, f"must be a whole number of at least {least}, not {value!r}")])


# -- what a study file would say ---------------------------------------------------------------------------------------


def _space(space: Any) -> SearchSpace:
    from hpo_engine.space.searchspace import SearchSpace

    if isinstance(space, SearchSpace):
        return space
    return (space if isinstance(space, Space) else Space(space)).search_space


def _objectives(given: Any) -> tuple[Objective, ...]:
    from hpo_engine.studyfile.native.form import ObjectiveForm
    from hpo_engine.studyfile.native.values import objective

    if not isinstance(given, Sequence):
        raise SpecError([Problem("objectives", f"must be text, or a list of texts, not {given!r}")])
    texts = [given] if isinstance(given, str) else list(given)
    found, several = list[Objective](), len(texts) > 1
    for number, text in enumerate(texts):
        path = f"objectives[{number}]" if several else "objectives"
        name = f"value{number}" if several else "value"
        try:
            fields = objective(f"{text} {name}" if str(text).strip().count(" ") == 0 else text)
            made = ObjectiveForm.model_validate(fields).objective("last")
        except ValueError:
            form = 'minimize, maximize, or text such as "minimize loss"'
            raise SpecError([Problem(path, f"must be {form}, not {text!r}")]) from None
        if made.metric in [other.metric for other in found]:
            raise SpecError([Problem(path, f'"{made.metric}" is already listed')])
        found.append(made)
    if not found:
        raise SpecError([Problem("objectives", "is empty")])
    return tuple(found)


def _algorithm(name: Any, options: Mapping[str, Any] | None) -> Named:
    from hpo_engine.studyfile.named import absolute

    if not isinstance(name, str):
        raise SpecError([Problem("algorithm", f"must be a name, not {name!r}")])
    chosen = {} if options is None else options
    if not isinstance(chosen, Mapping) or not all(isinstance(key, str) for key in chosen):
        raise SpecError([Problem("options", f"must map names to values, not {options!r}")])
    return Named(absolute(name, os.getcwd()), dict(chosen))


def _resource(fields: Any) -> Resource:
    from pydantic import ValidationError

    from hpo_engine.studyfile.native.form import ResourceForm

    if not isinstance(fields, Mapping):
        raise SpecError(
            [Problem("resource", f'must be a mapping such as {{"name": "epochs", "max": 27}}, not {fields!r}')]
        )
    try:
        form = ResourceForm.model_validate({"resume": "never", **fields})
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise SpecError([Problem(".".join(["resource", *map(str, e["loc"])]), e["msg"]) for e in found]) from None
    return Resource(**form.model_dump())


def _with_points(spec: StudySpec, points: Sequence[Params]) -> StudySpec:
    from dataclasses import replace

    from hpo_engine.space.partial import point_problems

    if problems := point_problems(spec.space, points):
        raise SpecError(problems)
    return replace(spec, points=tuple(spec.space.tidied(point) for point in points))
