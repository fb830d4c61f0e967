"""What each verb's `--json` prints, as JSON Schemas: `hpo-engine schema --output VERB`.

An output's version rises when a field goes, or changes its type or its meaning; new fields may come at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]
_WORDS: Mapping[str, Schema] = {
    "text": {"type": "string"},
    "int": {"type": "integer"},
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "any": {},
    "values": {"type": "object"},
}


def _of(kind: str | Schema) -> Schema:
    """The schema of a word; with a question mark, null is allowed, and in brackets it is a list."""
    if not isinstance(kind, str):
        return kind
    if kind.endswith("?"):
        return _or_null(_of(kind[:-1]))
    if kind.startswith("["):
        return _list(kind[1:-1])
    return dict(_WORDS[kind])


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(kind: str | Schema) -> Schema:
    return {"type": "array", "items": _of(kind)}


def _map(kind: str | Schema) -> Schema:
    return {"type": "object", "additionalProperties": _of(kind)}


def _object(fields: Mapping[str, str | Schema], **optional: str | Schema) -> Schema:
    """`optional`: fields that are there in some cases only."""
    return {
        "type": "object",
        "properties": {name: _of(kind) for name, kind in {**fields, **optional}.items()},
        "required": list(fields),
        "additionalProperties": False,
    }


def _about(schema: str | Schema, text: str) -> Schema:
    return {**_of(schema), "description": text}


_STATE = _about("text", "running, finished, failed, stopped, or interrupted: no engine runs it, though its log says so")
_TRIAL_STATE = _about(
    "text", "pending, running, paused, completed, failed, timed_out, stopped, pruned (ended early) or lost"
)
_TIME = _about("number?", "UTC seconds")
_PARAMS = _about("values", "as in the trial's config.json")
_VALUES = _about(_or_null(_map("number?")), "objective -> value, in the user's own sign")
_COUNTS = _about(_map("int"), "trials by state")
_MEMBER = _object(
    {"trial": "int", "value": _about("number?", "of the first objective"), "params": _PARAMS},
    values=_VALUES,
    metrics=_about(_map("number?"), "those that the study file names under metrics"),
)
_FRONT: dict[str, str | Schema] = {
    "front": _about(_list(_MEMBER), "the trials that no other one beats in every objective, by the first one"),
    "hypervolume": "number?",
    "reference": _or_null(_map("number?")),
}
_RUN = _object({"resource": "int?", "attempt": "int", "value": "number?"}, values=_VALUES)
_SEGMENT = _object(
    {"trial": "int", "attempt": "int", "from": "number?", "to": "number?", "value": "number?", "params": _PARAMS},
    values=_VALUES,
)
_TRIAL_FIELDS: dict[str, str | Schema] = {
    "trial": "int",
    "state": _TRIAL_STATE,
    "value": _about("number?", "of the first objective; null: it has no result"),
    "params": _PARAMS,
    "attempts": _about("int", "how often its process was started"),
    "started_at": _TIME,
    "ended_at": _TIME,
    "failure": _about("text?", "exit_code, signal, out_of_memory, no_result, bad_result, time_limit, stalled ..."),
    "reason": _about("text", "why it ended, in words"),
    "cpu_s": "number?",
    "memory_peak_mb": "number?",
    "last_row": _about("values?", "the latest row of metrics, with its step"),
}
_TRIAL_MORE: dict[str, str | Schema] = {
    "values": _VALUES,
    "front": _about("bool", "whether it is on the front, in a study of several objectives"),
    "metrics": _map("number?"),
    "results": _about(_list(_RUN), "its result with each amount of the study's resource"),
    "schedule": _about(_list(_SEGMENT), "the runs that led to it, one after the other"),
    "reached": _about(_object({"step": "number", "values": _map("number?")}), "what it had when it was ended early"),
}
_TRIAL = _object(_TRIAL_FIELDS, **_TRIAL_MORE)
_SUMMARY_FIELDS: dict[str, str | Schema] = {
    "study": "text",
    "state": _STATE,
    "best": _or_null(_MEMBER),
    "counts": _COUNTS,
    "seconds": _about("number", "how long engines have run it"),
}
_SUMMARY_MORE: dict[str, str | Schema] = {
    **_FRONT,
    "reason": _about("text", "why a rule ended or stopped it"),
    "trials": "int",
    "runs": "int",
}
_STARTED = _object({"study": "text", "pid": "int", "folder": "text"})
_RESULT: Schema = {
    "anyOf": [
        _object(_SUMMARY_FIELDS, **_SUMMARY_MORE),
        _about(_STARTED, "with --detach: the engine that was started"),
        _about(
            _object({"study": "text", "server": "text", "state": "text", "folder": "text"}),
            "with --server and --detach: where it is",
        ),
    ]
}
_ATTEMPT = _object(
    {
        "attempt": "int",
        "resource": "int?",
        "resume_from": _about("int?", "the trial whose files it went on from"),
        "devices": "[any]",
        "variables": _about(_map("text"), "set for its script by trackers"),
        "started_at": _TIME,
        "ended_at": _TIME,
        "exit": "text?",
        "stop_cause": "text?",
        "failure": "text?",
        "seconds": "number?",
        "cpu_s": "number?",
        "memory_peak_mb": "number?",
    }
)
_SHOWN_TRIAL = _object(
    {**_TRIAL_FIELDS, "rows": _list("values"), "runs": _list(_ATTEMPT), "result_dir": "text", "log_dir": "text"},
    **_TRIAL_MORE,
)
_SOURCE = _object({"source": "text", "read": "text", "steps": "text", "others": "[text]", "trial": "int"})
_SHOWN_STUDY = _object(
    {
        **_SUMMARY_FIELDS,
        "folder": "text",
        "metrics_from": _list(_SOURCE),
        "provenance": _object({"command": "[text]", "code": "values?", "runtimes": _list("values")}),
        "trials": _list(_TRIAL),
    },
    **_FRONT,
    reason="text",
    runs="int",
)
_OWNER = _about("text", "at a server: who submitted it")
_LISTED = {
    "anyOf": [
        _object(
            {
                "study": "text", "state": _STATE, "best": _or_null(_object({"trial": "int", "value": "number?"})),
                "counts": _COUNTS, "trials": "int?", "runs": "any", "algorithm": "text?", "last_at": _TIME,
                "folder": "text",
            },
            front="any", owner=_OWNER,
        ),
        _object({"study": "text", "state": {"const": "unreadable"}, "error": "text", "folder": "text"}, owner=_OWNER),
    ]
}  # fmt: skip
_FINDING = _object(
    {
        "level": {"enum": ["problem", "warning", "note", "ok"]}, "topic": "text", "code": "text", "text": "text",
        "action": "text",
    }
)  # fmt: skip
_CHECK = _object(
    {
        "study": "text", "ok": "bool", "worst": "text", "findings": _list(_FINDING), "trials": _list("values"),
        "cost": "any", "notes": "[text]", "seconds": "number", "kept": "text?",
    }
)  # fmt: skip
_RUNG = _object({"amount": "int", "runs": "int", "carried_on": "int"})
_PLAN = _object(
    {
        "study": "text", "algorithm": "text", "parallel": "int", "resource": "text?",
        "so_far": _or_null(_object({"runs": "int", "trials": "int"})), "runs": "int?",
        "rungs": _or_null(_list(_RUNG)), "trials": "int?", "units": "number?", "seconds": "number?",
        "seconds_between": "any", "bytes": "number?", "start_s": "number?", "unit_s": "number?",
        "measured_runs": "int?",
    }
)  # fmt: skip
_TABLE = _object({"title": "text", "rows": _map(_map("any"))})
_COMPARE = {
    "anyOf": [
        _object({"study": "text", "trials": _list(_TRIAL), "differences": _list(_TABLE)}),
        _object({"studies": "[text]", "differences": _list(_TABLE), "study_files": "any"}),
    ]
}
_SERIES = _object({"name": "text", "x": "[any]", "y": "[any]"})
_CHART = _object({"title": "text", "x": "text", "y": "text", "series": _list(_SERIES)})
_PLOT = {
    "anyOf": [
        _object({"study": "text", "figure": "text", "charts": _list(_CHART)}),
        _object(
            {
                "study": "text", "figure": {"const": "importance"}, "trials": "int", "resource": "int?",
                "notes": "[text]", "importance": _list("values"),
            }
        ),
    ]
}  # fmt: skip
_SHARES = {f"{name}{share}": "number?" for name in ("steps", "train", "wall") for share in ("_s", "_share")}
_RULE = _object(
    {
        "stop": "text",
        "ended": _list(_object({"trial": "int", "reason": "text", "step": "number?"})),
        "omitted": "[int]",
        "over": "text?",
        "saved": _object({"steps": "number", **{k: v for k, v in _SHARES.items() if k != "steps_s"}}),
        "best": _or_null(_object({"trial": "int", "value": "number?"})),
        "lost": "[int]",
        "idle": "text?",
    }
)
_BACKTEST = _object(
    {
        "study": "text", "trials": "int", "parallel": "int", "steps": "number", "train_s": "number", "wall_s": "number",
        "rules": _list(_RULE),
    }
)  # fmt: skip
_OPTION = _object({"type": "text", "default": "any", "allowed": "text", "about": "text"})
_ALGORITHM = _object(
    {
        "summary": "text", "suits": "text", "cost": "text", "source": "text", "extra": "text?",
        "needs_resource": "bool", "uses_running": "bool", "many_objectives": "bool", "options": _map(_OPTION),
    }
)  # fmt: skip
_PLUGIN = _object(
    {
        "path": "text", "python": "text?", "conda_env": "text?", "log_level": "text?", "creator": "text?",
        "created": _TIME,
    }
)  # fmt: skip
_ALGORITHMS = {
    "anyOf": [
        _object(
            {
                "algorithms": _map(_ALGORITHM), "common": _map(_OPTION), "plugins": _map("text"),
                "search_plugins": _map(_PLUGIN),
            }
        ),
        _about(_map({"anyOf": [_ALGORITHM, _PLUGIN]}), "with NAME, or of install: that one"),
    ]
}  # fmt: skip
_EDIT = _object({"changed": "bool", "lines": "[text]"}, effects="[text]")
_ENQUEUE = _list(_object({"number": "int", "trial": "int?", "params": "values"}))
_TRIAL_STATES = _list(_object({"trial": "int", "state": _TRIAL_STATE}))
_EXPLAIN = _object(
    {
        "study": "text",
        "trial": "int",
        "state": _TRIAL_STATE,
        "value": "number?",
        "params": _PARAMS,
        "proposed": _object(
            {
                "kind": {"enum": ["searcher", "user", "warm_start", "start_from", "repeats", "carry_on"]},
                "why": "text",
                "based_on": _about("[int]", "the trials whose files or values it has"),
            }
        ),
        "rank": _object({"place": "int?", "among": "int?", "why": "text?"}),
        "ended": "text?",
        "needed": "text?",
    }
)


def _event(name: str, fields: Mapping[str, str | Schema]) -> Schema:
    head: dict[str, str | Schema] = {
        "version": {"const": 1},
        "event": {"const": name},
        "number": _about("int", "of the event in the study's log; --after takes it"),
        "at": _TIME,
        "study": "text",
    }
    return _object({**head, **fields})


_AIM = _object({"metric": "text", "goal": "text"})
_ROW = _object({"step": "number?", "values": _map("number?")})
_WATCH: Schema = {
    "anyOf": [
        _event(
            "study_opened",
            {
                "objectives": _list(_AIM), "algorithm": "text", "trials": "int?", "runs": "int?", "parallel": "int",
                "parameters": "[text]",
            },
        ),
        _event("engine_started", {"pid": "int", "host": "text"}),
        _event("trial_queued", {"params": "values", "first": "bool", "earlier_study": "bool"}),
        _event("trial_proposed", {"trial": "int", "params": "values", "resource": "int?"}),
        _event("trial_carried_on", {"trial": "int", "params": "values", "resource": "int?"}),
        _event("attempt_started", {"trial": "int", "attempt": "int"}),
        _event("metrics", {"trial": "int", "replace": "bool", "rows": _list(_ROW)}),
        _event(
            "attempt_ended",
            {
                "trial": "int", "attempt": "int", "reason": "text", "failure": "text?", "exit": "text",
                "paused": "bool",
            },
        ),
        *(_event(name, {"trial": "int"}) for name in ("trial_paused", "trial_resumed", "trial_reopened")),
        _event(
            "trial_ended",
            {
                "trial": "int", "state": _TRIAL_STATE, "values": _VALUES, "reason": "text", "failure": "text?",
                "best": _about("bool", "whether it is the best one now, or on the front"),
            },
        ),
        _event("stop_asked", {"trial": _about("int?", "null: the study"), "reason": "text", "rule": "text?"}),
        _event("study_changed", {"lines": "[text]", "who": "text?"}),
        _event("study_closed", {"state": "text", "reason": "text", "best": "int?", "value": "number?"}),
        _event("end", {"state": _STATE, "reason": "text", "best": "int?", "value": "number?"}),
    ]
}  # fmt: skip

OUTPUTS: Mapping[str, tuple[int, str, Schema]] = {
    "submit": (1, "the last line: the result", _RESULT),
    "resume": (
        1,
        "the last line: the result; of single trials, what they are now",
        {"anyOf": [_RESULT, _TRIAL_STATES]},
    ),
    "retry": (1, "the result; of single trials, what they are now", {"anyOf": [_RESULT, _TRIAL_STATES]}),
    "replay": (1, "the last line: the result of the new study", _RESULT),
    "list": (1, "the studies below the root, by name", _list(_LISTED)),
    "show": (1, "a study with its trials; with TRIAL, one of them", {"anyOf": [_SHOWN_STUDY, _SHOWN_TRIAL]}),
    "best": (1, "the best trial; of several objectives, the front", {"anyOf": [_MEMBER, _object(_FRONT)]}),
    "explain": (1, "why a trial is what it is", _EXPLAIN),
    "watch": (1, "with --jsonl, each line: an event", _WATCH),
    "check": (1, "what a few short trials have shown", _CHECK),
    "plan": (1, "what a study will run and cost; null: not known", _PLAN),
    "edit": (1, "what was changed", _EDIT),
    "enqueue": (1, "the configurations that wait, or the trials that they have become", _ENQUEUE),
    "cancel": (1, "what the trials are now", _TRIAL_STATES),
    "pause": (1, "what the trials are now", _TRIAL_STATES),
    "export": (1, "with --format json: the trials", _list(_TRIAL)),
    "compare": (1, "what differs between trials, or between studies", _COMPARE),
    "plot": (1, "a figure as numbers", _PLOT),
    "backtest": (1, "what rules would have ended and saved", _BACKTEST),
    "algorithms": (1, "the algorithms, or one of them", _ALGORITHMS),
    "doctor": (1, "what the machine offers", _map(_object({"value": "any", "note": "text"}))),
    "serve": (1, "where the service listens, once it does", {"type": "object"}),
    "users": (1, "of list, token list and audit: one object for each", _list("values")),
}
"""Verb -> version, what is printed, and its schema."""


def schema_of(verb: str) -> Schema:
    """The JSON Schema of a verb's output."""
    version, about, schema = OUTPUTS[verb]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:hpo-engine:output:{verb}:{version}",
        "title": f"hpo-engine {verb} --{'jsonl' if verb == 'watch' else 'json'}, version {version}",
        "description": about,
        **schema,
    }
