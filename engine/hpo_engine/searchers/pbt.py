"""Population-based training: members train side by side; poor ones go on from a good one's checkpoint, with new values.

Which members breed is decided here, from the history alone; `pbt_population` says how they stand, `pbt_explore` and
`pbt_gp` find the new values.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import Problem, SearcherError, SpecError, nearest
from hpo_engine.plugins.card import Card, Option
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.searchers.halving import rationed
from hpo_engine.searchers.pbt_explore import Explorer, may_change, number_rng
from hpo_engine.searchers.pbt_population import DECISIONS, Population, result_params, usual_interval
from hpo_engine.searchers.start import start_point
from hpo_engine.space.params import plain
from hpo_engine.study.trial import Proposal, Trial
from hpo_engine.text.quoting import listed

if TYPE_CHECKING:
    from hpo_engine.searchers.pbt_gp import Bandit
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec

_POPULATION = 8
_CARD = Card(
    summary="a population trains side by side; poor members go on from good ones, with new values; needs `resource`",
    suits="values that should change while a script trains, such as a learning rate; scripts that can go on from a "
    "checkpoint",
    cost="0.3 ms; 20 to 60 ms with `explore: gp`",
    source="Jaderberg et al., Population Based Training of Neural Networks, 2017; for gp (PB2) Parker-Holder et al., "
    "Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits, NeurIPS 2020",
    options={
        "population": Option(f"members (default: `trials`, or {_POPULATION})", int, None, least=2),
        "interval": Option(
            f"units of the resource from one decision to the next (default: {DECISIONS} decisions in all)",
            int, None, least=1,
        ),
        "exploit": Option(
            "part of the members that are replaced at a decision, by copies of as many of the best",
            float, 0.25, least=0, most=0.5,
        ),
        "explore": Option(
            "how a copy's values are found: perturb: each is multiplied by a factor; resample: some are drawn anew; "
            "gp: a model of what has improved members most",
            str, "perturb", words=("perturb", "resample", "gp"),
        ),
        "factors": Option(
            "what a value is multiplied by, one of them", float, (0.8, 1.2), least=0, above=True, many=True
        ),
        "resample": Option("probability that a value is drawn anew", float, 0.25, least=0, most=1),
        "mutable": Option(
            "parameters that may change while a script trains (default: numbers and ordered choices that no other "
            "parameter depends on)",
            str, None, many=True,
        ),
        "fixed": Option("parameters that may not, such as the number of layers", str, None, many=True),
        "mode": Option(
            "asynchronous: a member is compared with those that have been where it is; generations: all members wait "
            "for each other",
            str, "asynchronous", words=("asynchronous", "generations"),
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A decision: a member begins (no trial), goes on (`trial`), or gives way to a copy of one of `sources`.

    `trial`: the member's present one. `level`: the amount of the resource at which members were compared. `keep`: what
    the trial has is kept while it goes on.
    """

    member: int
    trial: Trial | None = None
    sources: tuple[Trial, ...] = ()
    keep: bool = False


