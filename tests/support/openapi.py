"""The OpenAPI document as the API makes it, and what it says of an answer.

`python -m tests.support.openapi` writes `schemas/openapi.json` and, beside it, `asyncapi.json` of the
topics; tests hold both to what the API serves.
"""

import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

import jsonschema_rs
import orjson

from services.api.again import AgainRoutes
from services.api.audit import AuditRoutes
from services.api.backlog import BacklogRoutes
from services.api.egress import EgressRoutes
from services.api.events import EventRoutes
from services.api.filters import FilterRoutes
from services.api.geofences import GeofenceRoutes
from services.api.history import HistoryRoutes
from services.api.journal import JournalRoutes
from services.api.lanes import LaneRoutes
from services.api.openapi import document
from services.api.portal import PortalRoutes
from services.api.projects import ProjectRoutes
from services.api.replays import ReplayRoutes
from services.api.routes import Route, native
from services.api.secrets import SecretRoutes
from services.api.subscriptions import SubscriptionRoutes
from services.run.api.serving import asyncapi_document

FILE, TOPICS_FILE = "openapi.json", "asyncapi.json"


def routes() -> list[Route]:
    """Return the table of routes, with nothing behind it."""
    nothing = cast("Any", None)
    return native(
        projects=ProjectRoutes(nothing),
        subscriptions=SubscriptionRoutes(*[nothing] * 5, test_days=nothing),
        secrets=SecretRoutes(*[nothing] * 3),
        events=EventRoutes(nothing, nothing),
        audit=AuditRoutes(nothing),
        again=AgainRoutes(nothing, nothing),
        journal=JournalRoutes(nothing, nothing),
        history=HistoryRoutes(nothing, nothing, clock=nothing),
        geofences=GeofenceRoutes(nothing),
        filters=FilterRoutes(nothing, nothing, nothing, nothing),
        replays=ReplayRoutes(nothing, clock=nothing),
        backlogs=BacklogRoutes(nothing),
        lanes=LaneRoutes(nothing),
        egress=EgressRoutes(addresses=(), next_addresses=(), next_from=None),
        portal=PortalRoutes(nothing, public_url=None),
    )


def committed(name: str = FILE) -> bytes:
    """Return a document as it is kept beside the code."""
    return resources.files("schemas").joinpath(name).read_bytes()


def faults(method: str, path: str, status: int, content_type: str, body: bytes) -> list[str]:
    """Return in what an answer differs from the document."""
    template = _template(path)
    if template is None:
        return _of_schema("Problem", body) if status >= 400 else []
    operation = _document()["paths"][template].get(method.lower())
    responses = operation["responses"] if operation is not None else {}
    declared = responses.get(str(status))
    if declared is None:
        if status < 400:
            return [f"{method} {template} does not declare {status}"]
        declared = {"content": {"application/problem+json": {"schema": {"$ref": "/Problem"}}}}
    if "content" not in declared:
        return [f"{len(body)} bytes where there is no body"] if body else []
    schema = declared["content"].get(content_type)
    if schema is None:
        return [f"{content_type} is not among {', '.join(declared['content'])}"]
    if "$ref" not in schema["schema"]:  # lines, not a document
        return []
    return _of_schema(schema["schema"]["$ref"].rpartition("/")[2], body)


def main() -> None:
    """Write both documents."""
    for name, body in ((FILE, document(routes())), (TOPICS_FILE, asyncapi_document())):
        with resources.as_file(resources.files("schemas").joinpath(name)) as path:
            Path(path).write_bytes(body)


@cache
def _document() -> Any:  # noqa: ANN401 - JSON
    return orjson.loads(committed())


@cache
def _template(path: str) -> str | None:
    """Return the documented path that *path* is an instance of; fixed ones before others."""
    plain = path.partition("?")[0]
    fitting = [
        template
        for template in _document()["paths"]
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), plain)
    ]
    return min(fitting, key=lambda template: template.count("{"), default=None)


def _of_schema(name: str, body: bytes) -> list[str]:
    return [
        f"{error.instance_path}: {error.message}"
        for error in _validator(name).iter_errors(orjson.loads(body))
    ]


@cache
def _validator(name: str) -> jsonschema_rs.Draft202012Validator:
    schema = {
        "$ref": f"#/components/schemas/{name}",
        "components": {"schemas": _document()["components"]["schemas"]},
    }
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


if __name__ == "__main__":
    main()
