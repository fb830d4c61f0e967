"""A text that is to become a study, checked while it is written; also when its folder is still to be sent."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import EngineError, SpecError

if TYPE_CHECKING:
    from hpo_engine.service.desk import Desk


def checked(
    desk: Desk, text: str, *, file: str = "algo.yaml", files: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What is wrong with a text, in the words of the command line.

    Args:
        file: what messages call it. files: contents of files of the folder that will be sent, by their paths: those
            that the text may name. None: no folder is sent; the script is looked for where the server would.

    Raises:
        EngineError: the files cannot be written.
    """
    if files is None:
        return _checked(desk, text, file, None)
    try:
        with tempfile.TemporaryDirectory(prefix="hpo-engine-check-") as scratch:
            for path, content in files.items():
                _lay(scratch, path, content)
            return _checked(desk, text, file, scratch)
    except OSError as error:
        raise EngineError(f"the server cannot check it: {error.strerror}") from None


def _lay(scratch: str, path: str, content: str) -> None:
    from hpo_engine.studyfile.wmla.arguments import inside

    target = inside(scratch, path)
    if target is None or target == scratch or "\0" in path:
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.lexists(target):
        with open(target, "w", encoding="utf-8", errors="replace") as out:
            out.write(content)
        os.chmod(target, 0o700)


def _checked(desk: Desk, text: str, file: str, folder: str | None) -> dict[str, Any]:
    from hpo_engine import assembly

    try:
        spec, _ = desk.checked(text, file=file, model_dir=folder)
        plan, notes = assembly.plan(spec), [*spec.notes, *assembly.warnings(spec)]
    except SpecError as error:
        problems = [problem._asdict() for problem in error.problems]
        for problem in problems if folder is not None else ():
            problem["text"] = problem["text"].replace(folder, "the folder")
        return {"ok": False, "problems": problems, "study": None, "notes": [], "plan": None}
    return {"ok": True, "problems": [], "study": spec.name, "notes": notes, "plan": plan or None}
