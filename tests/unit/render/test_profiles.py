"""What a receiver reads, in every profile."""

import copy
import json
from pathlib import Path

import jsonschema_rs
import pytest

from services import catalogue
from services.kernel.event import Event, Json
from services.kernel.subscription import Profile
from services.match.types import own_name
from services.render import Renderings, render
from tests.support.factories import an_event, an_example, as_event

MAX_BYTES = 262_144
ASKED = "stop.report.completed"
WORKED = "Worked example"
KEY = "5e208446c97efa37d4830b03"
TYPES = sorted(catalogue.event_types())


def body_of(event: Event, profile: Profile, asked: str | None = None) -> Json:
    rendered = render(
        event, profile=profile, asked=asked or event.type, expand=(), max_bytes=MAX_BYTES
    )
    found: Json = json.loads(rendered.body)
    return found


def worked_examples(shared: Path) -> dict[str, Json]:
    """Return the bodies of section 7 by the line above each."""
    text = (shared / "events" / "README.md").read_text().partition(WORKED)[2]
    lines = text.partition("```\n")[2].partition("```")[0].splitlines()
    return {
        title.removeprefix("# "): json.loads(body)
        for title, body in zip(lines[::2], lines[1::2], strict=True)
    }


# The worked examples


def test_every_profile_has_a_worked_example(shared: Path) -> None:
    titles = worked_examples(shared)
    assert {title.partition(",")[0] for title in titles} == {"as produced", *Profile}


@pytest.mark.parametrize("profile", Profile)
def test_the_worked_example_is_what_is_sent(shared: Path, profile: Profile) -> None:
    examples = worked_examples(shared)
    event = as_event(examples["as produced"], key=KEY)
    (title,) = [title for title in examples if title.partition(",")[0] == profile]
    asked = title.partition("asked for as ")[2] or ASKED
    assert body_of(event, profile, asked) == examples[title]


def test_the_event_as_produced_is_sent_as_it_is_to_whoever_asks_for_todays_name(
    shared: Path,
) -> None:
    produced = worked_examples(shared)["as produced"]
    assert body_of(as_event(produced), Profile.PLANNER_2022) == produced


# All examples in all profiles


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("type_", TYPES)
def test_every_event_can_be_sent_in_every_profile(type_: str, profile: Profile) -> None:
    event = an_example(type_)
    before = copy.deepcopy(event.body)
    body = body_of(event, profile, own_name(type_, profile))
    assert body["data"]
    assert event.body == before, "what others are sent too was changed"


@pytest.mark.parametrize("type_", TYPES)
def test_the_default_profile_sends_the_event_as_it_is_and_it_is_valid(type_: str) -> None:
    event = an_example(type_)
    body = body_of(event, Profile.PLANNER_2022)
    assert body == event.body
    assert jsonschema_rs.Draft202012Validator(catalogue.schema()).is_valid(body)


@pytest.mark.parametrize("profile", [Profile.PLANNER_V2, Profile.HIGHWAY_V1])
@pytest.mark.parametrize("type_", TYPES)
def test_older_clients_get_their_five_fields_and_no_others(type_: str, profile: Profile) -> None:
    event = an_example(type_)
    body = body_of(event, profile, "as.asked")
    assert set(body) == {"id", "user", "type", "created_at", "data"}
    assert (body["id"], body["type"], body["created_at"]) == (
        event.id,
        "as.asked",
        event.created_at,
    )


@pytest.mark.parametrize("type_", TYPES)
def test_no_client_of_planner_v2_reads_of_routes_but_in_surveys(type_: str) -> None:
    data = body_of(an_example(type_), Profile.PLANNER_V2)["data"]
    if not type_.endswith(".survey.submitted"):
        assert not {"route", "routes", "route_id", "route_ids", "total_routes"} & keys_of(data)


@pytest.mark.parametrize("type_", ["route.survey.submitted", "stop.survey.submitted"])
def test_surveys_keep_their_route_id_for_planner_v2(type_: str) -> None:
    event = an_example(type_)
    assert body_of(event, Profile.PLANNER_V2)["data"] == event.body["data"]
    assert "route_id" in event.body["data"]


@pytest.mark.parametrize("type_", TYPES)
def test_no_client_of_highway_v1_reads_of_stops_or_driver_ids(type_: str) -> None:
    data = body_of(an_example(type_), Profile.HIGHWAY_V1)["data"]
    today = {"stop", "stops", "stop_id", "stop_ids", "next_stop_id", "time_window", "driver_id"}
    assert not (today | {"time_windows", "total_stops"}) & keys_of(data)


