"""Tells a URL when there is a new best trial, when a trial has failed, and when the study ends: a signed POST of JSON.

Every message is delivered at least once, in order, and says by an id which one it is, so that a receiver can drop what
it has had. What has been delivered is noted in the study's folder; a resumed study sends what is missing.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import logging
import os
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

from hpo_engine.contract.binding import put
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.plugins.card import Card, Option
from hpo_engine.reports.objects import dump, member_object, trial_object
from hpo_engine.study.events import Event, StudyClosed, TrialEnded
from hpo_engine.study.history import History
from hpo_engine.study.trial import BAD, Trial
from hpo_engine.text.tables import assignments, number
from hpo_engine.trackers.background import Background, Unreachable
from hpo_engine.version import __version__

log = logging.getLogger(__name__)

BEST, FAILED, END = "best", "failed", "end"
SIGNATURE, KEY = "X-Hpo-Engine-Signature-256", "Idempotency-Key"
_LIMIT_S = 10.0  # for one try
_PASSING = (408, 425, 429)  # and 5xx: the same message may be taken later
_SIGNS = "%/:=&?~+!$,;'@()*[]"  # of an address, which stay as they are
_SENT = ".webhook-{}.json"
Message = dict[str, Any]


class WebhookTracker:
    """Posts to `url`. `secret`: the name of the environment variable with the key that messages are signed with."""

    card = Card(
        "Posts JSON to a URL at a new best trial, a failed one and the end; signed, retried, readable by Slack.",
        options={
            "url": Option(
                "http:// or https://; {VARIABLE} stands for the value of an environment variable", str, default=""
            ),
            "secret": Option("the environment variable with the key for the signature", str),
            "events": Option(
                "which messages are sent", str, default=(BEST, END), words=(BEST, FAILED, END), many=True
            ),
        },
    )  # fmt: skip

    def __init__(
        self, paths: StudyPaths, *, url: str = "", secret: str | None = None, events: tuple[str, ...] = (BEST, END)
    ) -> None:
        self._url = _checked(url)
        self._key = None if secret is None else _variable(secret, "secret")
        self._wanted, self._root = events, paths.root
        self._mark = _SENT.format(hashlib.sha256(url.encode()).hexdigest()[:8])
        self._best: int | None = None
        self._queue: Background[Message] = Background(self._deliver, "webhook")

    def open(self, history: History, now: float) -> None:
        """What an earlier engine had to say and did not deliver is sent now."""
        self._best = history.best_id
        sent = _read(os.path.join(self._root, self._mark))
        if sent is None:  # nothing was ever sent: what is there already is no news
            return
        for trial in history.finished:
            if (trial.ended_at or 0.0) > sent and trial.state in BAD:
                self._tell(FAILED, history, trial.ended_at or now, trial)
        if history.best is not None and (history.best.ended_at or 0.0) > sent:
            self._tell(BEST, history, history.best.ended_at or now)

    def on(self, event: Event, history: History) -> None:
        if isinstance(event, StudyClosed):
            self._tell(END, history, event.at)
        elif isinstance(event, TrialEnded):
            if history.best_id != self._best:
                self._best = history.best_id
                self._tell(BEST, history, event.at)
            if (trial := history.trials[event.trial]).state in BAD:
                self._tell(FAILED, history, event.at, trial)

    def tick(self, history: History, now: float) -> None:
        pass

    def close(self, history: History) -> None:
        if not self._queue.close():
            log.warning("webhook: the last messages could not be delivered to %s", _host(self._url))

    def _tell(self, kind: str, history: History, at: float, trial: Trial | None = None) -> None:
        """Queues a message, if such messages are wanted. `at`: when it happened (UTC seconds)."""
        if kind not in self._wanted or (kind == BEST and history.best is None):
            return
        name, subject = history.spec.name, trial if kind == FAILED else history.best
        if kind == BEST:
            text = f"{name}: {_best_text(history)}"
        elif trial is not None:
            text = f"{name}: trial {trial.id} failed: {trial.reason}"
        else:
            why = f" ({history.reason})" if history.reason else ""
            text = f"{name} {history.state.value}{why}; {_best_text(history)}"
        which = history.events if subject is None or kind == END else f"{subject.id}-{len(subject.attempts)}"
        self._queue.put({
            "id": f"{_study_id(history)}-{kind}-{which}",
            "event": kind,
            "at": at,
            "study": name,
            "state": history.state.value,
            "counts": {state.value: count for state, count in sorted(history.counts.items())},
            "best": None if history.best is None else member_object(history, history.best),
            **({} if trial is None else {"trial": trial_object(history, trial)}),
            "text": text,  # Slack, Mattermost
            "content": text,  # Discord
        })  # fmt: skip

    # -- in the thread of the queue --------------------------------------------------------------------------------

    def _deliver(self, message: Message) -> None:
        self._post(dump(message).encode(), message["id"])
        with suppress(OSError):
            folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                put(folder, self._mark, json.dumps({"sent": message["at"]}).encode())
            finally:
                os.close(folder)

    def _post(self, body: bytes, key: str) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": f"hpo-engine/{__version__}", KEY: key}
        if self._key is not None:
            headers[SIGNATURE] = f"sha256={hmac.new(self._key.encode(), body, hashlib.sha256).hexdigest()}"
        request = urllib.request.Request(self._url, body, headers, method="POST")
        try:
            with _opener().open(request, timeout=_LIMIT_S) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            if error.code in _PASSING or error.code >= 500:
                raise Unreachable(f"{_host(self._url)} answers {error.code}") from None
            raise RuntimeError(f"{_host(self._url)} refuses messages: {error.code} {error.reason}") from None
        except http.client.HTTPException as error:  # something else listens there, or it broke off
            raise Unreachable(f"{_host(self._url)} gives no proper answer: {type(error).__name__}") from None
        except (OSError, ValueError) as error:  # URLError is an OSError
            why = getattr(error, "reason", None) or error
            raise Unreachable(f"{_host(self._url)} cannot be reached: {why}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A message is for the address in the study file and no other."""

    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect)


