"""One trial that is trained with one set of values after another, as a list says: so `replay` trains a lineage anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo_engine.errors import Problem, SearcherError, SpecError
from hpo_engine.plugins.card import Card
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.searchers.halving import rationed
from hpo_engine.space.params import json_text, plain
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Trial, TrialState

_PLACE = "segment"


@dataclass(frozen=True)
class _Segment:
    """`to`: the amount of the resource at which it ends."""

    to: int
    params: dict[str, Any]


class Schedule(Searcher):
    """Trains trial 0 to the end of the first segment with its values, then goes on with those of the next one.

    Args:
        segments: [{"to": 3, "params": {...}}, ...]: `to` rises, up to the most of the resource; each has the values of
            all parameters that apply.
    """

    traits = Traits(
        card=Card(
            summary="one trial, with one set of values after another, as a list says; needs `resource`",
            suits="a schedule that is known, such as one that `pbt` has found: `hpo-engine replay` makes such a study",
            cost="0.05 ms",
            source="-",
            open="`segments`: a list of `{to: 3, params: {lr: 0.1}}`; `to` is the amount of the resource at which the "
            "next one begins",
        ),
        quick=True,
        listed=True,
        needs_resource=True,
        carries_on=True,
        many_objectives=True,
        size=1,
        usual_trials=1,
    )  # fmt: skip

    def __init__(self, spec: StudySpec, **options: Any) -> None:
        self._resource = rationed(spec)
        problems = [
            Problem(f"options.{name}", "is not an option of schedule") for name in options if name != "segments"
        ]
        self._segments, found = _read(options.get("segments"), spec)
        if problems := [*problems, *found]:
            raise SpecError(problems)
        if len(self._segments) > 1 and self._resource.resume == "never":
            raise SpecError(
                [Problem("resource.resume", "a schedule needs auto or always: it goes on from checkpoints")]
            )

    def why(self, before: History, trial: Trial) -> str:
        return "the one trial of a schedule that was given"

    def ask(self, history: History, count: int) -> list[Proposal]:
        if not history.trials:
            return [self._proposal(0)]
        trial = history.trials[0]
        place = next((i for i, segment in enumerate(self._segments) if segment.to > trial.trained), None)
        if trial.state is not TrialState.COMPLETED or place is None:
            return []
        if self._resource.resume != "always" and trial.results[-1].checkpoint is None:
            raise SearcherError(
                f"the schedule cannot go on: trial 0 left no checkpoint in its RESULT_DIR after {self._resource.name} "
                f"{trial.trained}; see `checkpoints` and `resource.resume` in the study file"
            )
        return [self._proposal(place, carry_on=0)]

    def _proposal(self, place: int, carry_on: int | None = None) -> Proposal:
        segment = self._segments[place]
        return Proposal(plain(segment.params), segment.to, carry_on=carry_on, note={_PLACE: place})

    def planned(self) -> str:
        parts = len(self._segments)
        return f"1 trial of {self._segments[-1].to:,} {self._resource.name} in {parts} segment{'s' * (parts != 1)}"


def _read(given: Any, spec: StudySpec) -> tuple[list[_Segment], list[Problem]]:
    """The segments, and what is wrong with them."""
    path, most = "options.segments", rationed(spec).max
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        return [], [Problem(path, "must be a list of {to: ..., params: {...}}, one at least")]
    out: list[_Segment] = []
    problems: list[Problem] = []
    for i, entry in enumerate(given):
        at = f"{path}[{i}]"
        if not isinstance(entry, Mapping) or set(entry) != {"to", "params"}:
            problems.append(Problem(at, f"must be {{to: ..., params: {{...}}}}, not {json_text(entry)}"))
            continue
        least = out[-1].to + 1 if out else 1
        if type(entry["to"]) is not int or not least <= entry["to"] <= most:
            problems.append(Problem(f"{at}.to", f"must be a whole number from {least} to {most}"))
        elif wrong := spec.space.problem_with(entry["params"]):
            problems.append(Problem(f"{at}.params", wrong))
        else:
            out.append(_Segment(entry["to"], spec.space.tidied(entry["params"])))
    return out, problems