class Pbt(Searcher):
    """Every member trains `interval` units of the resource at a time, and a decision follows.

    A member among the worst `exploit` of those that had results with the same amount of the resource gives way to a new
    trial: a copy of the files of one of the best as many, drawn at random, which goes on with other values (`explore`).
    All others go on as they are (the same trial, another attempt). Losses are compared at equal amounts only, those of
    the last row whatever the objective counts by, as that is what a copy would begin with; several objectives by
    fronts. A copy is a trial of its own; what led to it is its lineage, see `study.lineage`.

    Generations: a decision waits until every member has had the amount, so that it depends on no order of arrival.
    Asynchronous: it is made when a worker is free, and compares with those that have had the amount so far; one that is
    ahead of nearly all others is compared with an earlier result. The files of those that are among the best are kept
    while they go on.

    A member that failed, diverged or was ended by a rule is replaced by a copy in any case; one that the user stopped
    is not. The study's `trials` are its members; the copies use up none.

    Raises:
        SpecError: an option contradicts the study.

    Source: Jaderberg et al. 2017, Algorithm 1, truncation selection (section 4.1.1).
    """

    traits = Traits(
        card=_CARD, quick=True, needs_resource=True, carries_on=True, many_objectives=True,
        usual_trials=_POPULATION,
    )  # fmt: skip

    def __init__(
        self,
        spec: StudySpec,
        *,
        population: int | None = None,
        interval: int | None = None,
        exploit: float = 0.25,
        explore: str = "perturb",
        factors: tuple[float, ...] = (0.8, 1.2),
        resample: float = 0.25,
        mutable: tuple[str, ...] | None = None,
        fixed: tuple[str, ...] | None = None,
        mode: str = "asynchronous",
    ) -> None:
        self._spec, self._space, self._resource = spec, spec.space, rationed(spec)
        most, trials = self._resource.max, spec.budget.trials
        wanted = population or trials or _POPULATION
        self._size = wanted if trials is None else min(wanted, trials)
        self._interval = interval or usual_interval(self._resource)
        self._exploit, self._together = exploit, mode == "generations"
        self._explorer = Explorer(spec.space, self._mutable(mutable, fixed or ()), explore, factors, resample)
        self._uses_model = explore == "gp"
        self.traits = replace(
            self.traits,
            quick=not self._uses_model,
            uses_running=self._uses_model,
            usual_trials=population or _POPULATION,
        )
        if self._interval > most:
            raise SpecError([Problem("options.interval", f"must be at most {most}, the most that a member gets")])
        if not factors:
            raise SpecError([Problem("options.factors", "must have one number at least")])
        if self._resource.resume == "never":
            raise SpecError(
                [Problem("resource.resume", "pbt needs auto or always: its members go on from checkpoints")]
            )

    def ask(self, history: History, count: int) -> list[Proposal]:
        population = Population.of(history, self._size)
        if self._resource.resume != "always":
            self._require_checkpoints(population)
        out: list[Proposal] = []
        trial_id = history.next_id
        for step in islice(self._steps(population, history.trials_left), count):
            out.append(self._proposal(step, trial_id, history, out))
            trial_id += out[-1].carry_on is None
        return out

    # -- decisions -----------------------------------------------------------------------------------------------------

    def _steps(self, population: Population, room: int | None) -> Iterator[Step]:
        """What can be done now. Copies come before members that go on: what they are copies of must not have begun to
        change when they are taken.

        Args:
            room: how many more members the budget allows; None: it sets no limit.
        """
        missing = [member for member, trial in enumerate(population.members) if trial is None][:room]
        if missing and population.furthest <= self._first:
            yield from (Step(member) for member in missing)
            missing = []
        ready = sorted(population.ready(self._most), key=lambda trial: (trial.trained, population.member(trial)))
        steps = [self._decided(population, trial) for trial in ready if self._is_due(population, trial.trained)]
        for member in missing:
            yield from self._replaced(population, member, None)
        for trial in population.lost:
            yield from self._replaced(population, population.member(trial), trial)
        yield from (step for step in steps if step.sources)
        yield from (step for step in steps if not step.sources)

    def _is_due(self, population: Population, level: int) -> bool:
        """Whether those who have had this amount can be compared."""
        return not self._together or population.complete(level)

    def _decided(self, population: Population, trial: Trial) -> Step:
        """What becomes of a member that has had its amount of the resource."""
        member = population.member(trial)
        best, worst = population.ends(self._compared_at(population, trial), self._exploit)
        if trial.id in worst and (sources := self._sources(population, best)):
            return Step(member, trial, sources)
        leads = trial.id in population.leaders(trial.trained, self._exploit)
        return Step(member, trial, keep=leads and not self._together)

    def _compared_at(self, population: Population, trial: Trial) -> int:
        """The amount of the resource at which a member is compared: what it has had; or, if it is ahead of the others,
        the latest amount that enough of them have had, too. (Else those ahead would never be compared.)"""
        enough = math.ceil(1 / self._exploit) if self._exploit else 1
        own = [result.resource or 0 for result in trial.results]
        return next((n for n in reversed(own) if len(population.order(n)) >= enough), trial.trained)

    def _replaced(self, population: Population, member: int, trial: Trial | None) -> Iterator[Step]:
        """What takes the place of a member that has failed, or never began: nothing if there is nothing (yet).

        It is a copy of one of the best with the amount that it was to have, or else with as little more as possible.
        """
        target = self._first if trial is None else trial.proposal.resource or self._first
        below, above = [n for n in population.levels if n <= target], [n for n in population.levels if n > target]
        for level in (*reversed(below), *above):
            sources = self._sources(population, population.leaders(level, self._exploit))
            if sources and self._is_due(population, max(level, target)):
                yield Step(member, trial, sources)
                return

    def _sources(self, population: Population, ids: tuple[int, ...]) -> tuple[Trial, ...]:
        """Those of the trials whose files a copy can start from, and that are still members."""
        return tuple([t for t in population.startable(ids) if t.trained < self._most])

    # -- proposals -----------------------------------------------------------------------------------------------------

    def _proposal(self, step: Step, trial_id: int, history: History, before: list[Proposal]) -> Proposal:
        note = {"member": step.member}
        if step.sources:
            source = number_rng(self._spec, trial_id, "source").choice(step.sources)
            params = self._explored(source, trial_id, history, before)
            replaced = None if step.trial is None else step.trial.id
            return Proposal(params, self._next(source.trained), start_from=source.id, note=note, replaces=replaced)
        if step.trial is None:
            return Proposal(self._space.decode(start_point(self._spec, trial_id)), self._first, note=note)
        trial = step.trial
        more = self._next(trial.trained)
        return Proposal(plain(result_params(trial)), more, carry_on=trial.id, note=note, keep=step.keep)

    def _explored(self, source: Trial, trial_id: int, history: History, before: list[Proposal]) -> dict[str, Any]:
        if self._uses_model and (found := self._bandit.suggest(history, source, trial_id, before)) is not None:
            return found
        origin = (source.id, source.startable)
        others = [dict(t.params) for t in history.trials if t.origin and (t.origin.trial, t.origin.attempt) == origin]
        others += [dict(proposal.params) for proposal in before if proposal.start_from == source.id]
        rng, params = number_rng(self._spec, trial_id, "explore"), dict(result_params(source))
        return self._explorer.changed(params, rng, [params, *others])

    def _next(self, trained: int) -> int:
        return min((trained // self._interval + 1) * self._interval, self._most)

    @property
    def _first(self) -> int:
        return min(self._interval, self._most)

    @property
    def _most(self) -> int:
        return self._resource.max

    @cached_property
    def _bandit(self) -> Bandit:
        from hpo_engine.searchers.pbt_gp import Bandit

        return Bandit(self._spec, self._explorer)

    # -- what the study must be like -----------------------------------------------------------------------------------

    def _mutable(self, mutable: tuple[str, ...] | None, fixed: tuple[str, ...]) -> frozenset[str]:
        """The parameters that may change. Raises SpecError."""
        names = [p.name for p in self._space.dimensions]
        problems = [
            Problem(f"options.{option}", f"{name} is not a parameter that is searched{nearest(name, names)}")
            for option, given in (("mutable", mutable or ()), ("fixed", fixed))
            for name in given
            if name not in names
        ]
        if both := [name for name in mutable or () if name in fixed]:
            problems.append(Problem("options.fixed", f"names {listed(both, 3)}, which `mutable` names, too"))
        chosen = may_change(self._space) if mutable is None else mutable
        found = frozenset(chosen) - frozenset(fixed)
        if names and not found and not problems:
            problems.append(Problem("options", "pbt has nothing to change: name the parameters that may, in `mutable`"))
        if problems:
            raise SpecError(problems)
        return found

    def _require_checkpoints(self, population: Population) -> None:
        """Raises SearcherError if members cannot go on, by what the first of them have left."""
        for trial in population.ready(self._most):
            if trial.results[-1].checkpoint is None:
                raise SearcherError(
                    f"pbt cannot go on: trial {trial.id} left no checkpoint in its RESULT_DIR after "
                    f"{self._resource.name} {trial.trained}. The script must save one there and begin with it when "
                    "HPO_RESUME_FROM names one; if it saves under another name, say so (`checkpoints: [PATTERN]`), or "
                    "with `resume: always` under `resource` if it finds its files by itself"
                )

    # -- in words ------------------------------------------------------------------------------------------------------

    def why(self, before: History, trial: Trial) -> str:
        member = (trial.proposal.note or {}).get("member")
        return "" if member is None else f"member {member} of the population, which begins at a quasi-random point"

    def about(self) -> str:
        changing = [name for name in self._space.names if name in self._explorer.mutable]
        return f"{self._size} members; {listed(changing, 6)} may change every {self._interval} {self._resource.name}"

    def promotable(self, history: History) -> Collection[int]:
        return {trial.id for trial in Population.of(history, self._size).present}

    def planned(self) -> str:
        total = self._size * self._most
        return (
            f"{self._size} members of {self._most:,} {self._resource.name} each, {total:,} {self._resource.name} in all"
        )

    def planned_runs(self) -> Mapping[int, int]:
        return {}

    def over(self, history: History) -> str:
        population = Population.of(history, self._size)
        done = sum(trial is not None and trial.trained >= self._most for trial in population.members)
        had = f"have had {self._resource.name} {self._most}"
        if done == self._size:
            return f"all {done} members {had}"
        return f"{done} of {self._size} members {had}; the others failed, or were stopped"
