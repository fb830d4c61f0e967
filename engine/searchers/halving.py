"""Successive halving as a function of history: which places of which brackets are taken, and which can be filled.

Each trial's `slot` says which place it has: {"bracket": 0, "rung": 1, "place": 2, "from": 17}; the first trial of a
bracket also carries the bracket's `layout`, [[trials, resource], ...], so that a changed budget changes later brackets
only. Nothing else is kept anywhere: kill the engine, and the next one computes the same places. Whoever proposes
trials without such a slot (points to try first, say) does no harm here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import Problem, SpecError
from engine.params import plain
from engine.searchers.brackets import Bracket, Plan, Rung
from engine.study import Proposal, Trial, TrialState

if TYPE_CHECKING:
    from engine.study import Params, StudySpec


@dataclass(frozen=True)
class Slot:
    """A place to fill: with a new configuration, or (`parent`) with one that goes on to more of the resource."""

    bracket: int
    rung: int
    place: int
    resource: int
    parent: Trial | None = None
    layout: Bracket | None = None  # of the bracket that it begins

    def note(self) -> dict[str, Any]:
        """What the trial keeps."""
        note: dict[str, Any] = {"bracket": self.bracket, "rung": self.rung, "place": self.place}
        if self.parent is not None:
            note["from"] = self.parent.id
        if self.layout is not None:
            note["layout"] = [[rung.size, rung.resource] for rung in self.layout]
        return note


class Ladder:
    """One bracket as far as it has come. `rungs[k]`: place -> trial."""

    def __init__(self, number: int, layout: Bracket = (), depth: int = 0) -> None:
        self.number, self.layout = number, layout
        self.rungs: list[dict[int, Trial]] = [{} for _ in range(max(depth, len(layout)))]
        self.promoted: set[int] = set()

    def put(self, trial: Trial) -> None:
        note: Any = trial.proposal.slot
        if "layout" in note:
            self.layout = tuple(Rung(size, resource) for size, resource in note["layout"])
            self.rungs += [{} for _ in range(len(self.layout) - len(self.rungs))]
        self.rungs[note["rung"]][note["place"]] = trial
        if "from" in note:
            self.promoted.add(note["from"])

    def best(self, rung: int) -> list[Trial]:
        """The rung's trials that have a loss, best first; of equals the earlier."""
        done = [t for t in self.rungs[rung].values() if t.state is TrialState.COMPLETED and t.loss is not None]
        return sorted(done, key=lambda t: (t.loss, t.id))

    def free(self) -> tuple[list[Slot], bool]:
        """The places that can be filled now, lowest rung first; and whether the bracket is through: nothing more will
        come of it. A rung's best go on when all of it has ended; where too few have a loss, fewer do."""
        first = self._missing(0, self.layout[0].size)
        if first:
            return [self._slot(0, place) for place in first], False
        for k in range(len(self.layout)):
            if not all(trial.state.ended for trial in self.rungs[k].values()):
                return [], False
            if k + 1 == len(self.layout):
                break
            good = self.best(k)
            missing = self._missing(k + 1, min(self.layout[k + 1].size, len(good)))
            if missing:
                going = (trial for trial in good if trial.id not in self.promoted)
                return [self._slot(k + 1, place, parent) for place, parent in zip(missing, going, strict=False)], False
        return [], True

    def _missing(self, rung: int, size: int) -> list[int]:
        taken = self.rungs[rung]
        return [] if len(taken) >= size else [place for place in range(size) if place not in taken]

    def _slot(self, rung: int, place: int, parent: Trial | None = None) -> Slot:
        begins = self.layout if rung == 0 and place == 0 else None
        return Slot(self.number, rung, place, self.layout[rung].resource, parent, begins)

    @property
    def configurations(self) -> Iterator[Params]:
        return (trial.params for trial in self.rungs[0].values())


def ladders(trials: Iterable[Trial], depth: int = 0) -> dict[int, Ladder]:
    """The brackets that have begun, by number; each with at least `depth` rungs."""
    out: dict[int, Ladder] = {}
    for trial in trials:
        note = trial.proposal.slot
        if note is not None and "rung" in note:
            number = note["bracket"]
            if number not in out:
                out[number] = Ladder(number, depth=depth)
            out[number].put(trial)
    return out


def plan_of(spec: StudySpec, eta: float) -> Plan:
    """The plan for the study's resource. Raises SpecError where it has none."""
    if spec.resource_name is None or spec.resource_max is None:
        text = f"is missing: {spec.algorithm} needs one, as in {{name: epochs, max: 27}}"
        raise SpecError([Problem("resource", text)])
    return Plan(spec.resource_max, spec.resource_min, eta)


def proposals(slots: Sequence[Slot], fresh: Sequence[Mapping[str, Any]]) -> list[Proposal]:
    """The slots' trials, in order; `fresh` for those that need a new configuration."""
    new = iter(fresh)
    params = (dict(next(new)) if slot.parent is None else plain(slot.parent.params) for slot in slots)
    return [Proposal(p, slot.resource, slot.note()) for slot, p in zip(slots, params, strict=True)]
