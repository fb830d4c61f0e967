"""The commented study file that `hpo-engine init train.py` writes: a start that runs, and what else could stand there.

Works on texts alone: nothing is run.
"""

from __future__ import annotations

from hpo_engine.errors import SpecError
from hpo_engine.studyfile.starter import layout, metrics, readers
from hpo_engine.studyfile.starter.findings import Findings
from hpo_engine.studyfile.starter.interface import Project, Script, Texts
from hpo_engine.studyfile.starter.plan import plan


def starter(found: Findings) -> str:
    """The study file for a script.

    Raises:
        SpecError: the script's path is not text that a file can contain.
    """
    try:
        found.place.encode()
    except UnicodeEncodeError:
        raise SpecError("the script's name is not UTF-8 text; rename it") from None
    return "\n".join(layout.lines(found)) + "\n"


def find(place: str, text: str, project: Project | None = None, arguments: tuple[str, ...] = ()) -> Findings:
    """What a script takes and reports.

    Args:
        place: the script's path as seen from the folder that the file will be in. text: what stands in it.
        project: the folder that `place` is relative to. arguments: of a usual run of the script.
    """
    project = Texts({}) if project is None else project
    script = Script(place, text, project, arguments)
    reading = readers.read(script)
    found = metrics.find(script, reading)
    return Findings(place, script, reading, found, plan(reading, project))
