"""A study's log under other stopping rules than its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from hpo_engine.assembly.parts import stopper, stopper_named
from hpo_engine.assembly.registries import STOPPERS
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.store.journal import Journal
from hpo_engine.study.spec import GUARDS, Named

if TYPE_CHECKING:
    from hpo_engine.reports.backtest import Backtest


_SET = re.compile(r"\s\+\s")  # between the rules of a set


def backtest(paths: StudyPaths, texts: Sequence[str], folder: str) -> Backtest:
    """What sets of stopping rules would have done in a study, in place of its own; see `report.backtest`.

    Args:
        texts: as `asha eta=3 + no_improvement`; none: each rule that ends trials, by itself.
        folder: see `stopper_named`.

    Raises:
        SpecError: no such rule, or no such option. JournalError: the log cannot be read.
    """
    from hpo_engine.reports.backtest import Backtest
    from hpo_engine.reports.replay import replay
    from hpo_engine.stoppers import FirstOf, Rule

    with closing(Journal(paths.db)) as journal:
        events = journal.read()
        history = journal.history()
    sets = {text: tuple(stopper_named(part, folder, "--stop") for part in _SET.split(text)) for text in texts}
    sets = sets or {name: (Named(name),) for name in _ending_trials()}
    guards = tuple(own for own in history.spec.stop if own in GUARDS)
    spec = replace(history.spec, model_dir=paths.model, stop=guards)
    replays, idle = {}, {}
    for text, chosen in sets.items():
        names = [each.name for each in chosen]
        kept = tuple(guard for guard in guards if guard.name not in names)
        rules = stopper(ruled := replace(spec, stop=(*kept, *chosen)))
        replays[text] = replay(events, ruled, rules)
        if why := rules.idle(replays[text].history, events[-1].at):
            idle[text] = why
    return Backtest(replay(events, spec, FirstOf([Rule()])), replays, idle)


def _ending_trials() -> list[str]:
    """The rules that end trials which could still have a result, and need no option."""
    from hpo_engine.stoppers import Rule

    guards = {guard.name for guard in GUARDS}
    classes = {name: STOPPERS.load(name, ".", "stop") for name in STOPPERS if name not in guards}
    return [
        name for name, cls in classes.items()
        if isinstance(cls, type) and issubclass(cls, Rule) and cls.end_trial is not Rule.end_trial
    ]  # fmt: skip
