"""The six shapes of a body (`schemas/events`, section "profiles")."""

from collections.abc import Callable
from typing import NamedTuple

import orjson

from services.kernel.event import Event, Json
from services.kernel.subscription import Profile
from services.render.expand import is_expandable, slim
from services.render.names import HIGHWAY_V1, PLANNER_V2, renamed

JSON = "application/json; charset=utf-8"
CLOUDEVENTS = "application/cloudevents+json; charset=utf-8"


class Rendered(NamedTuple):
    """The exact bytes that are signed and sent."""

    body: bytes
    content_type: str


def render(
    event: Event, *, profile: Profile, asked: str, expand: tuple[str, ...], max_bytes: int
) -> Rendered:
    """Return the body of *event* in *profile*, answered in the name *asked*.

    Expanded parts over *max_bytes* are left out, and `meta.truncated` says so where there is a
    `meta`.
    """
    shape = SHAPES[profile]
    content_type = CLOUDEVENTS if profile is Profile.CLOUDEVENTS else JSON
    if not is_expandable(event.type):
        return Rendered(orjson.dumps(shape(event, event.body, asked)), content_type)
    slimmed = slim(event.body, keep=())
    if expand:
        kept = slim(event.body, keep=expand)
        body = orjson.dumps(shape(event, kept, asked))
        if len(body) <= max_bytes or kept == slimmed:
            return Rendered(body, content_type)
        slimmed = {**slimmed, "meta": {**_meta(slimmed), "truncated": True}}
    return Rendered(orjson.dumps(shape(event, slimmed, asked)), content_type)


def _meta(body: Json) -> Json:
    return body.get("meta") or {}  # a producer may have written null


def _planner_2022(event: Event, body: Json, asked: str) -> Json:
    if asked == event.type:
        return body
    meta = {**_meta(body), "canonical_type": event.type}
    return {**body, "type": asked, "meta": meta}


def _five_fields(body: Json, asked: str, data: Json) -> Json:
    shaped = {
        "id": body["id"],
        "user": body.get("user"),
        "type": asked,
        "created_at": body["created_at"],
        "data": data,
    }
    if body.get("test") is True:  # a test call through the API of these clients
        shaped["test"] = True
    return shaped


def _planner_v2(event: Event, body: Json, asked: str) -> Json:
    # That client has surveys with a `route_id`.
    survey = event.type.endswith(".survey.submitted")
    return _five_fields(body, asked, body["data"] if survey else renamed(body["data"], PLANNER_V2))


def _highway_v1(_: Event, body: Json, asked: str) -> Json:
    return _five_fields(body, asked, renamed(body["data"], HIGHWAY_V1))


def _routal_2(event: Event, body: Json, _: str) -> Json:
    return {
        "created_at": body["created_at"],
        "project_id": body["project_id"],
        "event_id": f"routal.planner.2.{event.type}",
        "meta": _meta(body),
        "data": body["data"],
    }


def _cloudevents(event: Event, body: Json, _: str) -> Json:
    shaped = {
        "specversion": "1.0",
        "id": body["id"],
        "source": f"/projects/{event.project_id}",
        "type": f"planner.{event.type}",
        "time": body["created_at"],
        "datacontenttype": "application/json",
        "data": body["data"],
    }
    if event.key is not None:
        shaped["subject"] = event.key
    return shaped


def _standard_webhooks(event: Event, body: Json, _: str) -> Json:
    return {"type": event.type, "timestamp": body["created_at"], "data": body["data"]}


SHAPES: dict[Profile, Callable[[Event, Json, str], Json]] = {
    Profile.PLANNER_2022: _planner_2022,
    Profile.PLANNER_V2: _planner_v2,
    Profile.HIGHWAY_V1: _highway_v1,
    Profile.ROUTAL_2: _routal_2,
    Profile.CLOUDEVENTS: _cloudevents,
    Profile.STANDARD_WEBHOOKS: _standard_webhooks,
}
