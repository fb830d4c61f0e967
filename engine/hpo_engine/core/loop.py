"""The loop of one study: the only room that sees both a searcher and an executor, and both only as ports.

One thread, one writer; a searcher may think in a thread beside it, on a history that nobody changes. Events are applied
at once and committed in one batch before anything happens outside (a launch, a tracker's line): a crash leaves promises
that resume keeps, never deeds that the log does not know.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

from hpo_engine.contract import binding
from hpo_engine.contract.layout import Layout
from hpo_engine.contract.outputlog import logfiles
from hpo_engine.contract.paths import StudyPaths, identity
from hpo_engine.contract.snapshot import Views
from hpo_engine.contract.snapshot.redirect import NOWHERE, Redirect
from hpo_engine.contract.sources import metrics
from hpo_engine.core.outcome import judge, why_none, without_value
from hpo_engine.core.ports import Adoption, Ended, Executor, Launch, Searcher, Started, Stopper, Store, Tracker, no_more
from hpo_engine.core.searcher_thread import Answer, Asker, InLine
from hpo_engine.core.trouble import Trouble
from hpo_engine.errors import ContractError, EngineError, LaunchError, SearcherError
from hpo_engine.failpoints import failpoint
from hpo_engine.store import inbox
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    AttemptStarted,
    EngineStarted,
    Event,
    MetricsSeen,
    StopAsked,
    StudyClosed,
    TrialEnded,
    TrialProposed,
    apply,
)
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.trial import (
    COPIED,
    DIVERGED,
    EARLY,
    INTERRUPT,
    STUDY_OVER,
    TIME_LIMIT,
    USER,
    Exit,
    Trial,
    TrialState,
)
from hpo_engine.system.faults import at_fault, full, out_of_room, placed, told
from hpo_engine.text.tables import counted

_log = logging.getLogger(__name__)

_LOG_MIN = 1 << 12
_LEFT_TOLD = 3
_PATIENCE_S = 0.005  # an answer that comes this soon saves a turn


class Engine:
    """Steps one study. Make it, `resume` it once, then `step` until that says False.

    Args:
        paths: the study's folder; store: its log; history: the fold of that log.
        views: put the model folder's view into a fresh RESULT_DIR; protect: paths that this view links to.
        base_env: the environment that trials inherit; redirect: paths into the model folder, to the view of it.
        poll_s: how often growing result files are looked at (seconds).
        asker: puts questions to the searcher (None: in line, the loop waits for the answer).
        copied_from: the folder that the study's is a copy of, if trials were running there ("": it is no copy).
        check: raises if the study is no longer this engine's; called before each launch and each look at files.
    """

    def __init__(
        self,
        paths: StudyPaths,
        store: Store,
        history: History,
        searcher: Searcher,
        stopper: Stopper,
        executor: Executor,
        trackers: Sequence[Tracker] = (),
        *,
        views: Views,
        protect: tuple[str, ...] = (),
        base_env: Mapping[str, str],
        redirect: Redirect = NOWHERE,
        poll_s: float = 0.5,
        asker: Asker | None = None,
        copied_from: str = "",
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.paths, self.history, self.executor = paths, history, executor
        self._store, self._searcher, self._stopper = store, searcher, stopper
        self._trackers = list(trackers)
        self._layout = Layout(paths, views, binding.user_of(base_env))
        self._protect, self._base_env = protect, base_env
        self._copied_from = copied_from
        self._poll_s, self._next_poll = poll_s, 0.0
        self._redirect = redirect
        self._asker: Asker = asker or InLine(lambda history, count: searcher.ask(history, count))
        self._check = check
        self._nothing_at: History | None = None  # where the searcher had nothing to propose
        self._batch: list[tuple[Event, History]] = []  # each with the history that has it
        self._untold: list[tuple[Event, History]] = []
        self._readers: dict[int, metrics.MetricsReader] = {}
        self._stopping: dict[int, str] = {}  # trials that a rule ends, and why
        self._trouble = Trouble()
        self._room = sys.maxsize  # attempts that may begin in this turn
        self._unread: dict[int, Ended] = {}  # trials whose results could not be read, for want of descriptors say
        self._over = ""
        self._searched = False
        self._broken: SearcherError | None = None
        self._times_left = 0  # trials that have left processes behind

    # -- what a driver calls ---------------------------------------------------------------------------------------

    def resume(self, now: float) -> int:
        """Takes the lead: adopts what an earlier engine left running. Returns how many trials run on."""
        failpoint("resume.folded")
        for trial_id in binding.set_aside_unknown(self.paths, self.history.next_id):
            _log.warning("trial %d had begun when the power went, and is run again", trial_id)
        root = self.paths.root
        self._record(EngineStarted(now, os.getpid(), os.uname().nodename, root, identity(root)))
        if self._copied_from:  # in one commit: from now on the log says that this folder is the study's own
            self._run_again_here(now)
        self._commit()
        adopted, fresh = 0, []
        for trial in self.history.running:
            adoption = self.executor.adopt(self._launch_of(trial))
            failpoint("resume.adopted")
            adopted += adoption is Adoption.RUNNING
            if adoption is Adoption.NEVER:
                fresh.append(trial)
        for trial in fresh:
            if len(trial.attempts) == 1:  # nothing of it ever ran: what lies in its folder is half a preparation
                shutil.rmtree(self.paths.trial(trial.id).result_dir, ignore_errors=True)
            self._start(trial, now)  # (what an earlier attempt left is set aside there)
        for tracker in list(self._trackers):
            self._guarded(tracker, lambda t: t.open(self.history, now))
        self._tell(now)
        return adopted

    def _run_again_here(self, now: float) -> None:
        """What the log has as running runs in the folder that this one was copied from: it is not ours to take over,
        and what the copy has of it may be torn."""
        for trial in self.history.running:
            assert trial.attempt is not None
            reason = f"was running in {self._copied_from}, of which this study is a copy"
            self._record(AttemptEnded(now, trial.id, trial.attempt.number, {"asked_for": COPIED}, reason))

    def step(self, now: float) -> bool:
        """One turn: take in what happened, judge, launch. False: the study is closed and nothing runs.

        Raises:
            JournalError: the event log cannot be written; nothing that depends on the event was done.
            SearcherError: the searcher failed; the study has been closed as failed.
            MachineError: no trial could be started for a minute, or the study's folder is gone.
            StudyLocked, StudyGone: the study is not this engine's any more: `leave` it.
        """
        self._take_requests(now)
        for news in (*self._unread.values(), *self.executor.reap()):
            if isinstance(news, Started):
                self._record(AttemptStarted(now, news.trial_id, news.attempt, news.pid))
                self._trouble.eased(news.trial_id, now)
                failpoint("attempt.started")
            else:
                self._attempt_ended(news, now)
        if now >= self._next_poll or now < self._next_poll - 2 * self._poll_s:
            self._next_poll = now + self._poll_s
            self._check()
            self._poll(now)
        self._end_early(now)
        self._commit()
        if not self._closing and (room := self._trouble.room(now)):
            self._launch_wanted(now, room)
        self._commit()
        self._tell(now)
        if not (self._closing or self._searched) and (ahead := self._layout.next_ahead(self.history)) is not None:
            self._check()
            self._layout.lay_ahead(ahead)
        history = self.history
        spent = self._searched or no_more(history.spec, history)
        if history.running or not (self._closing or (spent and not history.open_ids)):
            return True
        self._close(now)
        if self._broken is not None:
            raise self._broken
        return False

    def interrupt(self, why: str, now: float, *, kill: bool = False, rule: str | None = None) -> None:
        """Stops what runs (to be run again on resume) and then the study. `kill`: without grace. `rule`: whose."""
        if self.history.stop_asked is None:
            self._record(StopAsked(now, None, why, rule))
            self._commit()
        for trial in self.history.running:
            self.executor.stop(trial.id, INTERRUPT, kill=kill)

    def stop_trial(self, trial_id: int, why: str, now: float, *, kill: bool = False) -> None:
        """Ends one trial; the study goes on. Trials that have ended, or that do not exist, are left alone."""
        if trial_id not in self.history.open_ids:
            return
        self._record(StopAsked(now, trial_id, why))
        self._commit()
        if self.history.trials[trial_id].state is TrialState.RUNNING:
            self.executor.stop(trial_id, USER, kill=kill)
        else:
            self._record(TrialEnded(now, trial_id, TrialState.STOPPED.value, reason=why))

    def close(self) -> None:
        """Lets go of everything; what runs goes on."""
        self._asker.close()
        for tracker in list(self._trackers):
            self._guarded(tracker, lambda t: t.close(self.history))
        self.executor.close()
        self._store.close()

    def leave(self) -> None:
        """`close` of an engine whose study is another one's by now: its trackers get no chance to write there."""
        self._trackers.clear()
        self.close()

    # -- events ----------------------------------------------------------------------------------------------------

    def _record(self, event: Event) -> None:
        self.history = apply(self.history, event)
        self._batch.append((event, self.history))

    def _commit(self) -> None:
        if self._batch:
            self._store.append([event for event, _ in self._batch])
            self._untold += self._batch
            self._batch = []

    def _tell(self, now: float) -> None:
        """After the launches, so that no slot waits for a tracker."""
        untold, self._untold = self._untold, []
        for tracker in list(self._trackers):
            for event, history in untold:
                self._guarded(tracker, lambda t, e=event, h=history: t.on(e, h))  # type: ignore[misc]
            self._guarded(tracker, lambda t: t.tick(self.history, now))

    def _guarded(self, tracker: Tracker, call: Callable[[Tracker], None]) -> None:
        if tracker not in self._trackers:
            return
        try:
            call(tracker)
        except Exception as error:
            self._trackers.remove(tracker)
            _log.warning("%s is switched off: %s", type(tracker).__name__, error, exc_info=_log.isEnabledFor(10))

    # -- launching -------------------------------------------------------------------------------------------------

    @property
    def _closing(self) -> bool:
        return bool(self.history.stop_asked or self._over)

    def _launch_wanted(self, now: float, room: int) -> None:
        """Fills the free slots, with at most `room`: first with trials that wait to run again, then with new ones."""
        started, self._room = [], room
        for trial in self.history.pending[: min(room, self.executor.free())]:
            started.append(self._intend(trial.id, now))
        if not self._searched:
            try:
                started += self._propose(now)
            except SearcherError as problem:
                self._over, self._broken = str(problem), problem
        if started:
            self._commit()
            failpoint("attempt.intended")
        for trial_id in started:
            self._start(self.history.trials[trial_id], now)

    @property
    def _wanted(self) -> int:
        """How many new trials can start now."""
        free, limit = min(self._room, self.executor.free()), self.history.spec.budget.trials
        return free if limit is None else min(free, limit - self.history.next_id)

    def _propose(self, now: float) -> list[int]:
        """Takes what the searcher has found meanwhile, or asks it. Returns the new trials, to be started."""
        answer = self._asker.take()
        # The same history has the same answer: after "nothing" there is no use in asking before something happened.
        if answer is None and not self._asker.busy and self._wanted > 0 and self._nothing_at is not self.history:
            self._asker.ask(self.history, self._wanted)
            answer = self._asker.take(_PATIENCE_S)
        if answer is None or answer.history.next_id != self.history.next_id:
            return []
        stale = answer.history is not self.history
        ids = self._accept(answer, now)
        if stale and self._wanted > 0 and not self._searched:
            self._asker.ask(self.history, self._wanted)  # something happened while it thought: slots got free, say
        return ids

    def _accept(self, answer: Answer, now: float) -> list[int]:
        """Makes trials of the answer, as many as there is room for now."""
        space, ids = self.history.spec.space, []
        if answer.error is not None:
            raise self._failed(answer.error) from answer.error
        if not answer.proposals:
            # "Nothing more" is final only if it was said when nothing was open: else it may mean "wait".
            self._nothing_at, self._searched = answer.history, not answer.history.open_ids
        for proposal in answer.proposals[: max(0, self._wanted)]:
            trial_id = self.history.next_id
            problem = space.problem_with(proposal.params)
            if problem and proposal.params not in self.history.spec.experiments:  # these are what they are
                raise SearcherError(f"{self._title} proposed what the space does not hold: {problem}")
            resource = self.history.spec.resource_max if proposal.resource is None else proposal.resource
            self._record(TrialProposed(now, trial_id, space.tidied(proposal.params), resource, proposal.note))
            failpoint("trial.proposed")
            ids.append(self._intend(trial_id, now))
        return ids

    def _failed(self, error: BaseException) -> SearcherError:
        if isinstance(error, EngineError):
            return SearcherError(str(error))
        _log.debug("the searcher raised", exc_info=error)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return SearcherError(
            f"{self._title} failed at trial {self.history.next_id}: {type(error).__name__}: {error} "
            f"({os.path.basename(frame.filename)}:{frame.lineno})"
        )

    @property
    def _title(self) -> str:
        return str(getattr(self._searcher, "title", type(self._searcher).__name__))

    def _intend(self, trial_id: int, now: float) -> int:
        number = len(self.history.trials[trial_id].attempts) + 1
        gpus = self.executor.reserve(trial_id)
        self._room -= 1
        self._record(AttemptIntended(now, trial_id, number, secrets.token_hex(8), gpus))
        return trial_id

    def _start(self, trial: Trial, now: float) -> None:
        """Lays the trial's folder out and launches the attempt that the log promises."""
        assert trial.attempt is not None
        self._check()
        self._trouble.tries(trial.id)
        try:
            self._await_room(trial)
            self._layout.prepare(trial, self.history.whole_config(trial), self.history)
        except (ContractError, LaunchError, OSError) as error:
            # Its folder cannot be made as it must be (a link in its place, say): the trial fails, the study goes on.
            # Where the disk is full, or the study's own folders are not what they were, no trial can help that.
            machine = at_fault(error) or not binding.standing(self.paths)
            if isinstance(error, OSError):
                if not machine:
                    raise
                error = LaunchError(told(error))
            self.executor.release(trial.id)
            self._attempt_ended(Ended(trial.id, trial.attempt.number, Exit(error=str(error), machine=machine)), now)
            return
        self.executor.launch(self._launch_of(trial))

    def _await_room(self, trial: Trial) -> None:
        """A run that a full disk cut short is not repeated while that disk is full. Raises OSError."""
        if any(a.exit is not None and a.exit.machine for a in trial.attempts[:-1]):
            for folder in (self.paths.results, self.paths.logs, self.paths.trials):
                if full(folder):
                    raise placed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), folder)

    def _launch_of(self, trial: Trial) -> Launch:
        spec, paths, attempt = self.history.spec, self.paths.trial(trial.id), trial.attempt
        assert attempt is not None
        return Launch(
            trial.id,
            attempt.number,
            attempt.nonce,
            self._redirect.command(binding.command(spec, sys.executable), paths.result_dir),
            self._redirect.environment(
                binding.environment(spec, paths, self._base_env, attempt.nonce, attempt.gpus), paths.result_dir
            ),
            paths,
            attempt.gpus,
            spec.trial.time_limit_s,
            spec.trial.grace_s,
            max(_LOG_MIN, int(spec.trial.log_mb * (1 << 20))),
            spec.trial.warm_start,
            self._protect,
            begun=attempt.started_at is not None,
        )

    # -- results ---------------------------------------------------------------------------------------------------

    def _poll(self, now: float) -> None:
        for trial in self.history.running:
            first = trial.id not in self._readers  # then it tells all rows, also those that an earlier engine saw
            if first:
                self._readers[trial.id] = metrics.MetricsReader(self.paths.trial(trial.id), self._named)
            if fresh := self._readers[trial.id].fresh():
                rows, anew = fresh
                if first and _same_rows(rows, trial.rows):
                    continue
                self._record(MetricsSeen(now, trial.id, metrics.thin(rows), anew or first))
                failpoint("trial.metrics-seen")

    @property
    def _named(self) -> frozenset[str]:
        """The metrics that the study speaks of: none of them is the step of a row, whatever it is called."""
        spec = self.history.spec
        return frozenset([*(aim.metric for aim in spec.aims), *spec.extra_metrics])

    def _read(self, trial: Trial) -> metrics.Reading:
        return metrics.final_rows(self.paths.trial(trial.id), self._named)

    def _attempt_ended(self, news: Ended, now: float) -> None:
        """running -> pending (it runs again) or an end state, by how it ended and what it wrote."""
        trial = self.history.trials[news.trial_id]
        attempt = trial.attempt
        if trial.state is not TrialState.RUNNING or attempt is None or attempt.number != news.attempt:
            return
        failpoint("attempt.reaped")
        try:
            reading = metrics.Reading() if news.exit.machine else self._read(trial)
        except OSError as problem:
            self._unread[trial.id] = news
            text = f"the results of trial {trial.id} cannot be read: {problem.strerror}"
            self._met(trial.id, text, "they will be read again", now)
            return
        self._unread.pop(trial.id, None)
        if news.exit.leftovers:
            self._left_behind(trial.id, news.exit.leftovers)
        self._readers.pop(trial.id, None)
        why = self._stopping.pop(trial.id, "")
        if not why and news.exit.asked_for in (DIVERGED, EARLY):  # an earlier engine asked: the rule says so again
            why = (self._ended_by_rule(trial, now) or ("", ""))[1]
        if news.exit.asked_for in (DIVERGED, TIME_LIMIT):  # what it had reported may count
            reading = metrics.or_seen(reading, trial.rows)
        rows = metrics.thin(reading.rows)
        if rows and not _same_rows(rows, trial.rows):
            self._record(MetricsSeen(now, trial.id, rows, True))
        failpoint("attempt.judged")
        said = self._said(news)
        state, reason = judge(self.history, trial, news.exit, said, self._over, why)
        values = None
        if state is TrialState.COMPLETED:
            values, lacking = metrics.verdict(reading, self.history.spec.aims, trial.id)
            if values is None:
                error = "" if reading.rows else logfiles.error(self.paths.trial(trial.id).attempt(news.attempt))
                lacking += f"; its output has: {error[:300]}" if error else ""
                state, reason = without_value(trial, news.exit, reason, lacking)
        exit_ = news.exit
        if state is TrialState.FAILED and self._layout.was_uprooted(trial.id, self.history):
            exit_ = replace(exit_, lost=True, error="the study's folders were removed while it ran")
            state, reason = judge(self.history, trial, exit_, said, self._over, why)
        elif why_full := self._out_of_room(trial, exit_, state, said or reason):
            exit_ = replace(exit_, machine=True, error=f"trial {trial.id} could not write: {why_full}")
            state, reason = judge(self.history, trial, exit_, said, self._over, why)
        self._layout.uprooted.discard(trial.id)
        value = values[0] if values else None
        values = values if self.history.spec.objectives else None
        told = {k: v for k, v in asdict(exit_).items() if v not in (None, False, 0) or k == "code"}
        if state is TrialState.PENDING:
            self._record(AttemptEnded(now, trial.id, news.attempt, told, reason))
        else:
            self._record(TrialEnded(now, trial.id, state.value, value, reason, told, reading.digest, values))
            if not (exit_.lost or exit_.error):
                self._layout.over(trial.id)
        failpoint("trial.ended")
        if exit_.machine:
            if not exit_.unstarted:
                self._trouble.cut_short(trial.id, str(exit_), now)
            self._met(trial.id, str(exit_), f"trial {trial.id} will be started again", now)
        else:
            self._trouble.over(trial.id, now)
        if _log.isEnabledFor(logging.INFO):
            _log.info("trial %d: attempt %d %s %s", trial.id, news.attempt, state.value, reason)

    def _out_of_room(self, trial: Trial, exit_: Exit, state: TrialState, output: str) -> str:
        """Why the disk and not the script may be at fault that the run failed or left no results ("": it is not)."""
        retry = state is TrialState.PENDING and not exit_.clean
        if exit_.asked_for or exit_.lost or exit_.error or not (state is TrialState.FAILED or retry):
            return ""
        paths = self.paths.trial(trial.id)
        return out_of_room((paths.result_dir, paths.log_dir, paths.own), output, exit_.full)

    def _left_behind(self, trial_id: int, count: int) -> None:
        """The first few times: what a script does, it does in each trial."""
        self._times_left += 1
        if self._times_left > _LEFT_TOLD:
            return
        left = counted(count, "process", "processes")
        more = "; of later trials, only `hpo-engine show` tells" if self._times_left == _LEFT_TOLD else ""
        were = "it was" if count == 1 else "they were"
        _log.warning("trial %d left %s behind; %s killed%s", trial_id, left, were, more)

    def _said(self, news: Ended) -> str:
        """Why the attempt failed, as far as its output tells."""
        if news.exit.clean or news.exit.lost or news.exit.machine:
            return ""
        folder = self.paths.trial(news.trial_id).attempt(news.attempt)
        return logfiles.why(folder, killed=news.exit.signal is not None)

    def _met(self, trial_id: int, why: str, then: str, now: float) -> None:
        """The machine's fault, and no trial's."""
        self._trouble.met(trial_id, why, then, now, alone=len(self.history.running) == len(self._unread))

    # -- ends ------------------------------------------------------------------------------------------------------

    def _take_requests(self, now: float) -> None:
        for path, request in inbox.pending(self.paths.inbox):
            failpoint("command.taken")
            if request is None:
                _log.warning("%s is no request; dropped", path)
            elif request.trial is None:
                self.interrupt(request.why, now, kill=request.kill)
            else:
                self.stop_trial(request.trial, request.why, now, kill=request.kill)
            self._commit()
            failpoint("command.done")
            inbox.done(path)

    def _end_early(self, now: float) -> None:
        for trial in self.history.running:
            if trial.id not in self._stopping and (found := self._ended_by_rule(trial, now)):
                cause, why = found
                self._stopping[trial.id] = why
                self._record(StopAsked(now, trial.id, why))
                self._commit()
                failpoint("trial.pruned")
                self.executor.stop(trial.id, cause)
        if not self._closing:
            self._over = self._stopper.end_study(self.history, now) or ""
        if not self._closing and (halt := self._stopper.halt(self.history, now)):
            self.interrupt(halt.reason, now, rule=halt.rule)
        if self._over:
            for trial in self.history.running:
                self.executor.stop(trial.id, STUDY_OVER)

    def _ended_by_rule(self, trial: Trial, now: float) -> tuple[str, str] | None:
        """(what to tell the executor, why) if a rule ends the trial."""
        if why := self._stopper.diverged(trial, self.history, now):
            return DIVERGED, why
        if why := self._stopper.end_trial(trial, self.history, now):
            return EARLY, why
        return None

    def _close(self, now: float) -> None:
        history = self.history
        if history.stop_asked:
            state, reason = StudyState.STOPPED, history.stop_asked
        else:
            for trial in history.pending:
                self._record(TrialEnded(now, trial.id, TrialState.STOPPED.value, reason=self._over))
            good = history.best_id is not None and self._broken is None
            state = StudyState.FINISHED if good else StudyState.FAILED
            reason = self._over or (self._why_over() if good else why_none(history))
        self._layout.clear_ahead()
        self._record(StudyClosed(now, state.value, reason))
        self._commit()
        failpoint("study.closed")
        self._tell(now)

    def _why_over(self) -> str:
        """The searcher's word on why it has nothing more to propose, if it has one."""
        over = getattr(self._searcher, "over", None)
        try:
            return "" if over is None else str(over(self.history))
        except Exception:
            _log.debug("the searcher's last word raised", exc_info=True)
            return ""


def _same_rows(left: Sequence[object], right: Sequence[object]) -> bool:
    # By their text: a row with NaN equals itself here.
    return len(left) == len(right) and repr(left) == repr(right)
