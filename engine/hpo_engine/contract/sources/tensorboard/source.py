"""The metric source `tensorboard`: event files below RESULT_DIR and LOG_DIR, whoever writes them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from hpo_engine.contract.paths import is_own_events
from hpo_engine.contract.sources.files import too_many
from hpo_engine.contract.sources.found import Found, FoundFile
from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.contract.sources.tensorboard import messages
from hpo_engine.contract.sources.tensorboard.curves import MAX_NAMED, Curves, Folder, Restart, Scalar
from hpo_engine.contract.sources.tensorboard.records import EventFile
from hpo_engine.errors import ContractError
from hpo_engine.plugins.card import Card, Option
from hpo_engine.system.files import Missing, open_file, open_folder
from hpo_engine.text.tables import counted

_NAMES = "**/*tfevents*"  # TensorBoard, too, knows them by this
_CHUNK = 256 << 10  # bytes that one look reads
_ALL = 1 << 62
_MOST_RECORDS = 5_000_000
_MOST_AGAIN = 20  # times that everything is read anew while a trial runs


class TensorBoard(MetricSource):
    """Scalars, by step; by epoch if the script logs that as a scalar, as Lightning does."""

    card = Card(
        "scalars in TensorBoard's event files, wherever the script writes them",
        options={
            "step": Option(
                "what tells the step: global_step, or the tag of a scalar; default: epoch if the script logs it, as "
                "Lightning does, else global_step",
                str,
                "",
            )
        },
    )
    patterns = (_NAMES,)

    def __init__(self, trial: TrialFiles, *, step: str = "") -> None:
        self.title = "TensorBoard's event files"
        self._found = Found(trial, self.patterns)
        self._root = trial.paths.study.root
        count_by = step or ("" if "epoch" in trial.named else "epoch")
        self._curves = Curves(trial.named, trial.objectives, "" if count_by in ("step", "global_step") else count_by)
        self._files: Sequence[FoundFile] = ()
        self._states: dict[str, _State] = {}
        self._left = False  # whether files have more than was read
        self._again = 0

    def look(self) -> bool:
        files = self._found.look()
        if files is not self._files:
            self._files = files
        elif not self._left and not self._curves.waiting:
            return False
        items, anew = self._read(_CHUNK)
        if (anew or self._curves.learn(items)) and self._again < _MOST_AGAIN:
            self._again += 1
            self._begin()
            items, _ = self._read(_ALL)
            self._curves.learn(items)
        elif not items and not self._curves.waiting:
            return False
        self._curves.feed(items)
        self.rows = self._curves.merged.rows
        return True

    def final(self, *, cut: bool) -> Reading:
        self._files = self._found.look()
        self._begin()
        items, _ = self._read(_ALL)
        if not self._states:
            raise Missing(f"{self.title} are missing")
        if self._curves.too_many:
            raise too_many(self.title, "scalars", MAX_NAMED + 1, MAX_NAMED)
        self._curves.learn(items)
        self._curves.feed(items, last=True)
        rows = tuple(self._curves.merged.rows)
        name = next(iter(self._states)) if len(self._states) == 1 else counted(len(self._states), "event file")
        damage = self._damage()
        return Reading(rows, name, damage or (None if rows else f"{name} has no scalars"))

    def steps(self) -> str:
        return (
            f"a step is {'an epoch' if self._curves.by_epoch else 'the global step that is logged with the objective'}"
        )

    # -- files -----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._curves.begin()
        self._states = {}

    def _read(self, most: int) -> tuple[list[Scalar | Restart], bool]:
        """What came since the last call, in order of time; and whether a file was written anew, so that all has to be
        read again. About `most` bytes are read."""
        items: list[tuple[float, Scalar | Restart]] = []
        left, anew, self._left = most, False, False
        for file in self._files:
            if is_own_events(file.name):
                continue
            now = (file.inode, file.size, file.mtime_ns)
            state = self._states.get(file.title)
            if state is not None and state.seen == now:
                continue
            if left <= 0:
                self._left = True
                continue
            try:
                fd, found = self._open(file)
            except (ContractError, OSError):
                continue
            try:
                if state is None:
                    state = self._states[file.title] = _State(file, found.st_ino)
                anew |= state.inode != found.st_ino or not state.file.is_same(fd, found.st_size)
                if anew:
                    return [], True
                for item in state.items(self._curves, fd, found.st_size, left):
                    state.time = max(state.time, item.time)
                    items.append((state.time, item))
                left -= state.file.read
                state.seen = None if state.file.more else now
                self._left |= state.file.more
            finally:
                os.close(fd)
        items.sort(key=lambda entry: entry[0])
        return [item for _, item in items], False

    def _open(self, file: FoundFile) -> tuple[int, os.stat_result]:
        folder = open_folder(self._root, file.folder)
        try:
            return open_file(folder, file.name.rpartition("/")[2], _ALL)
        finally:
            os.close(folder)

    def _damage(self) -> str:
        for title, state in self._states.items():
            if state.file.damaged is not None:
                return f"{title} is damaged at byte {state.file.damaged}: what follows was not read"
        spoilt = sum(state.file.spoilt for state in self._states.values())
        return f"{self.title} have {counted(spoilt, 'record')} with a wrong checksum, which were passed over" * (
            spoilt > 0
        )


class _State:
    """What was read of one file. `seen`: the file as it was, if all of it was read."""

    def __init__(self, found: FoundFile, inode: int) -> None:
        self.file = EventFile(found.before)
        self.inode = inode
        self.time = 0.0
        self.seen: tuple[int, int, int] | None = None
        self._folder = Folder(found.name.rpartition("/")[0], found.called)

    def items(self, curves: Curves, fd: int, size: int, most: int) -> Iterator[Scalar | Restart]:
        for record in self.file.records(fd, size, most):
            try:
                event = messages.event(record)
            except ValueError:
                continue
            yield from curves.scalars(self._folder, event)
