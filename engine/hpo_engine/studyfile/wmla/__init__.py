"""The dialect of WMLA: its requests -> StudySpec, and histories -> its answers.

The only room that knows its spellings. Accepts what real clients send, quirks included; never runs anything.
"""

from hpo_engine.studyfile.wmla.algorithms import BUILT_IN
from hpo_engine.studyfile.wmla.answers import (
    Generation,
    app_id,
    duration,
    opened_us,
    plugin_result,
    read_app_id,
    task_object,
    task_state,
    timestamp,
    trial_object,
    trial_state,
)
from hpo_engine.studyfile.wmla.jobs import job_object, job_state
from hpo_engine.studyfile.wmla.machine import crowded, fitted
from hpo_engine.studyfile.wmla.parameters import search_params
from hpo_engine.studyfile.wmla.request import (
    is_request,
    is_training,
    main_script,
    new_name,
    parse_request,
    training_request,
    without_secrets,
)

__all__ = [
    "BUILT_IN",
    "Generation",
    "app_id",
    "crowded",
    "duration",
    "fitted",
    "is_request",
    "is_training",
    "job_object",
    "job_state",
    "main_script",
    "new_name",
    "opened_us",
    "parse_request",
    "plugin_result",
    "read_app_id",
    "search_params",
    "task_object",
    "task_state",
    "timestamp",
    "training_request",
    "trial_object",
    "trial_state",
    "without_secrets",
]
