"""The commented study file that `hpo-engine init train.py` writes: a start that runs, and what else could stand there.

Works on texts alone: nothing is run.
"""

from __future__ import annotations

from hpo_engine.errors import SpecError
from hpo_engine.studyfile.starter import layout, metrics, readers
from hpo_engine.studyfile.starter.interface import Project, Script, Texts


def starter(place: str, text: str, project: Project | None = None, arguments: tuple[str, ...] = ()) -> str:
    """A study file for a script.

    Args:
        place: the script's path as seen from the folder that the file will be in. text: what stands in it.
        project: the folder that `place` is relative to. arguments: of a usual run of the script.

    Raises:
        SpecError: the path is not text that a file can contain.
    """
    try:
        place.encode()
    except UnicodeEncodeError:
        raise SpecError("the script's name is not UTF-8 text; rename it") from None
    return "\n".join(layout.lines(find(place, text, project, arguments))) + "\n"


def remarks(place: str, text: str, project: Project | None = None, arguments: tuple[str, ...] = ()) -> list[str]:
    """What has to be done to the script, a sentence or two each: the file has them as NOTEs."""
    return list(layout.remarks(find(place, text, project, arguments)))


def find(place: str, text: str, project: Project | None = None, arguments: tuple[str, ...] = ()) -> layout.Findings:
    """What a script takes and reports. Arguments: see `starter`."""
    script = Script(place, text, Texts({}) if project is None else project, arguments)
    reading = readers.read(script)
    return layout.Findings(place, script, reading, metrics.find(script, [p.name for p in reading.parameters]))
