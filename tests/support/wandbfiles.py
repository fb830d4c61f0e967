"""Runs of W&B as they are in its offline files: LevelDB's log format with wandb's own protobuf records."""

from __future__ import annotations

import glob
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_BLOCK, _HEADER = 32768, struct.Struct("<IHB")


@dataclass
class FoundRun:
    """A run as `wandb sync` would upload it."""

    path: str
    id: str = ""
    name: str = ""
    group: str = ""
    project: str = ""
    job_type: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None


def runs_in(folder: str) -> dict[str, FoundRun]:
    """The runs in a folder `wandb` by id. Raises AssertionError: there are two files of one run."""
    found: dict[str, FoundRun] = {}
    for path in sorted(glob.glob(f"{folder}/*run-*/*.wandb")):
        run = _read(path)
        assert run.id not in found, (run.path, found[run.id].path)
        found[run.id] = run
    return found


def _read(path: str) -> FoundRun:
    run = FoundRun(path)
    for record in _records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.id, run.name, run.group = record.run.run_id, record.run.display_name, record.run.run_group
            run.project, run.job_type = record.run.project, record.run.job_type
            run.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "history":
            run.rows.append({"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item})
        elif kind == "summary":
            for item in record.summary.update:
                run.summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def _records(path: str) -> Iterator[Any]:
    from wandb.proto import wandb_internal_pb2

    messages: Any = wandb_internal_pb2

    with open(path, "rb") as file:
        data = file.read()
    at, whole = 7, b""  # behind `:W&B` and a version
    while at + _HEADER.size <= len(data):
        if (left := _BLOCK - at % _BLOCK) < _HEADER.size:
            at += left
            continue
        _, size, kind = _HEADER.unpack_from(data, at)
        whole += data[at + _HEADER.size : at + _HEADER.size + size]
        at += _HEADER.size + size
        if kind in (1, 4):  # complete: in one piece, or with its last piece
            record = messages.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""
