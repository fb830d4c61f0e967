"""What was submitted, checked as the command line checks a study file: with the uploaded model in a folder."""

from __future__ import annotations

import os
import random
import secrets
import shutil
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from hpo_engine.errors import Problem, SpecError
from hpo_engine.service.records.owncode import has_own_code, spec_apart
from hpo_engine.system.faults import at_fault
from hpo_engine.text.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hpo_engine.service.desk.values import Model
    from hpo_engine.service.intake.spool import Spool
    from hpo_engine.service.intake.unpacker import Unpacker
    from hpo_engine.service.places import ServicePaths
    from hpo_engine.study.spec import StudySpec
    from hpo_engine.studyfile.document import Document

SMALL_BYTES = 64 << 10
"""A lone script up to this is kept in the database, so that it needs no sync of its own."""


class Kept(NamedTuple):
    """An upload that was kept: under `name` in `models`, or as its `content` by the caller. `folder`: where it is
    unpacked now."""

    name: str
    folder: str
    content: bytes | None


def read(text: str, file: str) -> Document:
    """Raises SpecError."""
    from hpo_engine.studyfile import document

    return document.read_document(text, file)


def spec_of(
    doc: Document,
    text: str,
    root: str,
    folder: str | None,
    *,
    user: str | None = None,
    name: str | None = None,
    apart: bool = False,
) -> tuple[StudySpec, str]:
    """The study that a document describes, and the text to keep of it, without secrets.

    Args:
        root: of the studies. folder: with the uploaded model; None: there is none, and paths are the server's.
        user: who submits it. name: what the study is called if the document does not say.
        apart: this process is there for this study alone, and may load code that comes with it.

    Raises:
        SpecError: with every problem in it.
    """
    from hpo_engine import assembly
    from hpo_engine.isolation.installed import service_variables

    if not apart and has_own_code(doc):
        return spec_apart(text, doc.file, root, folder, user, name)
    env = service_variables(root, os.environ)
    return assembly.spec_of(doc, text, folder or root, env, model_dir=folder, user=user, name=name)


def settled(spec: StudySpec, folder: str | None, root: str) -> StudySpec:
    """The study as it will be once its folder is made: what is in the upload's `folder` now is in the study's then."""
    from hpo_engine import studies
    from hpo_engine.contract.paths import StudyPaths

    if folder is None:
        return spec
    moved: StudySpec = studies.rebased(spec, folder, StudyPaths(f"{root}/{spec.name}").model)
    return moved


def new_name(user: str, now: float) -> str:
    """A name for a study that has none. `now`: UTC seconds."""
    from hpo_engine.studyfile import wmla

    return wmla.new_name(user, now, random.Random())


_MOST_LAID = 32


@dataclass
class _Laid:
    """A folder with a lone script, removed with the `stack`. `users`: requests that are being checked with it."""

    folder: str
    stack: ExitStack
    users: int = 0


