"""The reference of the HTTP API as a page, made of the OpenAPI document: it loads nothing from elsewhere."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from markupsafe import Markup, escape

from hpo_engine.service.page.rendering import render

router = APIRouter()


@dataclass(frozen=True)
class Field:
    """A parameter of a call, or a field of a body or an answer. `kind`: its type in words."""

    name: str
    kind: str
    about: str
    required: bool = False
    place: str = ""


@dataclass(frozen=True)
class Call:
    """One method of one path. `bodies`: by media type. `example`: a command line of curl."""

    id: str
    method: str
    path: str
    summary: str
    about: Sequence[Markup]
    parameters: Sequence[Field]
    bodies: Mapping[str, Sequence[Field]]
    answers: Sequence[tuple[str, str]]
    fields: Sequence[Field]
    example: str


@dataclass(frozen=True)
class Group:
    name: str
    about: str
    calls: Sequence[Call]


@router.get("/docs", include_in_schema=False)
def reference(request: Request) -> Response:
    """The calls of the service, with what they take and answer."""
    return render(request, "reference.html", groups=_groups(request.app), about=_paragraphs(_info(request.app)))


def _info(app: FastAPI) -> str:
    return str(app.openapi()["info"].get("description", ""))


@lru_cache(maxsize=2)
def _groups(app: FastAPI) -> list[Group]:
    document = app.openapi()
    schemas = document["components"]["schemas"]
    found: dict[str, list[Call]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            found.setdefault(tag, []).append(_call(method, path, operation, schemas))
    about = {tag["name"]: tag["description"] for tag in document["tags"]}
    ordered = [*(name for name in about if name in found), *(name for name in found if name not in about)]
    return [Group(name, about.get(name, ""), found[name]) for name in ordered]


def _call(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Call:
    parameters = [
        Field(
            each["name"], _kind(_resolved(each.get("schema", {}), schemas), schemas), each.get("description", ""),
            each.get("required", False), each["in"],
        )
        for each in operation.get("parameters", [])
    ]  # fmt: skip
    bodies = {
        kind: list(_fields(content.get("schema", {}), schemas))
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    }
    answers = [(status, answer.get("description", "")) for status, answer in sorted(operation["responses"].items())]
    good: Mapping[str, Any] = next((operation["responses"][s] for s, _ in answers if s.startswith("2")), {})
    schema = good.get("content", {}).get("application/json", {}).get("schema", {})
    return Call(
        operation["operationId"], method.upper(), path, operation.get("summary", ""),
        _paragraphs(operation.get("description", "")), parameters, bodies, answers, list(_fields(schema, schemas)),
        _example(method, path, operation, schemas),
    )  # fmt: skip


def _paragraphs(text: str) -> list[Markup]:
    """The paragraphs of a docstring; what is between backticks is code."""
    found = [" ".join(each.split()).split("`") for each in text.split("\n\n") if each.strip()]
    return [Markup("").join(_CODE.format(p) if i % 2 else escape(p) for i, p in enumerate(parts)) for parts in found]


_CODE = Markup("<code>{}</code>")


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema behind references, and behind `or null`."""
    while True:
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        elif options := [each for each in schema.get("anyOf", []) if each.get("type") != "null"]:
            schema = options[0]
        else:
            return schema


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[Field]:
    found = _resolved(schema, schemas)
    if found.get("type") == "array":
        found = _resolved(found.get("items", {}), schemas)
    for name, each in found.get("properties", {}).items():
        yield Field(name, _kind(each, schemas), each.get("description", ""), name in found.get("required", []))


def _kind(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(each, schemas) for each in schema["anyOf"]))
    if "$ref" in schema:
        return _kind(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}), schemas)}"
    return str(schema.get("type", "any value"))


def _example(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """The call as a command line."""
    words = ["curl", "-H", "X-Auth-Token: $TOKEN"]
    if method != "get":
        words += ["-X", method.upper()]
    for each in operation.get("parameters", []):
        if each["in"] == "path":
            examples = each.get("schema", {}).get("examples") or each.get("examples") or [each["name"].upper()]
            path = path.replace(f"{{{each['name']}}}", str(examples[0] if isinstance(examples, list) else each["name"]))
    content = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        words += ["-F", "data=@algo.yaml", "-F", "model=@model.tar"]
    elif "application/json" in content:
        fields = _resolved(content["application/json"]["schema"], schemas).get("properties", {})
        body = {name: each["examples"][0] for name, each in fields.items() if each.get("examples")}
        if body:
            words += ["--json", json.dumps(body)]
    return f"{shlex.join(words)} $URL{path}".replace("'X-Auth-Token: $TOKEN'", '"X-Auth-Token: $TOKEN"')
