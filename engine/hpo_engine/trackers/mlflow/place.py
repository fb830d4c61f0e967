"""Which store a study's runs go to, and whether its server answers. Imports nothing of MLflow."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from hpo_engine.text.quoting import without_password
from hpo_engine.trackers.background import Unreachable

URI, EXPERIMENT, EXPERIMENT_ID = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"
_PROBE_S = 3.0
_KINDS = ("http", "https", "sqlite", "file", "postgresql", "mysql", "mssql", "databricks")


def checked(uri: str) -> str:
    """The URI. Raises ValueError: MLflow knows no such one."""
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme and scheme not in _KINDS:
        raise ValueError(
            f"tracking_uri is http(s)://HOST:PORT, sqlite:///FILE or a folder, not {without_password(uri)!r}"
        )
    return uri


def resolved(uri: str, folder: str, runs: str) -> str:
    """The URI, which means the same in every folder.

    Args:
        uri: "": a file `mlflow.db` in the folder of the studies. folder: what a relative path is relative to; runs: the
            folder of the studies.
    """
    if not uri:
        return f"sqlite:///{runs}/mlflow.db"
    parts = urlsplit(uri)
    if parts.scheme == "sqlite" and uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        return f"sqlite:///{os.path.join(folder, uri.removeprefix('sqlite:///'))}"
    if parts.scheme in ("", "file") and not parts.netloc:
        return os.path.normpath(os.path.join(folder, unquote(parts.path)))
    return uri


def beside(uri: str) -> str | None:
    """Where the artifacts of an experiment that is new in a SQLite file are kept; None: MLflow decides."""
    if not uri.startswith("sqlite:////"):
        return None
    return f"{os.path.dirname(uri.removeprefix('sqlite:///'))}/mlartifacts"


def probe(uri: str) -> None:
    """Returns at once if the store is in files, and if its server answers, whatever it says. Raises Unreachable.

    MLflow's own client tries a server that is gone for minutes.
    """
    if not uri.startswith(("http://", "https://")):
        return
    parts = urlsplit(uri)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    try:
        with urllib.request.urlopen(f"{bare}/health", timeout=_PROBE_S):
            pass
    except urllib.error.HTTPError as error:
        if error.code in (502, 503, 504):  # of a proxy in front of it
            raise Unreachable(f"{without_password(uri)} answers with {error.code}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Unreachable(f"{without_password(uri)} does not answer: {reason}") from None


def experiment_of(given: str, variables: Mapping[str, str], study: str) -> str:
    """The experiment's name: the tracker's option, else that of the environment, else the study's."""
    return given or variables.get(EXPERIMENT, "") or study
