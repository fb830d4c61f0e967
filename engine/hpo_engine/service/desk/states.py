"""The state of a study as the service shows it: what its log says, who leads it, what the service is going to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hpo_engine.service.records.submissions import Phase

if TYPE_CHECKING:
    from hpo_engine.store.summary import Summary


class Standing(NamedTuple):
    """`phase`: None if the service has no part in the study. `led`: an engine leads it. `given_up`: its engine died too
    often, or cannot begin. `turn`: when the study was put into the line, or was last (UTC seconds)."""

    phase: Phase | None
    led: bool
    given_up: bool = False
    turn: float = 0.0


def state_of(standing: Standing, summary: Summary | None) -> tuple[str, str]:
    """State and recovery, see `View`. `summary`: None if the log cannot be read."""
    phase, led, given_up, turn = standing
    waits = phase in (Phase.QUEUED, Phase.BEGUN)
    if summary is None:
        return "interrupted", ""
    if led:
        return ("running" if summary.state == "running" or waits else summary.state), ""
    if summary.state != "running":
        restarted = waits and summary.last_at < turn  # its engine has written nothing yet
        return ("queued" if phase is Phase.QUEUED or restarted else summary.state), ""
    if not summary.runs and not given_up:  # no engine has begun
        return ("queued" if waits else "stopped" if phase is Phase.IDLE else "interrupted"), ""
    return "interrupted", "failed" if given_up else "pending" if waits else ""
