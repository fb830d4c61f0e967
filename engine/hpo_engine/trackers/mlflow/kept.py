"""Which runs are a study's own, and how much of it they have: a file in the study's folder, read when it is resumed."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from hpo_engine.system.files import put_in_place

FILE = "mlflow.json"


@dataclass
class KeptRun:
    """A trial's run. `attempt`: the first one whose curve it has; `rows`: how many it has.

    `params`: whether it has the parameters. `closed`: attempts whose own runs have been seen to. `sent`: the state that
    it shows, "" if it is to be sent (again). `files`: whether it has the artifacts.
    """

    run: str
    attempt: int = 1
    rows: int = 0
    params: bool = False
    closed: int = 0
    sent: str = ""
    files: bool = False


@dataclass
class Kept:
    """`store`, `study`: what the runs are in and of; `experiment`, `run`: the ids of the study's own.

    `best`: the trial and the value that the study's run shows. `sent`, `files`: as of a trial's run.
    """

    store: str
    study: str
    experiment: str = ""
    run: str = ""
    best: tuple[int, ...] = ()
    sent: str = ""
    files: str = ""
    trials: dict[int, KeptRun] = field(default_factory=dict)


def read(folder: str, store: str, study: str) -> Kept:
    """What an earlier engine has kept; nothing if that was about another store or study, as in a study's copy."""
    try:
        with open(f"{folder}/{FILE}", encoding="utf-8") as file:
            data = json.load(file)
        trials = {int(number): KeptRun(**_known(KeptRun, one)) for number, one in data.pop("trials").items()}
        kept = Kept(**{**_known(Kept, data), "best": tuple(data.get("best", ())), "trials": trials})
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return Kept(store, study)
    return kept if (kept.store, kept.study) == (store, study) else Kept(store, study)


def write(folder: str, kept: Kept) -> None:
    """Replaces the file. Raises OSError."""
    aside = f"{folder}/.{FILE}.{os.getpid()}.tmp"
    with open(aside, "w", encoding="utf-8") as file:
        json.dump(asdict(kept), file)
    put_in_place(aside, f"{folder}/{FILE}")


def _known(cls: type, data: dict[str, Any]) -> dict[str, Any]:
    return {f.name: data[f.name] for f in fields(cls) if f.name in data}
