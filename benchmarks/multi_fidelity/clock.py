"""A simulated machine: workers that train configurations by the epoch, while searchers and stoppers decide.

Whatever the tool, a run is started with an amount of the resource, reports after each step, and may be stopped there.
Epochs are what is paid: those of a run that carries on are the difference, those of one that begins anew all of it.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.multi_fidelity.curves import Curve, World

SPREAD = 0.5  # sigma of the logarithm of the time that a configuration takes per epoch; with one worker all take one


@dataclass(frozen=True)
class Start:
    """A run that a tool wants: `token` is its own name for it; `trained`: the epochs it goes on from."""

    token: Any
    params: Mapping[str, Any]
    resource: int
    trained: int = 0


class Tool(Protocol):
    """An algorithm at work. `live`: it wants to hear of every row; if not, only of the end of runs."""

    live: bool

    def ask(self) -> Start | None:
        """The next run; None: wait, or the search is over."""

    def report(self, token: Any, step: int, loss: float) -> bool:
        """Whether the run goes on."""

    def ended(self, token: Any, rows: Curve, stopped: bool) -> None: ...


@dataclass
class _Running:
    start: Start
    rows: Curve  # those still to come
    begun: float
    pace: float
    at: int = 0  # rows reported


def simulate(tool: Tool, world: World, seed: int, budget: float, workers: int = 1) -> list[tuple[float, float]]:
    """The incumbents at full length: (full trainings' worth of epochs by then, final loss), each better than the last.

    Args:
        budget: in full trainings; no run starts when so much has been given out, and those that run come to their end.
    """
    paces = random.Random(f"paces/{seed}")
    queue: list[tuple[float, int, _Running]] = []
    now, given, number, best = 0.0, 0.0, 0, float("inf")
    ended = 0.0  # epochs of runs that have ended
    out: list[tuple[float, float]] = []
    while True:
        while len(queue) < workers and given < budget * world.most and (start := tool.ask()) is not None:
            number += 1
            pace = paces.lognormvariate(0, SPREAD) if workers > 1 else 1.0
            rows = [row for row in world.run(start.params, start.resource) if row[0] > start.trained]
            running = _Running(start, rows, now, pace)
            given += start.resource - start.trained
            heapq.heappush(queue, (_next(running, tool.live), number, running))
        if not queue:
            return out
        now, order, running = heapq.heappop(queue)
        start = running.start
        if tool.live:
            step, loss = running.rows[running.at]
            running.at += 1
            stopped = not tool.report(start.token, step, loss) and step < start.resource
            if not stopped and running.at < len(running.rows):
                heapq.heappush(queue, (_next(running, True), order, running))
                continue
        else:
            (step, loss), stopped, running.at = running.rows[-1], False, len(running.rows)
        tool.ended(start.token, running.rows[: running.at], stopped)
        given -= start.resource - step
        ended += step - start.trained
        if step >= world.most and loss < best:
            best = loss
            others = sum(int((now - other.begun) / other.pace) for _, _, other in queue)
            out.append(((ended + others) / world.most, loss))


def _next(running: _Running, live: bool) -> float:
    """When it reports next."""
    step = running.rows[running.at if live else -1][0]
    return running.begun + (step - running.start.trained) * running.pace
