"""How runs of a trial's script and ours meet: the variables that a script gets, and the runs that it has opened itself.

A script that logs to W&B opens the trial's run, by its id, group and name from the environment, and then nobody else
writes that run; for one that does not, the tracker writes it. So a run is never in two halves.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from hpo_engine.contract.paths import StudyPaths, TrialPaths
from hpo_engine.study.history import History
from hpo_engine.study.trial import Attempt, Trial
from hpo_engine.trackers.wandb import runs

ONLINE, OFFLINE, DISABLED, AUTO = "online", "offline", "disabled", "auto"
_MODES = {"dryrun": OFFLINE, "run": ONLINE}  # as older versions call them
_CLOUD = "https://api.wandb.ai"
SHARED = frozenset(("WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_RUN_GROUP", "WANDB_JOB_TYPE"))
"""The variables that all attempts have alike."""


def mode(wanted: str, env: Mapping[str, str]) -> str:
    """online, offline or disabled. `auto` is what WANDB_MODE says, or else online if there is an API key."""
    if wanted != AUTO:
        return wanted
    given = _MODES.get(env.get("WANDB_MODE", ""), env.get("WANDB_MODE", ""))
    if given in (ONLINE, OFFLINE, DISABLED):
        return given
    return ONLINE if has_key(env) else OFFLINE


def has_key(env: Mapping[str, str]) -> bool:
    """Whether wandb would find credentials without asking: in variables, or in the file that `wandb login` writes."""
    if env.get("WANDB_API_KEY") or env.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    import netrc

    host = urlsplit(env.get("WANDB_BASE_URL") or _CLOUD).hostname or ""
    paths = [env["NETRC"]] if env.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for path in paths:
        with suppress(OSError, netrc.NetrcParseError):
            if host in netrc.netrc(os.path.expanduser(path)).hosts:
                return True
    return False


def variables(
    history: History,
    trial: Trial,
    attempt: Attempt,
    paths: StudyPaths,
    settings: Mapping[str, str],
) -> dict[str, str]:
    """What an attempt's script finds in its environment. (WANDB_CONFIG_PATHS would carry the trial's record along, but
    wandb 0.31 fails at import if it is set.)

    Args:
        settings: WANDB_MODE, WANDB_PROJECT and WANDB_ENTITY, as far as they are to be set.
    """
    own = {
        **settings,
        "WANDB_RUN_GROUP": history.spec.name,
        "WANDB_JOB_TYPE": "trial",
        "WANDB_RUN_ID": runs.run_id(history, trial, attempt),
        "WANDB_NAME": runs.name_of(history, trial),
        "WANDB_DIR": paths.trial(trial.id).log_dir,
    }
    if settings.get("WANDB_MODE") == ONLINE:  # offline, wandb warns that there is nothing to resume
        own["WANDB_RESUME"] = "allow"
    return own


def folder(paths: StudyPaths) -> str:
    """Where our runs are, and links to those of scripts, so that `wandb sync` finds all of them."""
    return f"{paths.root}/wandb"


def opened_by_script(files: TrialPaths, since: float) -> list[str]:
    """The folders of runs that a trial's script has opened since then (UTC seconds), wherever it told wandb to."""
    return sorted(found for pattern in _places(files) for found in glob.iglob(pattern) if _made_since(found, since))


def _places(files: TrialPaths) -> Iterator[str]:
    log_dir, result_dir = glob.escape(files.log_dir), glob.escape(files.result_dir)
    for place in (log_dir, result_dir, f"{result_dir}/*"):
        yield f"{place}/wandb/*run-*-*"
        yield f"{place}/.wandb/*run-*-*"


def _made_since(path: str, since: float) -> bool:
    """A folder that came with the script's own, as a copy, is older than the attempt."""
    with suppress(OSError):
        return not os.path.islink(path) and os.path.isdir(path) and os.stat(path).st_ctime >= since - 1.0
    return False


def link(paths: StudyPaths, found: list[str]) -> None:
    """Links from our folder to runs of a script; what cannot be linked is left where it is."""
    for path in found:
        with suppress(OSError):
            os.makedirs(folder(paths), exist_ok=True)
            os.symlink(os.path.relpath(path, folder(paths)), f"{folder(paths)}/{os.path.basename(path)}")
