"""All that is known of a script, and what has to be said about it."""

from __future__ import annotations

from dataclasses import dataclass

from hpo_engine.studyfile.starter.interface import Parameter, Reading, Script
from hpo_engine.studyfile.starter.leftovers import Leftovers
from hpo_engine.studyfile.starter.metrics import Metrics
from hpo_engine.studyfile.starter.plan import Plan, placed


@dataclass(frozen=True)
class Findings:
    """All that is known of a script.

    Attributes:
        place: the script's path, relative to `model_dir`, or to the study file if that is "".
        model_dir: the folder that trials run in, relative to the study file.
        python_path: modules are imported from that folder which Python does not find by itself.
        leftovers: what of it trials do not need.
    """

    place: str
    script: Script
    reading: Reading
    metrics: Metrics
    plan: Plan
    model_dir: str = ""
    python_path: bool = False
    leftovers: Leftovers = Leftovers()

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
        if self.leftovers.problem:
            out.append(f"{self.leftovers.problem} (exclude in the study file)")
        return tuple(out)


def stand_in(parameter: Parameter) -> str:
    """What stands in the command for a word that nobody knows."""
    return parameter.name.upper()
