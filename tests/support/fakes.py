"""In-memory stand-ins for the ports; the law suites run over them, too, so that they stay honest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from hpo_engine.core.ports import Adoption, Ended, Launch, Started
from hpo_engine.executors.devices import Cores
from hpo_engine.executors.local.bound import Bind, BoundLaunch, as_bound
from hpo_engine.executors.machine import Machine
from hpo_engine.executors.sharing import Place
from hpo_engine.study.decoding import from_body
from hpo_engine.study.events import Event
from hpo_engine.study.history import History
from hpo_engine.study.spec import Resources
from hpo_engine.study.trial import Exit, StopCause


class MemoryStore:
    """A Store that forgets. Keeps the events as the text that a real one would write."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, str, str]] = []

    def append(self, events: Iterable[Event], history: History | None = None) -> None:
        self.rows += [(e.at, e.kind, json.dumps(e.body(), allow_nan=False)) for e in events]

    def read(self, after: int = 0) -> list[Event]:
        return [from_body(kind, at, json.loads(body)) for at, kind, body in self.rows[after:]]

    def close(self) -> None:
        pass


class FakeExecutor:
    """An Executor without processes: `behave(launch)` gives the Exit at once, or None: it runs until it is stopped,
    or until `finish` is called. An attempt's argv may also say it: ("exit", "3"), ("signal", "9"), ("sleep",),
    ("stubborn",), ("missing",). `bind` gives it the folders in which it is to leave results."""

    def __init__(
        self,
        resources: Resources,
        gpus: tuple[str, ...] = (),
        behave: Callable[[BoundLaunch], Exit | None] | None = None,
        bind: Bind = as_bound,
    ) -> None:
        self.machine = Machine(resources, Place(Cores((1 << 64) - 1), {gpu: gpu for gpu in gpus}))
        self.behave, self.bind = behave or by_argv, bind
        self.launched: list[BoundLaunch] = []
        self.queue: list[Launch] = []
        self.stops: list[tuple[int, StopCause, bool]] = []
        self.running: dict[int, BoundLaunch] = {}
        self.past: dict[str, Exit] = {}
        self.alive: set[str] = set()
        self.news: list[Started | Ended] = []

    def free(self, request: Resources, wanted: int) -> int:
        return self.machine.free(request, wanted)

    def launch(self, launch: Launch) -> None:
        devices = self.machine.take(launch.nonce, launch.request)
        if devices is None:
            self.queue.append(launch)
            return
        bound = self.bind(launch, devices, None, None)
        self.launched.append(bound)
        self.running[launch.trial_id] = bound
        exit_ = self.behave(bound)
        if exit_ is None or not exit_.error:
            self.news.append(Started(launch.nonce, 1000 + launch.trial_id, devices))
        if exit_ is not None:
            self.finish(launch.trial_id, exit_)

    def adopt(self, launch: Launch) -> Adoption:
        bound = self.bind(launch, launch.devices, None, None)
        if launch.nonce in self.alive:
            self.machine.hold(launch.nonce, launch.request, launch.devices)
            self.running[launch.trial_id] = bound
            return Adoption.RUNNING
        if launch.nonce in self.past:
            self.running[launch.trial_id] = bound
            self.finish(launch.trial_id, self.past[launch.nonce])
            return Adoption.ENDED
        return Adoption.NEVER

    def finish(self, trial_id: int, exit_: Exit) -> None:
        launch = self.running.pop(trial_id)
        self.machine.give_back(launch.nonce)
        self.past[launch.nonce] = exit_
        self.news.append(Ended(launch.nonce, exit_))

    def reap(self) -> list[Started | Ended]:
        queue, self.queue = self.queue, []
        for launch in queue:
            self.launch(launch)
        news, self.news = self.news, []
        return news

    def stop(self, nonce: str, cause: StopCause, *, kill: bool = False, reason: str = "") -> None:
        for launch in [launch for launch in self.queue if launch.nonce == nonce]:
            self.queue.remove(launch)
            self.news.append(Ended(nonce, Exit(stop_cause=cause)))
        for bound in [bound for bound in self.running.values() if bound.nonce == nonce]:
            self.stops.append((bound.trial_id, cause, kill))
            number = 9 if kill or bound.argv[0] == "stubborn" else 15
            self.finish(bound.trial_id, Exit(signal=number, stop_cause=cause))

    def wait(self, timeout_s: float) -> None:
        pass

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass


def by_argv(launch: BoundLaunch) -> Exit | None:
    kind, *rest = launch.argv
    if kind == "exit":
        return Exit(code=int(rest[0]))
    if kind == "signal":
        return Exit(signal=int(rest[0]))
    if kind == "missing":
        return Exit(error="cannot start missing: not found on the PATH")
    return None