def _checked(url: str) -> str:
    """The address with environment variables filled in. Raises ValueError, without what may be secret in it."""
    filled, rest = "", url
    while "{" in rest:
        before, _, rest = rest.partition("{")
        name, _, rest = rest.partition("}")
        filled += before + _variable(name, "url")
    filled += rest
    try:
        parts = urlsplit(filled)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0  # or it is no number
    except ValueError:
        good = False
    if not good or any(ord(char) <= 32 for char in filled):
        raise ValueError("url must begin with http:// or https:// and name a host, and a port if any, without spaces")
    if parts.username is not None:
        raise ValueError("url must not have a user or a password; messages can be signed, see secret")
    return parts._replace(path=quote(parts.path, _SIGNS), query=quote(parts.query, _SIGNS), fragment="").geturl()


def _variable(name: str, option: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ValueError(f"{option}: the environment variable {name} is not set")
    return value


def _host(url: str) -> str:
    """What messages call the receiver: the path may be a secret, as it is with Slack."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _study_id(history: History) -> str:
    return hashlib.sha256(f"{history.spec.name} {history.opened_at!r}".encode()).hexdigest()[:10]


def _best_text(history: History) -> str:
    if history.best is None or history.best_value is None:
        return "no trial has a result"
    metric, params = history.spec.objectives[0].metric, history.result_config(history.best)
    return f"best {metric} {number(history.best_value)}, trial {history.best.id}: {assignments(params, 200)}"


def _read(path: str) -> float | None:
    """When that happened which was delivered last (UTC seconds); None: nothing was."""
    with suppress(OSError, ValueError, KeyError, TypeError), open(path, encoding="utf-8") as file:
        return float(json.load(file)["sent"])
    return None
