"""The forms of answers that the dialect has beside JSON objects."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse, PlainTextResponse

from hpo_engine.reports.objects import dump
from hpo_engine.service.wmla.memory import Body
from hpo_engine.studyfile.wmla import Generation

BASE = "/platform/rest/deeplearning/v1"


def json_answer(value: Any) -> Response:
    """Strict JSON: numbers that are not finite are null."""
    return json_body(dump(value).encode())


def json_body(body: Body) -> Response:
    return Response(body, media_type="application/json")


def nothing() -> Response:
    return Response(status_code=204)


def refusal(status: int, text: str) -> Response:
    """An error as WMLA words it: clients print it."""
    return PlainTextResponse(f"Error {status}: {text}", status)


def forbidden(text: str) -> Response:
    return JSONResponse({"error": text, "problems": []}, 403)


def creation(name: str, generation: Generation, folder: str = "hypersearch") -> Response:
    """What a submission answers: clients of 1.2 put the JSON string into addresses, the others read the object."""
    if generation is Generation.V1:
        return json_answer(name)
    return json_answer({"uid": name, "href": f"{BASE}/{folder}/{name}"})
