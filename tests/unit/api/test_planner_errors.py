"""What the Planner's clients are told, for errors that are hard to provoke."""

import orjson
import pytest
from aiohttp import web

from services.api.planner_errors import refused
from services.api.problems import Problem, of_error
from services.control.subscriptions import StaleError
from services.kernel.errors import ConflictError, Fault, FaultsError, NotFoundError, StoreGoneError

NOTHING = Problem(500, "internal", "An error of ours", "it was logged")


def told(error: Exception, problem: Problem | None = None) -> tuple[int, str, str]:
    answer = refused(error, problem or of_error(error) or NOTHING)
    assert answer.content_type == "application/json"
    assert isinstance(answer.body, bytes)
    body = orjson.loads(answer.body)
    assert set(body) == {"message", "messageId"}
    return answer.status, body["messageId"], body["message"]


@pytest.mark.parametrize(
    ("error", "status", "message_id"),
    [
        (StoreGoneError(), 503, "internal"),
        (StaleError(), 409, "request.invalid"),
        (ConflictError("in use"), 409, "request.invalid"),
        (NotFoundError("subscription", "x"), 404, "webhook.not_found"),
        (NotFoundError("project", "x"), 404, "project.not_found"),
        (RuntimeError("a secret"), 500, "internal"),
    ],
)
def test_every_error_has_a_status_and_an_id_that_its_clients_know(
    error: Exception, status: int, message_id: str
) -> None:
    found = told(error)
    assert found[:2] == (status, message_id)
    assert "secret" not in found[2]


def test_too_many_requests_have_an_id_of_their_own() -> None:
    problem = Problem(429, "too-many", "Too many requests", "wait", headers={"Retry-After": "2"})
    assert told(web.HTTPTooManyRequests(), problem)[:2] == (429, "rate.limited")
    assert refused(web.HTTPTooManyRequests(), problem).headers["Retry-After"] == "2"


def test_a_subscription_is_called_a_webhook() -> None:
    assert told(NotFoundError("subscription", "x"))[2] == "no webhook 'x' in this project"


def test_all_faults_are_told_each_with_its_place() -> None:
    faults = [
        Fault("required", "url is required", "/1/url"),
        Fault("unknown_type", "no event type 'a'", "/1/types/0"),
        Fault("range", "expected a number", parameter="limit"),
        Fault("type", "expected an object", ""),
        Fault("unknown_field", "no field 'x'", "/filter/data/url"),
    ]
    status, message_id, message = told(FaultsError("not valid", faults))
    assert (status, message_id) == (400, "webhook.url_invalid")
    assert message.split("; ") == [
        "url is required",
        "[1].enabled_events[0]: no event type 'a'",
        "limit: expected a number",
        "expected an object",
        "filter.data.url: no field 'x'",
    ]


def test_a_filters_field_called_url_is_no_fault_of_the_url() -> None:
    fault = Fault("unknown_field", "no field 'x'", "/filter/data/url")
    assert told(FaultsError("not valid", [fault]))[1] == "request.invalid"
