"""The OpenAPI document describes the routes, the events and nothing else."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import openapi_spec_validator
import orjson
import pytest

from services import catalogue
from services.api.openapi import document
from services.api.routes import Route
from tests.support import openapi

DOCUMENT: Any = orjson.loads(document(openapi.routes()))
OPERATIONS = [
    (method.upper(), path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]


def references(node: object) -> Iterator[str]:
    """Yield every schema that is referred to below *node*."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_document_is_valid() -> None:
    openapi_spec_validator.validate(DOCUMENT)


def test_the_document_beside_the_code_is_what_the_api_serves() -> None:
    assert openapi.committed() == document(openapi.routes()), "python -m tests.support.openapi"


def test_each_route_is_described_and_nothing_else_is() -> None:
    described = {(method, path) for method, path, _ in OPERATIONS}
    assert described == {(route.method, route.path) for route in openapi.routes()}


def test_no_two_operations_share_an_id() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(ids) == len(set(ids)) == len(openapi.routes())


def test_each_parameter_of_a_path_is_described() -> None:
    for _, path, operation in OPERATIONS:
        described = [p["name"] for p in operation.get("parameters", []) if p["in"] == "path"]
        assert described == re.findall(r"{(\w+)}", path)


def test_lists_are_narrowed_to_a_subscription_by_one_name() -> None:
    named = {
        (path, parameter["name"])
        for method, path, operation in OPERATIONS
        for parameter in operation.get("parameters", [])
        if method == "GET" and parameter["in"] == "query" and "subscription" in parameter["name"]
    }
    assert {name for _, name in named} == {"subscription"}
    assert "/v1/replays" in {path for path, _ in named}


def test_what_needs_no_key_says_so() -> None:
    described = {path for _, path, operation in OPERATIONS if operation.get("security") == []}
    assert described == {route.path for route in openapi.routes() if route.open}
    assert DOCUMENT["security"] == [{"key": []}]


def test_each_post_takes_an_idempotency_key_and_what_has_an_etag_takes_if_match() -> None:
    taken = {
        (method, path): [p["name"] for p in operation.get("parameters", []) if p["in"] == "header"]
        for method, path, operation in OPERATIONS
    }
    versioned = {"/v1/projects/{id}", "/v1/subscriptions/{id}", "/v1/geofences/{id}"}
    for (method, path), headers in taken.items():
        if method == "POST":
            assert headers == ["Idempotency-Key"]
        elif path in versioned and method != "GET":
            assert headers == ["If-Match"]
        elif path == "/v1/stream":
            assert headers == ["Last-Event-ID"]
        else:
            assert headers == []


def test_every_answer_and_every_problem_has_a_schema() -> None:
    for method, path, operation in OPERATIONS:
        responses = operation["responses"]
        assert len(responses) in (2, 3), (method, path)  # a dry run answers at once
        assert list(references(responses["default"])) == ["Problem"]


def test_every_schema_that_is_referred_to_is_there() -> None:
    assert set(references(DOCUMENT)) <= DOCUMENT["components"]["schemas"].keys()


def test_each_event_type_is_a_webhook_with_a_valid_example() -> None:
    assert list(DOCUMENT["webhooks"]) == list(catalogue.event_types())
    schema = {"$ref": "#/components/schemas/Event", "components": DOCUMENT["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema)
    for name, webhook in DOCUMENT["webhooks"].items():
        body = webhook["post"]["requestBody"]["content"]["application/json"]
        assert list(references(body["schema"])) == ["Event"]
        example = body["examples"]["example"]["value"]
        assert example["type"] == name
        assert [error.message for error in validator.iter_errors(example)] == []


@pytest.mark.parametrize(
    "route", openapi.routes(), ids=lambda route: f"{route.method} {route.path}"
)
def test_each_route_says_in_a_sentence_what_it_does(route: Route) -> None:
    assert route.summary.endswith(".")
    assert DOCUMENT["paths"][route.path][route.method.lower()]["summary"] == route.summary
