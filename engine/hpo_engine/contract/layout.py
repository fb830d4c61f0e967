"""The folders of trials as the loop needs them: made when a trial is due or before, and again when they vanish.

Writes files and decides nothing about trials.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

from hpo_engine.contract import binding, carrying
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.snapshot import Views
from hpo_engine.errors import LaunchError, MachineError
from hpo_engine.failpoints import failpoint
from hpo_engine.study.history import History
from hpo_engine.study.trial import Origin, Trial
from hpo_engine.system.faults import placed


class Layout:
    """`uprooted`: trials that were running when somebody removed results/, logs/ or trials/.

    Args:
        views: put the model folder's view into a fresh RESULT_DIR.
        user: what `contract.user_of` says.
    """

    def __init__(self, paths: StudyPaths, views: Views, user: str) -> None:
        self.paths, self._views, self._user = paths, views, user
        self._has_log = os.path.exists(paths.db)
        self._ahead: set[int] = set()  # trials to come whose folders are laid out already
        self.uprooted: set[int] = set()

    def prepare(self, trial: Trial, config: Mapping[str, Any], history: History) -> None:
        """Lays out the trial's folder for its latest attempt.

        One that goes on from the trial's own files finds them as they are. For any other, what an earlier attempt left
        is set aside, and RESULT_DIR is fresh, or a copy of the files that the trial starts from.

        Raises:
            LaunchError: a link or a file stands where a folder must be, or the files to go on from are gone.
            MachineError: the study's folder is gone.
            OSError: see `faults.at_fault`.
        """
        if _goes_on(trial):
            carrying.require_own(self.paths.trial(trial.id))
        try:
            self._prepare(trial, config, history)
        except OSError as error:
            raise placed(error, self.paths.trial(trial.id).result_dir) from None

    def _prepare(self, trial: Trial, config: Mapping[str, Any], history: History) -> None:
        try:
            self._lay_out(trial, config, history)
        except (FileNotFoundError, LaunchError) as error:
            # Somebody may have removed results/, or all of it, a moment ago or while the study ran.
            there = binding.standing(self.paths) and os.path.lexists(self.paths.trial(trial.id).result_dir)
            if there and isinstance(error, LaunchError):
                raise
            self.make_again(history, but=trial.id)
            binding.lay_out(self.paths.trial(trial.id))  # there is to be a place where earlier attempts are set aside
            self._lay_out(trial, config, history)

    def _lay_out(self, trial: Trial, config: Mapping[str, Any], history: History) -> None:
        paths, number = self.paths.trial(trial.id), len(trial.attempts)
        goes_on = _goes_on(trial)
        if number > 1 and not goes_on:
            _make_way(self.paths, trial)
            failpoint("trial.aside")
        if trial.id in self._ahead and trial.origin is None:
            self._ahead.remove(trial.id)
            self._views.finish(paths.result_dir)
        else:
            self._ahead.discard(trial.id)
            binding.lay_out(paths)
            if number > 1:
                os.makedirs(paths.attempt(number), exist_ok=True)
            if goes_on:
                self._take_up(trial, history)
            elif trial.origin is not None:
                self._start_from(trial, trial.origin, history)
            else:
                self._views.lay(paths.result_dir)
        failpoint("trial.laid-out")
        binding.write_config(paths, config)
        failpoint("trial.config-written")

    def _take_up(self, trial: Trial, history: History) -> None:
        """RESULT_DIR is used again; first, what trials that have not ended start from is kept for their retries."""
        paths, done = self.paths.trial(trial.id), trial.results[-1].attempt
        if done == len(trial.attempts) - 1 and any(t.origin == Origin(trial.id, done) for t in history.open):
            carrying.keep(paths, done)
        self._views.carry_on(paths.result_dir)

    def _start_from(self, trial: Trial, origin: Origin, history: History) -> None:
        paths, later = self.paths.trial(trial.id), history.trials[origin.trial].attempts[origin.attempt :]
        latest = all(a.started_at is None and (a.exit is None or a.exit.unstarted) for a in later)
        carrying.start_from(paths, self.paths.trial(origin.trial), origin.attempt, latest=latest)
        self._views.carry_on(paths.result_dir)

    def next_ahead(self, history: History) -> int | None:
        """The trial to come whose folder can be laid out while others run; None if there is no need of any."""
        first, limit = history.next_id, history.spec.budget.trials
        last = first + len(history.open_ids) if limit is None else min(limit, first + len(history.open_ids))
        return next((i for i in range(first, last) if i not in self._ahead), None)

    def lay_ahead(self, trial_id: int) -> None:
        """Lays a trial's folder out before it is due, so that a slot that gets free waits for less."""
        paths = self.paths.trial(trial_id)
        try:
            binding.lay_out(paths)
            self._views.begin(paths.result_dir)
        except (LaunchError, OSError):
            return  # it will be tried again, and told, when the trial is due
        self._ahead.add(trial_id)

    def over(self, trial_id: int) -> None:
        """The trial has ended for good, with all its processes: a later one may have what it did not touch."""
        self._views.ended(self.paths.trial(trial_id).result_dir)

    def clear_ahead(self) -> None:
        for trial_id in self._ahead:
            paths = self.paths.trial(trial_id)
            for folder in (paths.result_dir, paths.log_dir, paths.own):
                shutil.rmtree(folder, ignore_errors=True)
        self._ahead.clear()

    def was_uprooted(self, trial_id: int, history: History) -> bool:
        """Whether somebody removed the folders above the trial's own while it ran. Raises MachineError as `prepare`."""
        if not binding.standing(self.paths):
            self.make_again(history)
        return trial_id in self.uprooted

    def make_again(self, history: History, but: int | None = None) -> None:
        """Makes the study's own folders where they are missing; with them went what running trials had there.

        Raises:
            MachineError: the study's folder itself is gone.
        """
        if not os.path.isdir(self.paths.root) or (self._has_log and not os.path.exists(self.paths.db)):
            raise MachineError(f"{self.paths.root} is gone: something removed the study while it ran")
        self._ahead.clear()
        if not binding.standing(self.paths):
            self.uprooted |= {trial.id for trial in history.running if trial.id != but}
        binding.lay_out_study(self.paths, self._user)


def _goes_on(trial: Trial) -> bool:
    return trial.attempt is not None and trial.attempt.resume == trial.id


def _make_way(study: StudyPaths, trial: Trial) -> None:
    """Sets aside what the last attempt that ran has left."""
    earlier = trial.attempts[:-1]
    ran = [a.number for a in earlier if a.exit is None or not a.exit.unstarted]
    if ran and ran[-1] == earlier[-1].number:
        binding.set_aside(study.trial(trial.id), ran[-1])
    else:  # the one before never began: what it has laid out is nothing to keep
        binding.make_way(study.trial(trial.id), ran[-1] if ran else 0)