def keys_of(value: object) -> set[str]:
    """Return the keys at any depth, but those of custom fields."""
    if isinstance(value, list):
        return {key for item in value for key in keys_of(item)}
    if not isinstance(value, dict):
        return set()
    inside = {
        key for name, item in value.items() if name != "custom_fields" for key in keys_of(item)
    }
    return {*value, *inside}


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize(
    "profile", [Profile.ROUTAL_2, Profile.CLOUDEVENTS, Profile.STANDARD_WEBHOOKS]
)
def test_the_other_profiles_have_todays_data_and_todays_name_whatever_was_asked(
    type_: str, profile: Profile
) -> None:
    event = an_example(type_)
    body = body_of(event, profile, "older.name")
    assert body == body_of(event, profile)
    assert body["data"] == event.body["data"]
    assert "older.name" not in json.dumps(body)


# Envelopes


@pytest.mark.parametrize("profile", Profile)
def test_only_a_cloudevent_has_a_content_type_of_its_own(profile: Profile) -> None:
    rendered = render(
        an_event(), profile=profile, asked="plan.created", expand=(), max_bytes=MAX_BYTES
    )
    expected = {Profile.CLOUDEVENTS: "application/cloudevents+json; charset=utf-8"}
    assert rendered.content_type == expected.get(profile, "application/json; charset=utf-8")


@pytest.mark.parametrize("meta", [None, {"origin": "app"}])
def test_an_older_name_is_accompanied_by_todays_beside_the_producers_meta(
    meta: Json | None,
) -> None:
    event = an_event("route.started", meta=meta)
    assert body_of(event, Profile.PLANNER_2022, "driver.started") == {
        **event.body,
        "type": "driver.started",
        "meta": {**(meta or {}), "canonical_type": "route.started"},
    }


@pytest.mark.parametrize("profile", [*Profile])
def test_previous_values_are_part_of_the_default_profile_alone(profile: Profile) -> None:
    body = body_of(an_event("plan.updated", previous={"label": "old"}), profile)
    assert ("previous" in body) == (profile is Profile.PLANNER_2022)


@pytest.mark.parametrize(("meta", "sent"), [(None, {}), ({"late": True}, {"late": True})])
def test_routal_2_always_has_a_meta(meta: Json | None, sent: Json) -> None:
    assert body_of(an_event(meta=meta), Profile.ROUTAL_2)["meta"] == sent
    assert body_of(an_event(), Profile.ROUTAL_2)["meta"] == {}


def test_a_cloudevent_without_a_key_has_no_subject() -> None:
    assert "subject" not in body_of(an_event(key=None), Profile.CLOUDEVENTS)
    assert body_of(an_event(key="p"), Profile.CLOUDEVENTS)["subject"] == "p"


def test_an_event_that_nobody_did_has_a_null_user_for_older_clients() -> None:
    assert body_of(an_event(), Profile.PLANNER_V2)["user"] is None
    assert body_of(an_event(user="u"), Profile.PLANNER_V2)["user"] == "u"


@pytest.mark.parametrize("profile", Profile)
def test_text_of_any_script_is_sent_as_utf_8(profile: Profile) -> None:
    event = an_event(data={"label": "Plaça 1ª · 東京 · 🚚 · \u2028"})
    rendered = render(event, profile=profile, asked=event.type, expand=(), max_bytes=MAX_BYTES)
    assert "Plaça 1ª · 東京 · 🚚".encode() in rendered.body


# One body per event, profile, name and expansion


def test_a_body_is_rendered_once_for_all_who_ask_alike() -> None:
    renderings = Renderings(an_example("plan.created"), max_bytes=MAX_BYTES)

    def body(profile: Profile, asked: str, *expand: str) -> int:
        return id(renderings.get(profile=profile, asked=asked, expand=expand).body)

    ways = [
        (Profile.PLANNER_2022, "plan.created"),
        (Profile.PLANNER_2022, "routal.planner.2.plan.created"),
        (Profile.PLANNER_V2, "plan.created"),
        (Profile.PLANNER_2022, "plan.created", "stops"),
    ]
    once = [body(*way) for way in ways]
    assert [body(*way) for way in ways] == once
    assert len({*once}) == len(ways)
