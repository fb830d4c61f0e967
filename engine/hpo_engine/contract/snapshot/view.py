"""Each trial's view of the frozen folder, laid into its RESULT_DIR: real folders and copies of small files, links to
big ones. Whatever a trial writes into its own folder stays there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from hpo_engine.contract.paths import is_below
from hpo_engine.contract.snapshot.copying import MIB, READ, WRITE
from hpo_engine.contract.snapshot.found import File
from hpo_engine.contract.snapshot.survey import survey
from hpo_engine.errors import LaunchError
from hpo_engine.system.writing import write_all

# Copied first where not everything can be: what a script runs and reads first, and what it is likely to edit in place.
_CODE = (".py", ".sh", ".r", ".jl", ".js", ".lua", ".pl", ".rb", ".json", ".yaml", ".yml", ".toml", ".cfg", ".ini")
_LARGE = 100  # names in a folder that is worth to be handed on


@dataclass(frozen=True)
class Copy:
    """A file that each trial gets a copy of."""

    name: str
    mode: int
    data: bytes
    mtime_ns: int


@dataclass(frozen=True)
class Folder:
    """A folder of the view, and what is directly in it.

    `links`: names of frozen files that are linked; `kept_links`: (name, target) of the links in the frozen folder.
    `large`: it can be handed on from an ended trial, with all that is in it. Then the times of the folder and of the
    copies in it are set, to `mtime_ns`, so that every trial finds the same.
    """

    name: str  # "" is the top
    mode: int
    mtime_ns: int
    copies: tuple[Copy, ...] = ()
    links: tuple[str, ...] = ()
    kept_links: tuple[tuple[str, str], ...] = ()
    large: bool = False


@dataclass(frozen=True)
class View:
    """What each trial sees of the frozen folder; planned once, laid into one RESULT_DIR after the other.

    `folders`: parents first. `linked`: real paths that trials reach through links of ours, so that the executor can
    make them read-only. What a link of the user's own leads to outside is as writable as it is by hand.
    """

    frozen_dir: str
    folders: tuple[Folder, ...]
    linked: tuple[str, ...]

    @classmethod
    def of(
        cls,
        frozen_dir: str,
        *,
        source_dir: str | None = None,
        small_bytes: int = MIB,
        max_bytes: int = 16 * MIB,
        max_files: int = 500,
    ) -> View:
        """Plans the view; takes the write bits off the frozen files that trials get links to.

        Args:
            frozen_dir: absolute; source_dir: what it is a copy of: big files in that are linked, not copied.
            small_bytes: larger files are linked; max_bytes, max_files: of the copies of one trial, the rest is linked
            (a link costs half of a copy, and no space). The copies are held in memory.
        """
        found = survey(frozen_dir)
        copied: list[File] = []
        links: list[File] = []
        total = 0
        for file in sorted(found.files, key=_precedence):
            if file.size <= small_bytes and total + file.size <= max_bytes and len(copied) < max_files:
                copied.append(file)
                total += file.size
            else:
                links.append(file)
        for file in links:
            if file.mode & 0o222:
                with suppress(OSError):  # a copy that somebody made read-only as a whole
                    os.chmod(file.path, file.mode & ~0o222)
        kept = [(name, _target(frozen_dir, name)) for name in found.links]
        source = None if source_dir is None else os.path.realpath(source_dir)
        reached = [target for _, target in kept if source is not None and _is_our_link(target, source)]
        copies = [Copy(f.name, f.mode, _bytes(f), f.mtime_ns) for f in copied]
        many = len(found.files) > max_files  # else all is soon laid
        return cls(
            frozen_dir,
            tuple(_folders(frozen_dir, found.folders, copies, [f.name for f in links], kept, many)),
            _fewest(reached + ([frozen_dir] if links else []), frozen_dir),
        )

    @property
    def copies(self) -> list[Copy]:
        return [copy for folder in self.folders for copy in folder.copies]

    @property
    def links(self) -> list[str]:
        return [name for folder in self.folders for name in folder.links]

    def lay(self, result_dir: str) -> None:
        """Puts the view into a RESULT_DIR (absolute); one that was half laid before is made whole.

        Raises:
            LaunchError: RESULT_DIR is no folder, or a folder stands where a file must be.
        """
        self.put(self.folders, result_dir)

    def put(self, folders: Iterable[Folder], result_dir: str) -> None:
        """Puts some of its folders there, which are given parents first."""
        top = open_result_dir(result_dir)
        try:
            frozen = way_to(self.frozen_dir, result_dir)
            large = []
            for folder in folders:
                _lay(folder, top, result_dir, frozen)
                large += [folder] if folder.large else []
            for folder in reversed(large):  # a folder made in another one changes the time of that
                os.utime(folder.name, ns=(folder.mtime_ns, folder.mtime_ns), dir_fd=top, follow_symlinks=False)
        finally:
            os.close(top)


def open_result_dir(result_dir: str) -> int:
    """A descriptor of it. Raises LaunchError if it is no folder."""
    try:
        return os.open(result_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise LaunchError(f"{result_dir} is not a folder (it was removed or replaced)") from None


def way_to(frozen_dir: str, result_dir: str) -> str:
    """The frozen folder as a link in RESULT_DIR names it: relative within a study, so that the study can be moved."""
    study, name = os.path.split(frozen_dir)
    if not result_dir.startswith(f"{study}/"):
        return frozen_dir
    return "../" * (result_dir[len(study) + 1 :].rstrip("/").count("/") + 1) + name


def link_to(name: str, frozen: str) -> str:
    """The text of the link that stands for the frozen `name` in the same place; `frozen`: as `way_to` has it."""
    return f"{'' if os.path.isabs(frozen) else '../' * name.count('/')}{frozen}/{name}"


# -- the plan ----------------------------------------------------------------------------------------------------------


def _folders(
    frozen_dir: str,
    found: list[tuple[str, int]],
    copies: list[Copy],
    links: list[str],
    kept_links: list[tuple[str, str]],
    many: bool,
) -> Iterator[Folder]:
    """Each folder with its own; the large ones are those with many names in them, and all below such a one."""
    inside: dict[str, tuple[list[Copy], list[str], list[tuple[str, str]]]] = {"": ([], [], [])}
    inside |= {name: ([], [], []) for name, _ in found}
    held = dict.fromkeys(inside, 0)
    for copy in copies:
        inside[_parent(copy.name)][0].append(copy)
    for link in links:
        inside[_parent(link)][1].append(link)
    for kept in kept_links:
        inside[_parent(kept[0])][2].append(kept)
    for name in reversed(inside):
        held[name] += sum([len(names) for names in inside[name]])
        if name:
            held[_parent(name)] += held[name]
    large = set[str]()
    for name, mode in [("", 0), *found]:
        if name and many and (held[name] >= _LARGE or _parent(name) in large):
            large.add(name)
        mtime_ns = os.stat(os.path.join(frozen_dir, name)).st_mtime_ns if name in large else 0
        own = inside[name]
        yield Folder(name, mode, mtime_ns, tuple(own[0]), tuple(own[1]), tuple(own[2]), name in large)


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _precedence(file: File) -> tuple[bool, int, int, str]:
    code = file.name.lower().endswith(_CODE) or file.mode & 0o111 != 0
    return not code, file.name.count("/"), file.size, file.name


def _bytes(file: File) -> bytes:
    with open(os.open(file.path, READ), "rb") as source:
        return source.read(file.size)


def _target(frozen_dir: str, name: str) -> str:
    """Where a link of the frozen folder leads from within a view: the same, but never out of the view by `..`."""
    target = os.readlink(f"{frozen_dir}/{name}")
    if not os.path.isabs(target):
        inner = os.path.normpath(os.path.join(os.path.dirname(name), target))
        if inner == ".." or inner.startswith("../"):
            return os.path.realpath(f"{frozen_dir}/{name}")
    return target


def _is_our_link(target: str, source: str) -> bool:
    """Whether freezing made it in place of a copy: such links lead to files in the script's folder."""
    return is_below(target, source) and os.path.isfile(target)


