"""The OpenAPI 3.1 document, made from the route table and the catalogue.

`schemas/openapi.json` is this document; a test holds the two to each other, and every answer of the
tests to the document.
"""

import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

import orjson

from services import catalogue
from services.api.call import DEFAULT_LIMIT, MAX_LIMIT
from services.api.routes import Route
from services.version import VERSION

SHAPES = "openapi.shapes.json"
STREAM = "text/event-stream"
EXPORTS = ("text/csv", "application/x-ndjson")
QUERY = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "signed": {"enum": ["then", "now"], "default": "then"},
}


def document(routes: Sequence[Route]) -> bytes:
    """Return the document, deterministic byte for byte."""
    shapes = orjson.loads(resources.files("schemas").joinpath(SHAPES).read_bytes())
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, shapes)
    found = {
        "openapi": "3.1.0",
        "info": {
            "title": "Planner Webhooks",
            "version": VERSION,
            "description": "Events of a route planner, as signed HTTP requests.",
        },
        "security": [{"key": []}],
        "paths": paths,
        "webhooks": {name: _webhook(name) for name in catalogue.event_types()},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {**shapes["schemas"], **event_schemas()},
        },
    }
    return orjson.dumps(found, option=orjson.OPT_INDENT_2)


def _operation(route: Route, shapes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    shape = shapes["operations"][f"{route.method} {route.path}"]
    found: dict[str, Any] = {
        "summary": route.summary,
        "operationId": shape["id"],
        "responses": {
            **{
                str(status): _done(answer, exports=shape.get("exports", False))
                for status, answer in _answers(shape)
            },
            "default": {
                "description": "Refused.",
                "content": {"application/problem+json": {"schema": ref("Problem")}},
            },
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    parameters += [
        {"name": name, "in": "query", "schema": QUERY.get(name, {"type": "string"})}
        for name in shape.get("query", [])
    ]
    parameters += [
        {"name": name, "in": "header", "schema": {"type": "string"}}
        for name in (["Idempotency-Key"] if route.method == "POST" else shape.get("headers", []))
    ]
    if parameters:
        found["parameters"] = parameters
    if "body" in shape:
        found["requestBody"] = {
            "required": bool(shapes["schemas"][shape["body"]].get("required", True)),
            "content": {"application/json": {"schema": ref(shape["body"])}},
        }
    if route.open:
        found["security"] = []
    return found


def _answers(shape: Any) -> list[Any]:  # noqa: ANN401 - JSON
    """Return each status with its schema: `also` is what a dry run answers."""
    return [shape["answer"], *([shape["also"]] if "also" in shape else [])]


def _done(answer: str | None, *, exports: bool) -> dict[str, Any]:
    if answer is None:
        return {"description": "Done."}
    if answer == STREAM:
        return {"description": "Messages.", "content": {STREAM: {"schema": {"type": "string"}}}}
    return {
        "description": "Done.",
        "content": {
            "application/json": {"schema": ref(answer)},
            **({name: {"schema": {"type": "string"}} for name in EXPORTS} if exports else {}),
        },
    }


def _webhook(name: str) -> dict[str, Any]:
    known = catalogue.event_types()[name]
    return {
        "post": {
            "summary": known.meaning,
            "description": f"When: {known.when}. Not when: {known.not_when}.",
            "operationId": name,
            "requestBody": {
                "content": {
                    "application/json": {
                        "schema": ref("Event"),
                        "examples": {"example": {"value": catalogue.examples()[name]}},
                    }
                }
            },
            "responses": {"2XX": {"description": "Acknowledged."}},
        }
    }


def event_schemas() -> dict[str, Any]:
    """Return the definitions of `schemas/events/schema.json` as components of a document."""
    text = orjson.dumps(catalogue.schema()["$defs"]).replace(b"#/$defs/", b"#/components/schemas/")
    found: dict[str, Any] = orjson.loads(text)
    return found


def ref(name: str) -> dict[str, str]:
    """Return a reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}
