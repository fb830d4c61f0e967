"""An attempt bound to this machine: its argv, environment and folders here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hpo_engine.contract import binding
from hpo_engine.contract.paths import StudyPaths, TrialPaths
from hpo_engine.contract.snapshot.redirect import NOWHERE, Redirect
from hpo_engine.core.ports import Launch
from hpo_engine.study.spec import StudySpec
from hpo_engine.system import threads

Bind = Callable[[Launch, Sequence[str], "str | None", "int | None"], "BoundLaunch"]
"""From an attempt, its GPUs, its lease, and the threads that its libraries may have (None: not limited)."""


@dataclass(frozen=True, kw_only=True)
class BoundLaunch(Launch):
    """A Launch with all that it takes to run it here. argv[0] is found through `env["PATH"]` or relative to the cwd,
    which is RESULT_DIR.

    `protect`: paths that must stay as they are, if the operating system can see to it. `lease`: the file whose lock is
    to be held while the attempt's processes live, see `executors.ledger`.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    paths: TrialPaths
    protect: tuple[str, ...] = ()
    lease: str | None = None


def as_bound(launch: Launch, devices: Sequence[str], lease: str | None, each: int | None) -> BoundLaunch:
    """A Bind for attempts that are bound already."""
    assert isinstance(launch, BoundLaunch)
    return replace(launch, devices=tuple(devices), lease=lease)


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
        self._spec, self._paths, self._base, self._redirect, self._protect = spec, paths, base_env, redirect, protect

    def __call__(self, launch: Launch, devices: Sequence[str], lease: str | None, each: int | None) -> BoundLaunch:
        spec, paths = self._spec, self._paths.trial(launch.trial_id)
        base = {**self._base, **threads.variables({**self._base, **spec.env}, each)}
        env = binding.environment(spec, paths, base, launch.nonce, devices, launch.resume)
        return BoundLaunch(
            **{**vars(launch), "devices": tuple(devices)},
            argv=self._redirect.command(binding.command(spec, sys.executable), paths.result_dir),
            env=self._redirect.environment(env, paths.result_dir),
            paths=paths,
            protect=self._protect,
            lease=lease,
        )
