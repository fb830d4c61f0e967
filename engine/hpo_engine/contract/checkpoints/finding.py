"""The checkpoints in RESULT_DIR: what a trial has written, which of them is the newest, how much they take up.

No link is followed, and what came with the script's own folder is never taken for the trial's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hpo_engine.contract.checkpoints import patterns
from hpo_engine.contract.checkpoints.whole import is_whole
from hpo_engine.contract.sources.earlier import Earlier
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.tree import Tree
from hpo_engine.study.spec import Checkpoints


@dataclass(frozen=True)
class Left:
    """What an attempt has left: its newest checkpoint by its path in RESULT_DIR (None: it has written none), and the
    bytes that all checkpoints of the trial take up."""

    newest: str | None
    bytes: int


@dataclass
class Group:
    """The files of one checkpoint, by their paths in RESULT_DIR. `fresh`: this attempt has written to one of them."""

    name: patterns.Name
    files: dict[str, os.stat_result] = field(default_factory=dict)
    fresh: bool = False

    @property
    def newer(self) -> tuple[int, int, bool, tuple[int, ...], str]:
        """A key: the greatest is the one to go on from. Equal times are told apart by the names."""
        path = self.name.path
        written = max(found.st_mtime_ns for found in self.files.values())
        return -self.name.rank, written, patterns.is_last(path), patterns.steps_in(path), path


def left(trial: TrialFiles, chosen: Checkpoints) -> Left:
    """What the trial's latest attempt has left. Never raises."""
    groups = all_of(trial, chosen)
    fresh = sorted([group for group in groups if group.fresh], key=lambda group: group.newer, reverse=True)
    newest = next((group.name.path for group in fresh if _is_sound(trial, group)), None)
    return Left(newest, sum([taken_up(found) for group in groups for found in group.files.values()]))


def newest(trial: TrialFiles, chosen: Checkpoints) -> str | None:
    """The newest checkpoint that any attempt of the trial has written, by its path in RESULT_DIR. Never raises."""
    groups = sorted(all_of(trial, chosen), key=lambda group: group.newer, reverse=True)
    return next((group.name.path for group in groups if _is_sound(trial, group)), None)


def all_of(trial: TrialFiles, chosen: Checkpoints) -> Sequence[Group]:
    """The checkpoints that are the trial's own, of whichever of its attempts. Never raises."""
    earlier, groups = Earlier(trial.paths, trial.attempt, trial.placed), dict[patterns.Name, Group]()
    for path, name in _matching(trial.result_tree, chosen):
        at = f"{trial.paths.result_dir}/{path}"
        try:
            found = os.lstat(at)
        except OSError:
            continue
        if not stat.S_ISREG(found.st_mode) or earlier.came_along(at, found) or earlier.is_copied(found):
            continue
        group = groups.setdefault(name, Group(name))
        group.files[path] = found
        group.fresh |= earlier.size(at, found) is not None
    return list(groups.values())


def files_of(result_dir: str, chosen: Checkpoints) -> list[str]:
    """All files in a RESULT_DIR that look like parts of checkpoints, whoever wrote them (absolute paths)."""
    return [f"{result_dir}/{path}" for path, _ in _matching(Tree(result_dir), chosen)]


def taken_up(found: os.stat_result) -> int:
    """Bytes that a file takes up on the disk: one with holes less than its size."""
    return found.st_blocks * 512


def _matching(tree: Tree, chosen: Checkpoints) -> Iterator[tuple[str, patterns.Name]]:
    tree.look()
    names: Callable[[str], patterns.Name | None]
    names = patterns.Chosen(chosen.patterns).of if chosen.patterns else patterns.Usual(tree.names).of
    for path in tree.names:
        if (name := names(path)) is not None:
            yield path, name


def _is_sound(trial: TrialFiles, group: Group) -> bool:
    """Whether none of its files was cut off while it was written."""
    return all(is_whole(f"{trial.paths.result_dir}/{path}", found.st_size) for path, found in group.files.items())