class Uploads:
    """Uploaded models until their studies have folders: small scripts in the database, all else unpacked in `models`.

    Args:
        places: of the service.
    """

    def __init__(self, places: ServicePaths, spool: Spool) -> None:
        self._places, self._spool = places, spool
        self._unpacker: Unpacker | None = None
        self._laid: dict[tuple[bytes, str], _Laid] = {}  # the one that was used last is the last one
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, model: Model, script: str) -> Iterator[Kept]:
        """Keeps an upload, durably but for a small script, whose bytes are to be kept by the caller; if the block
        raises, it is gone again.

        Args:
            script: the name of a lone script; of a tar, the script that it must have ("": none).

        Raises:
            SpecError: it is not sound. TooLarge.
        """
        if model.kind == "script" and model.size <= SMALL_BYTES:
            with open(model.path, "rb") as file:
                content = file.read()
            with self._shared(content, script) as folder:
                yield Kept("", folder, content)
            return
        name = secrets.token_hex(16)
        outer = f"{self._places.models}/{name}"
        os.makedirs(outer, mode=0o700)
        try:
            self._unpacking().extract(model, f"{outer}/model", script)
            _sync(self._places.models)
            yield Kept(name, f"{outer}/model", None)
        except BaseException:
            shutil.rmtree(outer, ignore_errors=True)
            raise

    @contextmanager
    def laid(self, content: bytes, script: str) -> Iterator[str]:
        """A folder with a lone script, there until the end of the block. Raises SpecError: it cannot be called that."""
        with self._spool.scratch() as scratch:
            folder = f"{scratch}/model"
            os.mkdir(folder, 0o700)
            _lay(content, folder, script)
            yield folder

    @contextmanager
    def _shared(self, content: bytes, script: str) -> Iterator[str]:
        """As `laid`; clients send one script again and again, so its folder is kept for the next ones."""
        with self._lock:
            found = self._laid.pop((content, script), None)
            if found is None or not os.path.lexists(f"{found.folder}/{script}"):  # or somebody has cleaned up
                stack = ExitStack()
                found = _Laid(stack.enter_context(self.laid(content, script)), stack)
            self._laid[content, script] = found
            found.users += 1
        try:
            yield found.folder
        finally:
            with self._lock:
                found.users -= 1
                idle = [key for key, laid in self._laid.items() if not laid.users]
                for key in idle[: max(0, len(self._laid) - _MOST_LAID)]:
                    self._laid.pop(key).stack.close()

    @contextmanager
    def held(self, kept: str, content: bytes | None, script: str) -> Iterator[str | None]:
        """The folder of what was kept; None: nothing was uploaded."""
        if kept:
            yield f"{self._places.models}/{kept}/model"
        elif content is not None:
            with self.laid(content, script) as folder:
                yield folder
        else:
            yield None

    def drop(self, kept: str) -> None:
        """Removes what is not needed any more; "": nothing."""
        if kept:
            shutil.rmtree(f"{self._places.models}/{kept}", ignore_errors=True)

    def sweep(self, needed: Collection[str]) -> None:
        """Removes what no submission needs: it belonged to requests that were not answered."""
        os.makedirs(self._places.models, mode=0o700, exist_ok=True)
        for name in os.listdir(self._places.models):
            if name not in needed:
                self.drop(name)

    def close(self) -> None:
        with self._lock:
            for laid in self._laid.values():
                laid.stack.close()
            self._laid.clear()
            if self._unpacker is not None:
                self._unpacker.close()

    def _unpacking(self) -> Unpacker:
        from hpo_engine.service.intake.unpacker import Unpacker

        with self._lock:
            if self._unpacker is None:
                self._unpacker = Unpacker(self._spool)
            return self._unpacker


def script_of(doc: Document) -> str:
    """The script that a document wants to run, relative to the model folder; "": it does not say, or is not sound."""
    from hpo_engine.contract.command import script_of as script_in
    from hpo_engine.studyfile import wmla
    from hpo_engine.studyfile.common import split_command

    if wmla.is_request(doc):
        return wmla.main_script(doc) or ""
    command: Any = doc.data.get("command") if isinstance(doc.data, dict) else None
    try:
        words = split_command(command) if isinstance(command, str) else command
    except ValueError:
        words = None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        return ""
    return script_in(words) or ""


def _lay(content: bytes, folder: str, script: str) -> None:
    from hpo_engine.studyfile.wmla.arguments import inside

    target = inside(folder, script)
    if target is None or target == folder:
        raise SpecError([Problem("model", f"{quoted(script)} is outside the model's folder; name a file in it")])
    try:
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700), "wb") as file:
            file.write(content)  # executable: a command may run it by its name
    except (OSError, ValueError) as error:
        if at_fault(error):
            raise
        why = getattr(error, "strerror", None) or str(error)
        raise SpecError([Problem("model", f"a script cannot be called {quoted(script)}: {why}")]) from None


def _sync(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
