"""An attempt bound to this machine: its argv, environment and folders here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hpo_engine.contract import binding
from hpo_engine.contract.paths import StudyPaths, TrialPaths
from hpo_engine.contract.placing import Placed, values_of
from hpo_engine.contract.snapshot.redirect import HERE, NOWHERE, Redirect
from hpo_engine.core.ports import Launch
from hpo_engine.study.spec import StudySpec
from hpo_engine.system import threads

Bind = Callable[[Launch, Sequence[str], "str | None", "int | None"], "BoundLaunch"]
"""From an attempt, its GPUs, its lease, and the threads that its libraries may have (None: not limited)."""


@dataclass(frozen=True, kw_only=True)
class BoundLaunch(Launch):
    """A Launch with all that it takes to run it here. argv[0] is found through `env["PATH"]` or relative to the cwd,
    which is RESULT_DIR.

    `fixed`: the number of words at the beginning of argv that are the same in all attempts of the study; None: all are.
    `varying`: variables of the study's own and of trackers whose values differ. `protect`: paths that must stay as they
    are, if the operating system can see to it. `lease`: the file whose lock is to be held while the attempt's processes
    live, see `executors.ledger`.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    paths: TrialPaths
    protect: tuple[str, ...] = ()
    lease: str | None = None
    fixed: int | None = None
    varying: frozenset[str] = frozenset()


def as_bound(launch: Launch, devices: Sequence[str], lease: str | None, each: int | None) -> BoundLaunch:
    """A Bind for attempts that are bound already."""
    assert isinstance(launch, BoundLaunch)
    return replace(launch, devices=tuple(devices), lease=lease)


class Rebinding:
    """A Bind that can be replaced while attempts run: those that start from then on follow the new one."""

    def __init__(self, bind: Bind) -> None:
        self.bind = bind

    def __call__(self, launch: Launch, devices: Sequence[str], lease: str | None, each: int | None) -> BoundLaunch:
        return self.bind(launch, devices, lease, each)


class Binder:
    """The Bind of a study.

    Args:
        base_env: the environment that trials inherit; redirect: turns paths into the model folder into paths into the
        view of it; protect: paths that this view links to.
    """

    def __init__(
        self,
        spec: StudySpec,
        paths: StudyPaths,
        base_env: Mapping[str, str],
        redirect: Redirect = NOWHERE,
        protect: tuple[str, ...] = (),
    ) -> None:
        self._spec, self._paths, self._base, self._protect = spec, paths, base_env, protect
        moved = redirect.environment(spec.env, HERE)
        words = redirect.command(binding.command(spec, sys.executable), HERE)
        self._placed = Placed(spec, words, {name: moved.pop(name) for name in spec.env})
        self._moved = moved

    def __call__(self, launch: Launch, devices: Sequence[str], lease: str | None, each: int | None) -> BoundLaunch:
        spec, paths = self._spec, self._paths.trial(launch.trial_id)
        resume_from = None if launch.resumed is None else launch.resumed.path(paths)
        values = values_of(spec, paths, launch.values, resume_from)
        own = _here(self._placed.environment(values), paths)
        base = {**self._base, **threads.variables({**self._base, **own}, each)}
        env = binding.environment(spec, paths, base, launch.nonce, devices, own, launch.resumed, launch.variables)
        return BoundLaunch(
            **{**vars(launch), "devices": tuple(devices)},
            argv=tuple([word.replace(HERE, paths.result_dir) for word in self._placed.command(values)]),
            env={**env, **_here(self._moved, paths)},
            paths=paths,
            protect=self._protect,
            lease=lease,
            fixed=self._placed.fixed,
            varying=self._placed.varying | (launch.variables.keys() - launch.shared - own.keys()),
        )


def _here(variables: Mapping[str, str], paths: TrialPaths) -> dict[str, str]:
    return {name: text.replace(HERE, paths.result_dir) for name, text in variables.items()}
