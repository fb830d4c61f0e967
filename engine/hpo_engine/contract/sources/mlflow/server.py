"""MLflow's tracking server, asked over its REST interface in a thread, so that one that does not answer holds up
nothing."""

from __future__ import annotations

import base64
import json
import math
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from hpo_engine.contract.binding import ATTEMPT_TAG as TAG
from hpo_engine.contract.sources.mlflow.points import Point

EVERY_S = 0.5  # between two looks
_TIMEOUT_S = 5.0  # of one request
_MOST_BYTES = 16 << 20  # of one answer
_MOST_PAGES = 100
_SILENT_S = 30.0  # after a server did not answer, one waits only for
_WAIT_AGAIN_S = 0.2  # seconds, so that many trials that end do not wait one after the other
_silent: dict[str, float] = {}  # by server: until when
_EXPERIMENTS_S = 2.0  # so long a list of experiments counts
_OFTEN = 2  # a look that took long is repeated after this many times its duration


class Server:
    """The values of an attempt's runs on one server.

    Args:
        uri: http://... or https://...; nonce: of the attempt.
        env: variables, of which MLFLOW_TRACKING_TOKEN, _USERNAME and _PASSWORD count.
    """

    def __init__(self, uri: str, nonce: str, env: Mapping[str, str]) -> None:
        self.uri, self._nonce = uri.rstrip("/"), nonce
        self._headers = {"Content-Type": "application/json", **_credentials(env)}
        self._thread: threading.Thread | None = None
        self._not_before = 0.0
        self._experiments: Sequence[str] = ()
        self._experiments_until = 0.0
        self._latest: dict[tuple[str, str], Any] = {}  # of a run and a metric: what the server had last
        self._counts: dict[tuple[str, str], int] = {}  # and how many values were read
        self._fresh: list[Point] = []
        self._lock = threading.Lock()
        self.problem = ""
        """Why the last look failed, if it did."""

    def fresh(self) -> list[Point]:
        """The values that have come in since the last call. Never waits."""
        idle = self._thread is None or not self._thread.is_alive()
        if idle and time.monotonic() >= self._not_before:
            self._thread = threading.Thread(target=self._look, name="mlflow", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no more threads at present
                self._thread = None
        with self._lock:
            points, self._fresh = self._fresh, []
        return points

    def all(self, wait_s: float) -> list[Point]:
        """All values, or those that came within `wait_s` seconds; then `problem` says what is wrong."""
        if time.monotonic() < _silent.get(self.uri, 0.0):
            wait_s = min(wait_s, _WAIT_AGAIN_S)
        self.problem = f"{self.uri} did not answer within {wait_s:g} s"
        self._not_before = 0.0
        points = self.fresh()
        if self._thread is not None:
            self._thread.join(wait_s)
            self._not_before = math.inf
            points += self.fresh()
        if self.problem:
            _silent[self.uri] = time.monotonic() + _SILENT_S
        return points

    def _look(self) -> None:
        started = time.monotonic()
        try:
            for run in self._runs():
                self._take(run)
            self.problem = ""
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = getattr(error, "reason", error)
            self.problem = f"{self.uri} cannot be read ({' '.join(str(reason).split())[:200]})"
        self._experiments_until = self._experiments_until if not self.problem else 0.0
        took = time.monotonic() - started
        self._not_before = time.monotonic() + max(EVERY_S, _OFTEN * took if took > EVERY_S else 0.0)

    def _runs(self) -> Sequence[Mapping[str, Any]]:
        if time.monotonic() >= self._experiments_until:
            found = self._ask("experiments/search", {"max_results": 1000}).get("experiments", [])
            self._experiments = [each["experiment_id"] for each in found]
            self._experiments_until = time.monotonic() + _EXPERIMENTS_S
        ids = self._experiments
        if not ids:
            return []
        search = {"experiment_ids": ids, "filter": f"tags.`{TAG}` = '{self._nonce}'", "max_results": 100}
        runs: Sequence[Mapping[str, Any]] = self._ask("runs/search", search).get("runs", [])
        return runs

    def _take(self, run: Mapping[str, Any]) -> None:
        run_id = str(run["info"]["run_id"])
        for latest in run.get("data", {}).get("metrics", []):
            key = (run_id, str(latest["key"]))
            if self._latest.get(key) == latest:
                continue
            points = self._history(*key)
            with self._lock:
                self._fresh += points[self._counts.get(key, 0) :]
            self._counts[key], self._latest[key] = len(points), latest

    def _history(self, run_id: str, name: str) -> list[Point]:
        points: list[Point] = []
        token = ""
        for _ in range(_MOST_PAGES):
            query = {"run_id": run_id, "metric_key": name, "max_results": "25000"}
            if token:
                query["page_token"] = token
            answer = self._ask(f"metrics/get-history?{urlencode(query, quote_via=quote)}")
            for each in answer.get("metrics", []):
                value = float(each.get("value", 0.0))
                if abs(value) >= 1.7976931348623157e308:
                    value = math.copysign(math.inf, value)
                points.append(Point(run_id, name, value, int(each.get("step", 0)), int(each.get("timestamp", 0))))
            token = answer.get("next_page_token", "")
            if not token:
                break
        return points

    def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.uri}/api/2.0/mlflow/{path}", data, self._headers)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            found = json.loads(answer.read(_MOST_BYTES))
        if not isinstance(found, dict):
            raise ValueError("it is no MLflow server")
        return found


def _credentials(env: Mapping[str, str]) -> dict[str, str]:
    if token := env.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if user := env.get("MLFLOW_TRACKING_USERNAME"):
        text = f"{user}:{env.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}
    return {}
