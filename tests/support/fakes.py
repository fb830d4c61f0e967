"""In-memory stand-ins for the ports; the law suites run over them, too, so that they stay honest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from hpo_engine.core.ports import Adoption, Ended, Launch, Started
from hpo_engine.executors.slots import Slots
from hpo_engine.study.events import Event, from_body
from hpo_engine.study.spec import Resources
from hpo_engine.study.trial import Exit, StopCause


class MemoryStore:
    """A Store that forgets. Keeps the events as the text that a real one would write."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, str, str]] = []

    def append(self, events: Iterable[Event]) -> None:
        self.rows += [(e.at, e.kind, json.dumps(e.body(), allow_nan=False)) for e in events]

    def read(self, after: int = 0) -> list[Event]:
        return [from_body(kind, at, json.loads(body)) for at, kind, body in self.rows[after:]]

    def close(self) -> None:
        pass


class FakeExecutor:
    """An Executor without processes: `behave(launch)` gives the Exit at once, or None: it runs until it is stopped,
    or until `finish` is called. An attempt's argv may also say it: ("exit", "3"), ("signal", "9"), ("sleep",),
    ("stubborn",), ("missing",)."""

    def __init__(
        self, resources: Resources, gpus: tuple[str, ...] = (), behave: Callable[[Launch], Exit | None] | None = None
    ) -> None:
        self.slots = Slots(resources, gpus, cores=64)
        self.behave = behave or by_argv
        self.launched: list[Launch] = []
        self.stops: list[tuple[int, StopCause, bool]] = []
        self.running: dict[int, Launch] = {}
        self.past: dict[str, Exit] = {}
        self.alive: set[str] = set()
        self.news: list[Started | Ended] = []

    def free(self) -> int:
        return self.slots.free()

    def reserve(self, trial_id: int) -> tuple[str, ...]:
        return self.slots.take(trial_id)

    def release(self, trial_id: int) -> None:
        self.slots.give_back(trial_id)

    def launch(self, launch: Launch) -> None:
        self.launched.append(launch)
        self.running[launch.trial_id] = launch
        exit_ = self.behave(launch)
        if exit_ is None or not exit_.error:
            self.news.append(Started(launch.trial_id, launch.attempt, 1000 + launch.trial_id))
        if exit_ is not None:
            self.finish(launch.trial_id, exit_)

    def adopt(self, launch: Launch) -> Adoption:
        self.slots.hold(launch.trial_id, launch.gpus)
        if launch.nonce in self.alive:
            self.running[launch.trial_id] = launch
            return Adoption.RUNNING
        if launch.nonce in self.past:
            self.running[launch.trial_id] = launch
            self.finish(launch.trial_id, self.past[launch.nonce])
            return Adoption.ENDED
        return Adoption.NEVER

    def finish(self, trial_id: int, exit_: Exit) -> None:
        launch = self.running.pop(trial_id)
        self.slots.give_back(trial_id)
        self.past[launch.nonce] = exit_
        self.news.append(Ended(trial_id, launch.attempt, exit_))

    def reap(self) -> list[Started | Ended]:
        news, self.news = self.news, []
        return news

    def stop(self, trial_id: int, cause: StopCause, *, kill: bool = False) -> None:
        if trial_id in self.running:
            self.stops.append((trial_id, cause, kill))
            stubborn = self.running[trial_id].argv[0] == "stubborn"
            self.finish(trial_id, Exit(signal=9 if stubborn or kill else 15, stop_cause=cause))

    def wait(self, timeout_s: float) -> None:
        pass

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass


def by_argv(launch: Launch) -> Exit | None:
    kind, *rest = launch.argv
    if kind == "exit":
        return Exit(code=int(rest[0]))
    if kind == "signal":
        return Exit(signal=int(rest[0]))
    if kind == "missing":
        return Exit(error="cannot start missing: not found on the PATH")
    return None