def _fewest(paths: Iterable[str], frozen_dir: str) -> tuple[str, ...]:
    """Real paths without those that lie in another; one that holds the study itself is left out, since a trial that
    could write nothing there could not run."""
    frozen, out = os.path.realpath(frozen_dir), list[str]()
    for path in sorted({os.path.realpath(p) for p in paths}):
        holds_study = path != frozen and is_below(frozen, path)
        if not holds_study and not any(is_below(path, other) for other in out):
            out.append(path)
    return tuple(out)


# -- laying ------------------------------------------------------------------------------------------------------------


def _lay(folder: Folder, top: int, result_dir: str, frozen: str) -> None:
    if folder.name:
        lay_folder(top, folder.name, folder.mode)
    for copy in folder.copies:
        into = _anew(copy.name, top, result_dir)
        try:
            write_all(into, copy.data)
            os.fchmod(into, copy.mode)  # what the umask took from it
            if folder.large:
                os.utime(into, ns=(copy.mtime_ns, copy.mtime_ns))
        finally:
            os.close(into)
    for name in folder.links:
        _lay_link(link_to(name, frozen), name, top, result_dir)
    for name, target in folder.kept_links:
        _lay_link(target, name, top, result_dir)


def lay_folder(top: int, name: str, mode: int) -> None:
    try:
        os.mkdir(name, mode, dir_fd=top)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=top)
            os.mkdir(name, mode, dir_fd=top)


def _anew(name: str, top: int, shown: str) -> int:
    """A new file, open for writing; what stands there goes (a link itself, never what it leads to)."""
    try:
        return os.open(name, WRITE, 0o700, dir_fd=top)
    except FileExistsError:
        _away(name, top, shown)
        return os.open(name, WRITE, 0o700, dir_fd=top)


def _lay_link(target: str, name: str, top: int, shown: str) -> None:
    try:
        os.symlink(target, name, dir_fd=top)
    except FileExistsError:
        _away(name, top, shown)
        os.symlink(target, name, dir_fd=top)


def _away(name: str, top: int, shown: str) -> None:
    try:
        os.unlink(name, dir_fd=top)
    except IsADirectoryError:
        raise LaunchError(f"{shown}/{name} is a folder where the model folder has a file: remove it") from None
