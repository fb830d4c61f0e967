"""The OpenAPI document of the whole application: names of operations for generated clients, and how to log in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hpo_engine.service.v1.models import Submission

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.routing import APIRoute

DOCUMENT = "/api/v1/openapi.json"
_NATIVE = "/api/v1/"
_WMLA = "/platform/rest/deeplearning/"
_PREFIXES = {"copies": "copy_"}  # by tag, for routes whose names say too little
_TAGS = (
    ("studies", "Studies as a whole: list, submit, look, stop, resume, remove."),
    ("trials", "Trials of a study, what they reported, and their learning curves."),
    ("changes", "What is done to a study or to one of its trials, and the check of a study file."),
    ("figures", "Figures, as Plotly has them and as plain numbers."),
    ("files", "What a trial printed, and the files that it left."),
    ("events", "Streams of server-sent events: what is new, as it happens."),
    ("server", "Version, user, algorithms, machine."),
    ("copies", "For the command line as a client: a copy of a study's event log."),
)
_ABOUT = """\
Studies over HTTP. Within version 1 of `/api/v1`, routes and fields are added, and none is removed or changes its
meaning; clients are to ignore fields that they do not know. Every error has the form `{"error": text, "problems":
[{"path", "text", "line"}]}`. Times are UTC seconds. A number that is not finite is null. GET answers with an `ETag` may
be polled with `If-None-Match`.

Credentials: a token as `Authorization: Bearer` or `X-Auth-Token`, or Basic with user and password.
"""
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "The service's token, or one of a user's."},
    "password": {"type": "http", "scheme": "basic"},
    "header": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
}


def operation_id(route: APIRoute) -> str:
    """The name of a route in generated clients."""
    if route.path_format.startswith(_NATIVE) or not route.path_format.startswith(_WMLA):
        return _PREFIXES.get(str(route.tags[0]) if route.tags else "", "") + route.name
    return f"wmla_{route.name}"


def describe(app: FastAPI) -> None:
    """Completes the document that the application makes of its routes."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = make()
            found["info"]["description"] = _ABOUT
            found["tags"] = [{"name": name, "description": about} for name, about in _TAGS]
            found["components"]["securitySchemes"] = _SCHEMES
            found["security"] = [{name: []} for name in _SCHEMES]
            found["components"]["schemas"]["Submission"] = Submission.model_json_schema()
            _without_422(found)
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each call in a document."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _without_422(document: dict[str, Any]) -> None:
    """What FastAPI says of its own answer to wrong input: here it is a 400, of the form of all errors."""
    for _, _, operation in operations(document):
        operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
