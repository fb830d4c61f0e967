"""The loop of one study: the only room that sees both a searcher and an executor, and both only as ports.

One thread, one writer; a searcher may think in a thread beside it, on a history that nobody changes. Events are applied
at once and committed in one batch before anything happens outside (a launch, a tracker's line): a crash leaves promises
that resume keeps, never deeds that the log does not know.

This page is one turn; `recorder` has the history and its log, `proposing` the searcher, `attempts` the executor,
`early` the stoppers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence

from hpo_engine.core.attempts import Attempts
from hpo_engine.core.commands import Commands, Parts, Remake, no_parts
from hpo_engine.core.early import EarlyStopping
from hpo_engine.core.outcome import why_none
from hpo_engine.core.ports import Executor, Listener, Searcher, Stopper, Store, Workspace
from hpo_engine.core.proposing import Proposer
from hpo_engine.core.recorder import Recorder
from hpo_engine.core.searcher_thread import Ask, Asker, InLine
from hpo_engine.core.surroundings import Look, Surroundings
from hpo_engine.core.tidying import Tidying
from hpo_engine.errors import EngineError, JournalError, SearcherError, StopperError, StudyGone, StudyLocked
from hpo_engine.failpoints import failpoint
from hpo_engine.store import inbox
from hpo_engine.study.events import AttemptEnded, EngineStarted, StopAsked, StudyClosed, TrialEnded
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.revision import outdated
from hpo_engine.study.trial import Exit, StopCause, Trial, TrialState
from hpo_engine.text.quoting import listed

_log = logging.getLogger(__name__)


class Engine:
    """Steps one study. Call `resume` once, then `step` until it returns False.

    Args:
        workspace: the files of its trials; inbox: where requests are left, see `store.inbox`; store: the log; history:
            the fold of that log.
        poll_s: how often growing result files are looked at (seconds).
        asker: makes what asks the searcher: in line, or in a thread while the loop continues.
        copied_from: the folder that the study's is a copy of, if trials were running there ("": it is no copy).
        check: raises if the study is no longer this engine's; called before each launch and each look at files.
        remake: makes the searcher and the stopper of a study that the user has changed, see `Commands`.
        look: finds out what the engine runs on, see `Surroundings`.
    """

    def __init__(
        self,
        workspace: Workspace,
        inbox: str,
        store: Store,
        history: History,
        searcher: Searcher,
        stopper: Stopper,
        executor: Executor,
        trackers: Sequence[Listener] = (),
        *,
        poll_s: float = 0.5,
        asker: Callable[[Ask], Asker] = InLine,
        copied_from: str = "",
        check: Callable[[], None] = lambda: None,
        remake: Remake = no_parts,
        look: Look | None = None,
    ) -> None:
        self.executor, self._workspace, self._inbox = executor, workspace, inbox
        self._recorder = Recorder(store, history, trackers)
        self._proposer = Proposer(self._recorder, searcher, asker)
        self._attempts = Attempts(self._recorder, executor, workspace, check)
        self._early = EarlyStopping(self._recorder, stopper, self._attempts)
        self._commands = Commands(self._recorder, self._attempts, remake, self._use)
        self._tidying = Tidying(self._recorder, self._proposer, workspace)
        self._surroundings = Surroundings(self._recorder, look)
        self._stopper, self._check, self._copied_from = stopper, check, copied_from
        self._poll_s, self._next_poll = poll_s, 0.0
        self._broken: SearcherError | StopperError | None = None

    @property
    def history(self) -> History:
        return self._recorder.history

    # -- what a driver calls ---------------------------------------------------------------------------------------

    def resume(self, now: float) -> int:
        """Starts the engine: adopts what an earlier engine left running. Returns how many trials are still running."""
        failpoint("resume.folded")
        self._surroundings.begin()
        for trial_id in self._workspace.recover(self.history.next_id):
            _log.warning("trial %d had begun before the power cut; it runs again", trial_id)
        self._recorder.record(EngineStarted(now, os.getpid(), os.uname().nodename, *self._workspace.place))
        if self._copied_from:  # in one commit: from then on the log has this folder as the study's own
            self._run_again_here(now)
        self._recorder.commit()
        self._tidying.again()
        adopted = self._attempts.adopt(now)
        self._early.stop_again(now)
        self._recorder.open_trackers(now)
        self._recorder.tell(now)
        return adopted

    def _run_again_here(self, now: float) -> None:
        """Trials that the log has as running belong to the folder that this one was copied from: this engine must not
        take them over, and their files in the copy may be incomplete."""
        for trial in self.history.running:
            assert trial.attempt is not None
            reason = f"was running in {self._copied_from}, of which this study is a copy"
            self._recorder.record(
                AttemptEnded(now, trial.id, trial.attempt.number, Exit(stop_cause=StopCause.COPIED).to_json(), reason)
            )

    def step(self, now: float) -> bool:
        """One turn: record what happened, decide, launch. False: the study is closed and nothing runs.

        Raises:
            JournalError: the event log cannot be written; nothing that depends on the event was done.
            SearcherError, StopperError: the searcher or a stopper failed; the study has been closed as failed.
            MachineError: no trial could be started for a minute, or the study's folder is gone.
            StudyLocked, StudyGone: the study is not this engine's any more: `leave` it.
        """
        self._take_requests(now)
        self._surroundings.record(now)
        self._attempts.reap(now)
        self._attempts.go_on(now)
        if now >= self._next_poll or now < self._next_poll - 2 * self._poll_s:
            self._next_poll = now + self._poll_s
            self._check()
            self._attempts.read_rows(now)
        self._end_early(now)
        self._recorder.commit()
        if not self._early.closing and (room := self._attempts.room(now)):
            self._launch(now, room)
        self._recorder.commit()
        self._tidying.tidy(now)
        self._recorder.tell(now)
        self._lay_ahead()
        history = self.history
        if history.running or not (self._early.closing or self._nothing_left()):
            return True
        self._close(now)
        if self._broken is not None:
            raise self._broken
        return False

    def interrupt(self, why: str, now: float, *, kill: bool = False, rule: str | None = None) -> None:
        """Stops running trials (they run again on resume), then the study.

        Args:
            kill: without a grace period. rule: the rule that stops the study (None: a user or a signal does).
        """
        if self.history.stop_asked is None:
            self._recorder.record(StopAsked(now, None, why, rule))
            for trial in self.history.running:
                if not trial.told_to_end:
                    reason = "the study was stopped" if rule else why
                    self._recorder.record(StopAsked(now, trial.id, reason, cause=StopCause.INTERRUPT.value))
            self._recorder.commit()
        for trial in self.history.running:
            self._attempts.stop(trial, StopCause.INTERRUPT, now, kill=kill)

    def stop_trial(self, trial_id: int, why: str, now: float, *, kill: bool = False) -> None:
        """Ends one trial; the study continues. Trials that have ended, or that do not exist, are left alone."""
        if trial_id not in self.history.open_ids:
            return
        trial = self.history.trials[trial_id]
        running = trial.state is TrialState.RUNNING
        self._recorder.record(StopAsked(now, trial_id, why))
        if not running:
            self._recorder.record(TrialEnded(now, trial_id, TrialState.STOPPED.value, reason=why))
        self._recorder.commit()
        if running:
            failpoint("trial.user-stop-asked")
            self._attempts.stop(trial, StopCause.USER, now, kill=kill)

    def close(self) -> None:
        """Releases everything; running attempts continue."""
        self._proposer.close()
        self._workspace.close()
        self._recorder.close_trackers()
        self.executor.close()
        self._recorder.close()

    def leave(self) -> None:
        """Like `close`, for an engine that has lost its study: trackers get no chance to write into its folder."""
        self._recorder.drop_trackers()
        self.close()

    # -- the parts of a turn ---------------------------------------------------------------------------------------

    def _take_requests(self, now: float) -> None:
        for path, request in inbox.pending(self._inbox):
            failpoint("command.taken")
            if request is None:
                _log.warning("%s is not a request; it is dropped", path)
            elif request.do != "stop":
                self._carry_out(request, path, now)
            elif request.trial is None:
                self.interrupt(request.why, now, kill=request.kill)
            else:
                self.stop_trial(request.trial, request.why, now, kill=request.kill)
            self._recorder.commit()
            failpoint("command.done")
            inbox.done(path)

    def _carry_out(self, request: inbox.Request, path: str, now: float) -> None:
        """Carries out a request of `Commands`, or says why not."""
        try:
            self._commands.carry_out(request, inbox.name_of(path), now)
        except (JournalError, StudyLocked, StudyGone):
            raise
        except (EngineError, ValueError, LookupError, TypeError) as error:
            inbox.refuse(path, str(error))

    def _use(self, parts: Parts) -> None:
        """Continues with other parts, see `Commands.edit`. A pending answer of the previous searcher is dropped."""
        self._proposer.close()
        self._proposer = Proposer(self._recorder, parts.searcher, parts.asker)
        self._stopper = parts.stopper
        self._early.use(parts.stopper)
        self._workspace.revise(self.history.spec)
        parts.adopt()

    def _nothing_left(self) -> bool:
        """Whether nothing can start any more, unless the user resumes a trial that is paused."""
        history, spent = self.history, self._proposer.exhausted
        if not history.open_ids:
            return spent
        return len(history.paused) == len(history.open_ids) and (spent or self._proposer.waits)

    def _end_early(self, now: float) -> None:
        try:
            if self._broken is None:
                self._early.stop_trials(now)
            self._early.end_study(now)
            self._early.log_idle(now)
            if not self._early.closing and (halt := self._stopper.halt(self.history, now)):
                self.interrupt(halt.reason, now, rule=halt.rule)
        except StopperError as problem:
            self._broken = problem
            if not self.history.stop_asked:
                self._early.over = str(problem)
            self._early.end_study(now)

    def _launch(self, now: float, room: int) -> None:
        """Launches at most `room` attempts: first trials that wait to run again, then new ones."""
        for trial in self.history.pending:
            if why := outdated(self.history, trial):
                self._recorder.record(TrialEnded(now, trial.id, TrialState.STOPPED.value, reason=why))
        wanted = min(room, len(self.history.pending) + self._proposer.wanted)
        free = self._attempts.free(wanted)
        again = [trial.id for trial in self.history.pending[:free]]
        for trial_id in again:
            self._attempts.intend(trial_id, now)
        new: list[int] = []
        try:
            new = self._proposer.propose(free - len(again), now)
        except SearcherError as problem:
            self._early.over, self._broken = str(problem), problem
        for trial_id in new:
            self._attempts.intend(trial_id, now)
        if again or new:
            self._recorder.commit()
            failpoint("attempt.intended")
        for trial_id in (*again, *new):
            self._attempts.start(trial_id, now)

    def _lay_ahead(self) -> None:
        """Prepares the folder of a future trial while others run."""
        if self._early.closing or self._proposer.exhausted:
            return
        if (ahead := self._workspace.next_ahead(self.history)) is not None:
            self._check()
            self._workspace.lay_ahead(ahead)

    def _close(self, now: float) -> None:
        history = self.history
        if history.stop_asked:
            state, reason = StudyState.STOPPED, history.stop_asked
        elif history.paused and not self._early.over:
            state, reason = StudyState.STOPPED, waits_for(history.paused)
        else:
            for trial in (*history.pending, *history.paused):
                self._recorder.record(TrialEnded(now, trial.id, TrialState.STOPPED.value, reason=self._early.over))
            good = history.best_id is not None and self._broken is None
            state = StudyState.FINISHED if good else StudyState.FAILED
            reason = self._early.over or (self._proposer.why_over() if good else why_none(history))
        self._workspace.clear_ahead()
        self._surroundings.record(now, last=True)
        left = 0 not in (history.trials_left, history.runs_left)
        by_rule = left and bool(self._early.over) and self._broken is None and not history.stop_asked
        self._recorder.record(StudyClosed(now, state.value, reason, by_rule))
        self._recorder.commit()
        failpoint("study.closed")
        self._recorder.tell(now)


def waits_for(paused: Sequence[Trial]) -> str:
    """Why a study stops while trials of it are paused."""
    numbers = listed([str(trial.id) for trial in paused], 5)
    return f"waits for paused {'trial' if len(paused) == 1 else 'trials'} {numbers}"
