"""All that is known of a script, and what has to be said about it."""

from __future__ import annotations

from dataclasses import dataclass

from hpo_engine.studyfile.starter.interface import Parameter, Reading, Script
from hpo_engine.studyfile.starter.metrics import Metrics
from hpo_engine.studyfile.starter.plan import Plan, placed


@dataclass(frozen=True)
class Findings:
    """`place`: the script's path, relative to the study file."""

    place: str
    script: Script
    reading: Reading
    metrics: Metrics
    plan: Plan

    @property
    def placed(self) -> bool:
        """Whether the script gets its parameters elsewhere than from config.json."""
        return any(placed(p) for p in self.reading.parameters)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user has to know or to do, a sentence or two each."""
        out = list(self.reading.notes)
        if not self.reading.parameters and "config.json" not in self.script.text:
            out.append(
                "the script does not seem to read config.json yet; until it does, or command has its parameters, as "
                "in --lr {learning_rate}, every trial is the same."
            )
        for parameter in self.plan.missing:
            if parameter.positional:
                out.append(f"the script needs a word for {stand_in(parameter)} in command.")
            else:
                out.append(f"the script needs {parameter.option}, and no value is known: write it into command.")
        out += self.metrics.notes
        return tuple(out)


def stand_in(parameter: Parameter) -> str:
    """What stands in the command for a word that nobody knows."""
    return parameter.name.upper()
