"""What a searcher is to the rest of the package: one method, and one value that describes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hpo_engine.plugins.card import NO_CARD, Card

if TYPE_CHECKING:
    from hpo_engine.study.history import History
    from hpo_engine.study.trial import Proposal, Trial


@dataclass(frozen=True)
class Traits:
    """What a searcher is like: set on its class; an instance may narrow it with what depends on the study.

    Attributes:
        card: what it is for, and its options with their ranges; without one, options are checked by name only.
        title: its name in messages; "": the name of its class.
        quick: it always answers within about a millisecond, so the loop waits for it instead of using a thread.
        listed: it works through a list of its own; its proposals are never replaced.
        needs_resource: it cannot run without a `resource`.
        rations: it gives trials less of the resource than the most, and promotes some of them (`promote_waiting`).
        carries_on: it may carry trials on (`Proposal.carry_on`), so it is asked when no new trial is allowed any more.
        uses_running: trials that are still running influence its proposals.
        many_objectives: it searches for all objectives of a study; if not, for the first one only.
        size: the number of trials after which it has nothing more to propose; None: unknown or unlimited.
        usual_trials: the number of trials for a study file that gives none; None: the general default.
    """

    card: Card = NO_CARD
    title: str = ""
    quick: bool = False
    listed: bool = False
    needs_resource: bool = False
    rations: bool = False
    carries_on: bool = False
    uses_running: bool = False
    many_objectives: bool = False
    size: int | None = None
    usual_trials: int | None = None


class Asks(Protocol):
    """The least that a plugin needs to have; made as `Class(spec, **options)`."""

    def ask(self, history: History, count: int) -> Sequence[Proposal]: ...


class Searcher:
    """Proposes trials. Made as `Class(spec, **options)`; keeps no state but caches: the history is the state.

    Options are keyword-only parameters of `__init__`, annotated, with defaults; a wrong value raises SpecError or
    ValueError with a text that names the option. `ask` is called from a thread of its own, one call at a time, unless
    the searcher is `quick`. A plugin may be any class with a method `ask`; one that derives from this class can
    have `traits` and the other methods.
    """

    traits: Traits = Traits()

    @classmethod
    def card_of(cls, algorithm: str) -> Card:
        """The card for one spelling of the algorithm's name. Raises SpecError if the name is not valid."""
        return cls.traits.card

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        """At most `count` (>= 1) proposals inside `spec.space`; the same history gives the same answer.

        The first proposal is for trial id `history.next_id`, the second for the next one, and so on. An empty answer
        means "wait" while a trial is open and "the search is over" when none is. A proposal that carries a trial on
        makes no new trial and takes no id. Failed and running trials are in the
        history. Draw from `SeedSequence(spec.seed, spawn_key=(trial_id,))`, see `searchers.trial_rng`.
        """
        raise NotImplementedError

    def promote_waiting(self, history: History, count: int) -> Sequence[Proposal]:
        """As `ask`, when no new configuration is left; only for searchers that ration a resource."""
        return ()

    def over(self, history: History) -> str:
        """Why the search is over, for the last line of a study; "" if there is no particular reason."""
        return ""

    def about(self) -> str:
        """A description of its plan for the study, in one line; "" if there is nothing to add."""
        return ""

    def promotable(self, history: History) -> Collection[int] | None:
        """The trials with a result that may still be carried on or started from, so that their checkpoints are needed;
        None: it cannot tell, so all of them. Called while no `ask` runs. A trial that it has left out must not be
        carried on later: its checkpoint may be gone.
        """
        ours = type(self).__module__.startswith("hpo_engine.")  # a plugin may start new trials from others
        return () if ours and not self.traits.carries_on else None

    def planned(self) -> str:
        """The runs that it plans and the resource they take, in one line; "" if it rations nothing."""
        return ""

    def planned_runs(self) -> Mapping[int, int]:
        """How many runs with each amount of the resource it plans or expects; {}: it rations nothing, or has no end."""
        return {}

    def why(self, before: History, trial: Trial) -> str:
        """Why it proposed the trial, in a few words for people; "" if it cannot tell. `before`: the history until then.

        Only of a trial that it proposed by itself, and not of one that it carried on or repeated.
        """
        return ""

    def close(self) -> None:
        """The engine ends, or goes on with another searcher: lets go of processes. An `ask` may be under way."""


class AskingOnly(Searcher):
    """A plugin's object that has only the method `ask`."""

    def __init__(self, inner: Asks) -> None:
        self.inner = inner
        self.traits = Traits(title=type(inner).__name__)

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        return self.inner.ask(history, count)
