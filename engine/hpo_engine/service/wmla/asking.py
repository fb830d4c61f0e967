"""Who asks, and in which manner the answer must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpo_engine.studyfile.wmla import Generation

if TYPE_CHECKING:
    from fastapi import Request

    from hpo_engine.service.desk import Caller

_SDK = "wmla-python-sdk/"


def generation_of(caller: Caller) -> Generation:
    """WMLA 1.2's clients send Basic credentials, or the cookie of a logon with them; CPD's and the SDK a token."""
    return Generation.CPD if caller.how == "token" or _SDK in caller.agent else Generation.V1


def plain_text(request: Request) -> bool:
    """Whether a log is wanted as plain text; it is a JSON string otherwise, also for application/octet-stream."""
    return "text/plain" in request.headers.get("accept", "")


def key_of(request: Request) -> str | None:
    """The client's own name for a submission, with which it may send it again: there is one study of it."""
    return request.headers.get("idempotency-key") or None


def form(**properties: str) -> dict[str, Any]:
    """For the description of a call: the parts of its multipart body, with what each is."""
    parts = {name: {"type": "string", "description": text} for name, text in properties.items()}
    schema = {"type": "object", "properties": parts, "required": ["data"] if "data" in parts else []}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
