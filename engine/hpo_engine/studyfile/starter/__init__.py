"""The commented study file that `hpo-engine init train.py` writes: a start that runs, and what else could stand there.

Works on texts: nothing is run, and only `look` knows the disk.
"""

from __future__ import annotations

from dataclasses import replace

from hpo_engine.contract.paths import absolute, is_below
from hpo_engine.errors import SpecError
from hpo_engine.studyfile.starter import layout, metrics, readers, usual
from hpo_engine.studyfile.starter.findings import Findings
from hpo_engine.studyfile.starter.interface import Project, Script, Texts
from hpo_engine.studyfile.starter.leftovers import leftovers
from hpo_engine.studyfile.starter.plan import plan
from hpo_engine.studyfile.starter.project import Folder
from hpo_engine.studyfile.starter.root import Root, from_root, relative, root_of


def starter(found: Findings) -> str:
    """The study file for a script.

    Raises:
        SpecError: the script's path or an argument is not text that a file can contain.
    """
    try:
        " ".join(found.script.arguments).encode()
    except UnicodeEncodeError:
        raise SpecError("an argument of the script is not UTF-8 text") from None
    try:
        found.place.encode()
    except UnicodeEncodeError:
        raise SpecError("the script's name is not UTF-8 text; rename it") from None
    return "\n".join(layout.lines(found)) + "\n"


def find(place: str, text: str, project: Project | None = None, arguments: tuple[str, ...] = ()) -> Findings:
    """What a script takes and reports.

    Args:
        place: the script's path as seen from the folder that trials run in. text: what stands in it.
        project: the folder that `place` is relative to. arguments: of a usual run of the script.
    """
    project = Texts({}) if project is None else project
    script = Script(place, text, project, arguments)
    reading = usual.followed(readers.read(script), arguments)
    made = plan(reading, project)
    searched = {entry.parameter.name for entry in made.searched}
    reading = replace(reading, words=usual.without(reading, searched, arguments))
    return Findings(place, script, reading, metrics.find(script, reading), made)


def look(script: str, arguments: tuple[str, ...], home: str | None) -> tuple[Findings, Root]:
    """The same for a script on the disk, with the folder that its trials run in.

    Args:
        script: its path. home: the folder of the study file; None: it is to be where the trials run.

    Raises:
        OSError: the script cannot be read.
    """
    with open(script, encoding="utf-8", errors="replace") as file:
        text = file.read()
    here, path = absolute(""), absolute(script)
    root = root_of(path, text, absolute(home) if home and is_below(path, absolute(home)) else here)
    if home is not None and not root.why and is_below(path, absolute(home)):
        root = Root(absolute(home))
    project = Folder(root.folder)
    words = tuple(from_root(word, here, root.folder) for word in arguments)
    found = find(relative(path, root.folder), text, project, words)
    texts = [text, " ".join(words), *(project.read(p.file) or "" for p in found.reading.parameters[:1] if p.file)]
    folder = "" if home is None or absolute(home) == root.folder else relative(root.folder, absolute(home))
    found = replace(found, model_dir=folder, python_path=root.python_path, leftovers=leftovers(root.folder, texts))
    return found, root
