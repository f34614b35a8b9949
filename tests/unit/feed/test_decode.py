"""A record becomes an event, or says why it is none."""

import json
import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services import catalogue
from services.feed.decode import Decoder, derived_id
from services.kernel.event import MAX_DEPTH, Event, Partition, Poison, Record
from services.kernel.subscription import Profile
from services.observe import metrics
from services.render import render
from tests.support.factories import PROJECT, a_body, a_record

MAX_BYTES = 100_000
EXAMPLES = 20_000 if os.environ.get("WEBHOOKS_TEST_LONG") else 100
OTHER = "5e208446c97efa37d4830bff"
CLOUDEVENT = {
    "specversion": "1.0",
    "id": "ce-1",
    "source": f"/projects/{PROJECT}",
    "type": "planner.plan.created",
    "time": "2022-03-17T09:40:51.000Z",
    "data": {"id": "p"},
}
BINARY = {
    "ce_specversion": b"1.0",
    "ce_id": b"ce-1",
    "ce_source": f"/projects/{PROJECT}".encode(),
    "ce_type": b"planner.plan.created",
    "ce_time": b"2022-03-17T09:40:51.000Z",
}


def decoded(value: object, **about: object) -> Event | Poison | None:
    written = value if isinstance(value, bytes | None) else orjson.dumps(value)
    return Decoder(max_bytes=MAX_BYTES).decode(a_record(written, **about))


def an_event(value: object, **about: object) -> Event:
    found = decoded(value, **about)
    assert isinstance(found, Event), found
    return found


def poison(value: object, **about: object) -> tuple[str, str]:
    found = decoded(value, **about)
    assert isinstance(found, Poison), found
    assert found.message
    return found.reason, found.pointer


def without(whole: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if key != name}


# Our own JSON


@pytest.mark.parametrize("type_", sorted(catalogue.event_types()))
def test_every_example_is_an_event_and_nothing_of_it_is_changed(type_: str) -> None:
    example = catalogue.examples()[type_]
    event = an_event(example)
    assert event.body == example
    assert (event.id, event.type, event.known) == (example["id"], type_, True)
    assert (event.project_id, event.created_at) == (example["project_id"], example["created_at"])


def test_the_worked_example_is_an_event_with_its_key(shared: Path) -> None:
    text = (shared / "events" / "README.md").read_text()
    line = text.partition("# as produced\n")[2].partition("\n")[0]
    key = "5e208446c97efa37d4830b01:5e208446c97efa37d4830b03"
    event = an_event(line.encode(), key=key.encode())
    assert event.body == json.loads(line)
    assert (event.id, event.key) == ("61f0a446c97efa37d4831020", "5e208446c97efa37d4830b03")


def test_what_we_do_not_know_passes_through_as_it_came() -> None:
    body = a_body(previous={"label": "old"}, meta={"origin": "app", "own": [1]}, extra={"a": None})
    assert an_event(body).body == body


@pytest.mark.parametrize(
    ("written", "today"),
    [
        ("driver.started", "route.started"),
        ("routal.planner.2.service.report.completed", "stop.report.completed"),
        ("client.created", "customer.created"),
    ],
)
def test_an_older_name_is_turned_into_todays_in_the_body_too(written: str, today: str) -> None:
    event = an_event(a_body(written))
    assert (event.type, event.body["type"], event.known) == (today, today, True)


def test_a_type_that_nobody_knows_is_an_event_all_the_same() -> None:
    event = an_event(a_body("vehicle.teleported"))
    assert (event.type, event.known) == ("vehicle.teleported", False)


def test_a_once_published_misspelling_of_a_report_is_read_as_what_it_meant() -> None:
    data = {"report": {"type": "senrvice_report_caceled"}, "stop": {}}
    event = an_event(a_body("service.report.canceled", data=data))
    assert event.body["data"]["report"]["type"] == "service_report_canceled"


def test_other_values_of_that_spelling_stay_as_they_are() -> None:
    data = {"report": {"type": "senrvice_report_caceled"}}
    assert an_event(a_body("plan.created", data=data)).body["data"] == data


# Ids


@pytest.mark.parametrize("body", [without(a_body(), "id"), a_body(id=None)])
def test_an_event_without_an_id_gets_one_that_is_in_its_body_too(body: dict[str, Any]) -> None:
    event = an_event(body)
    assert len(bytes.fromhex(event.id)) == 12
    assert event.body["id"] == event.id


positions = st.tuples(
    st.sampled_from(["planner.events", "planner.master"]),
    st.integers(0, 99),
    st.integers(0, 2**62),
    st.integers(0, 2**42),
)


def record_at(place: tuple[str, int, int, int]) -> Record:
    topic, partition, offset, timestamp_ms = place
    return a_record(
        b"{}", partition=Partition(topic, partition), offset=offset, timestamp_ms=timestamp_ms
    )


@given(positions)
def test_reading_a_record_again_gives_the_same_id(place: tuple[str, int, int, int]) -> None:
    assert derived_id(record_at(place)) == derived_id(record_at(place))


@given(positions, positions)
def test_another_place_or_a_recreated_topic_gives_another_id(
    one: tuple[str, int, int, int], other: tuple[str, int, int, int]
) -> None:
    assert (derived_id(record_at(one)) == derived_id(record_at(other))) == (one == other)


def test_a_derived_id_does_not_change_with_a_release() -> None:
    record = record_at(("planner.events", 3, 7, 1_647_510_067_195))
    assert derived_id(record) == "022adb291387e7626d68c894"


# Key, trace, headers


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, None),
        (b"", None),
        (f"{PROJECT}:p".encode(), "p"),
        (f"{PROJECT}:a:b".encode(), "a:b"),
        (f"{PROJECT}:".encode(), None),
        (f"{OTHER}:p".encode(), f"{OTHER}:p"),
        (b"p", "p"),
        (b"\xff\x00p", "\ufffd\ufffdp"),
    ],
)
def test_the_key_is_the_records_without_the_project(key: bytes | None, expected: str) -> None:
    assert an_event(a_body(), key=key).key == expected


def test_without_a_key_no_order_is_promised_whatever_meta_says() -> None:
    assert an_event(a_body(meta={"ordering_key": "p"})).key is None


TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (TRACE, TRACE.decode()),
        (TRACE.upper(), None),
        (TRACE + b"\n", None),
        (b"01" + TRACE[2:], None),
        (b"\xff", None),
        (None, None),
    ],
)
def test_a_trace_is_continued_only_if_it_is_one(header: bytes, expected: str | None) -> None:
    assert an_event(a_body(), traceparent=header).traceparent == expected


def mismatches() -> float:
    return metrics.HEADER_MISMATCHES._value.get()


@pytest.mark.parametrize(
    ("headers", "counted"),
    [
        ({"type": b"driver.started", "project_id": PROJECT.encode(), "id": b"1"}, 0),
        ({"type": b"plan.created"}, 1),
        ({"project_id": OTHER.encode(), "id": b"\xff"}, 2),
        ({"schema": b"3", "type": None}, 0),
    ],
)
def test_where_header_and_value_differ_the_value_wins_and_it_is_counted(
    headers: dict[str, bytes | None], counted: int
) -> None:
    before = mismatches()
    event = an_event(a_body("driver.started", id="1"), **headers)
    assert (event.id, event.type, event.project_id) == ("1", "route.started", PROJECT)
    assert mismatches() - before == counted


# What is no event


@pytest.mark.parametrize(
    ("value", "reason", "pointer"),
    [
        (None, "null", ""),
        (b"", "json", ""),
        (b"{", "json", ""),
        (b'{"a":"\xff"}', "json", ""),
        (b'{"a":"\\ud800"}', "json", ""),
        (b'{"a":NaN}', "json", ""),
        (b'{"a":1e999}', "json", ""),
        (b" " * (MAX_BYTES + 1), "oversize", ""),
        (b"[]", "envelope", ""),
        (b"null", "envelope", ""),
        (b'"plan.created"', "envelope", ""),
        (b'"' + b"[" * 300 + b'"', "envelope", ""),
        (b"{}", "envelope", "/type"),
        (without(a_body(), "type"), "envelope", "/type"),
        (without(a_body(), "project_id"), "envelope", "/project_id"),
        (without(a_body(), "created_at"), "envelope", "/created_at"),
        (without(a_body(), "data"), "envelope", "/data"),
        (a_body(type=None), "envelope", "/type"),
        (a_body(type=""), "envelope", "/type"),
        (a_body(type="plan.created\r\nX-Evil: 1"), "envelope", "/type"),
        (a_body(type="x" * 257), "envelope", "/type"),
        (a_body(project_id=5), "envelope", "/project_id"),
        (a_body(created_at=1_647_510_067), "envelope", "/created_at"),
        (a_body(data=None), "envelope", "/data"),
        (a_body(data=[]), "envelope", "/data"),
        (a_body(data="{}"), "envelope", "/data"),
        (a_body(id=""), "envelope", "/id"),
        (a_body(id=17), "envelope", "/id"),
        (a_body(id="x" * 257), "envelope", "/id"),
        (a_body(id="a\nb"), "envelope", "/id"),
        (a_body(meta=[]), "envelope", "/meta"),
    ],
)
def test_poison_says_why_and_where(value: object, reason: str, pointer: str) -> None:
    assert poison(value) == (reason, pointer)
    assert reason in metrics.QUARANTINED


def test_sizes_up_to_the_limit_are_taken() -> None:
    padding = " " * (MAX_BYTES - len(orjson.dumps(a_body())))
    assert an_event(orjson.dumps(a_body()) + padding.encode()).type == "plan.created"


def test_a_null_is_a_tombstone_in_master_data_alone() -> None:
    before = metrics.TOMBSTONES._value.get()
    assert decoded(None, partition=Partition("planner.master", 0)) is None
    assert metrics.TOMBSTONES._value.get() == before + 1
    assert poison(None, partition=Partition("planner.events", 0)) == ("null", "")


def nested(levels: int) -> bytes:
    """Return an event of *levels* objects and arrays within each other."""
    inside = b"[" * (levels - 2) + b"]" * (levels - 2)
    return orjson.dumps(a_body(data={"deep": "HERE"})).replace(b'"HERE"', inside)


@pytest.mark.parametrize("profile", Profile)
def test_an_event_nested_as_deeply_as_is_taken_can_be_rendered(profile: Profile) -> None:
    event = an_event(nested(MAX_DEPTH))
    body = render(event, profile=profile, asked=event.type, expand=(), max_bytes=MAX_BYTES).body
    assert json.loads(body)["data"] == event.body["data"]


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 300, 1_000, 1_024])
def test_deeper_nesting_is_poison_instead_of_something_that_cannot_be_sent(levels: int) -> None:
    assert poison(nested(levels)) == ("json", "")


def test_many_objects_beside_each_other_are_not_deep() -> None:
    stops = [{"id": str(n), "tasks": []} for n in range(MAX_DEPTH * 2)]
    assert an_event(a_body(data={"stops": stops})).body["data"] == {"stops": stops}


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
fields = st.sampled_from(
    ["id", "type", "created_at", "project_id", "data", "meta", "specversion", "source", "time"]
)
header_names = st.sampled_from(
    ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type", "traceparent"]
)


@pytest.mark.timeout(600)
@settings(max_examples=EXAMPLES)
@given(
    value=st.none()
    | st.binary(max_size=64)
    | anything.map(orjson.dumps)
    | st.dictionaries(fields, anything).map(lambda some: orjson.dumps({**a_body(), **some})),
    headers=st.dictionaries(header_names, st.none() | st.binary(max_size=16)),
    key=st.none() | st.binary(max_size=16),
)
def test_whatever_is_in_a_record_an_event_or_a_reason_comes_out(
    value: bytes | None, headers: dict[str, bytes], key: bytes | None
) -> None:
    found = decoded(value, key=key, **headers)
    assert isinstance(found, Event | Poison)
    if isinstance(found, Poison):
        assert found.reason in metrics.QUARANTINED
    else:
        for profile in Profile:
            render(found, profile=profile, asked=found.type, expand=("stops",), max_bytes=100)


# CloudEvents


def test_a_structured_cloudevent_is_the_event_it_describes() -> None:
    event = an_event(CLOUDEVENT, **{"content-type": b"application/cloudevents+json"})
    assert event.body == a_body(id="ce-1", data={"id": "p"})


def test_a_structured_cloudevent_is_known_by_its_specversion_alone() -> None:
    assert an_event(CLOUDEVENT).body == a_body(id="ce-1", data={"id": "p"})


@pytest.mark.parametrize(
    "content_type",
    [b"application/cloudevents+json; charset=UTF-8", b"Application/CloudEvents+JSON"],
)
def test_a_content_type_is_read_as_others_write_it(content_type: bytes) -> None:
    faulty = without(CLOUDEVENT, "specversion")
    assert an_event(faulty, **{"content-type": content_type}).id == "ce-1"


def test_a_binary_cloudevent_has_its_attributes_in_headers() -> None:
    event = an_event({"id": "p"}, **BINARY, traceparent=TRACE)
    assert event.body == a_body(id="ce-1", data={"id": "p"})
    assert event.traceparent == TRACE.decode()


@pytest.mark.parametrize("name", ["id", "type", "source", "time"])
def test_an_attribute_that_is_no_utf_8_is_quarantined_with_its_header_named(name: str) -> None:
    found = decoded({"id": "p"}, **{**BINARY, f"ce_{name}": b"\xff"})
    assert isinstance(found, Poison)
    assert (found.reason, found.pointer) == ("cloudevent", f"ce_{name}")


def test_a_subject_that_is_no_utf_8_costs_nobody_the_event() -> None:
    assert an_event({"id": "p"}, **{**BINARY, "ce_subject": b"a\xff"}).key


@pytest.mark.parametrize(
    ("written", "today"),
    [
        ("planner.plan.created", "plan.created"),
        ("plan.created", "plan.created"),
        ("planner.driver.started", "route.started"),
        ("org.example.thing", "org.example.thing"),
    ],
)
def test_a_cloudevents_type_may_stand_behind_planner(written: str, today: str) -> None:
    assert an_event({**CLOUDEVENT, "type": written}).type == today


@pytest.mark.parametrize(
    ("source", "project", "found"),
    [
        (f"/projects/{PROJECT}", None, PROJECT),
        (f"https://planner.example.com/v2/projects/{PROJECT}/", None, PROJECT),
        ("urn:tracker", PROJECT, PROJECT),
        (f"/projects/{OTHER}", PROJECT, PROJECT),
        (f"/projects/{PROJECT}", "", PROJECT),
    ],
)
def test_a_cloudevents_project_is_its_source_or_an_extension(
    source: str, project: str | None, found: str
) -> None:
    value = {**CLOUDEVENT, "source": source}
    if project is not None:
        value["project"] = project
    assert an_event(value).project_id == found


@pytest.mark.parametrize(
    ("key", "subject", "expected"),
    [
        (None, "v1", "v1"),
        (b"", "v1", "v1"),
        (f"{PROJECT}:v2".encode(), "v1", "v2"),
        (b"v2", None, "v2"),
        (None, None, None),
        (None, "", None),
        (None, "a\0b", "a\ufffdb"),
        (None, 5, None),
    ],
)
def test_a_cloudevents_key_is_the_records_else_its_subject(
    key: bytes | None, subject: object, expected: str | None
) -> None:
    assert an_event({**CLOUDEVENT, "subject": subject}, key=key).key == expected


def test_a_subject_adds_nothing_to_the_body() -> None:
    assert "meta" not in an_event({**CLOUDEVENT, "subject": "v1"}).body


@pytest.mark.parametrize("name", ["id", "type", "source", "time"])
def test_a_cloudevent_without_a_required_attribute_says_which(name: str) -> None:
    assert poison(without(CLOUDEVENT, name)) == ("cloudevent", f"/{name}")
    assert poison({**CLOUDEVENT, name: 5}) == ("cloudevent", f"/{name}")
    assert poison({**CLOUDEVENT, name: ""}) == ("cloudevent", f"/{name}")
    assert poison({**CLOUDEVENT, name: "a\nb"}) == ("cloudevent", f"/{name}")
    assert poison({}, **without(BINARY, f"ce_{name}")) == ("cloudevent", f"ce_{name}")
    assert poison({}, **{**BINARY, f"ce_{name}": None}) == ("cloudevent", f"ce_{name}")


def test_a_cloudevent_that_names_no_project_is_poison() -> None:
    assert poison({**CLOUDEVENT, "source": "urn:tracker"}) == ("cloudevent", "/source")
    assert poison({**CLOUDEVENT, "source": "/projects/"}) == ("cloudevent", "/source")
    assert poison({}, **{**BINARY, "ce_source": b"urn:x"}) == ("cloudevent", "ce_source")


@pytest.mark.parametrize("data", [None, [], "e30=", 5])
def test_a_cloudevent_whose_data_is_no_object_is_poison(data: object) -> None:
    assert poison({**CLOUDEVENT, "data": data}) == ("cloudevent", "/data")
    assert poison({**without(CLOUDEVENT, "data"), "data_base64": "e30="}) == ("cloudevent", "/data")
    assert poison(orjson.dumps(data), **BINARY) == ("cloudevent", "")


def test_what_the_cloudevents_profile_sends_is_the_same_event_when_it_comes_back() -> None:
    event = an_event(catalogue.examples()["stop.report.completed"], key=f"{PROJECT}:p".encode())
    sent = render(
        event, profile=Profile.CLOUDEVENTS, asked=event.type, expand=(), max_bytes=MAX_BYTES
    ).body
    back = an_event(sent)
    assert (back.id, back.type, back.project_id) == (event.id, event.type, event.project_id)
    assert (back.created_at, back.key) == (event.created_at, "p")
    assert back.body["data"] == event.body["data"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
names = st.sampled_from(
    ["id", "type", "created_at", "project_id", "data", "user", "specversion", "source", "time",
     "data_base64", "datacontenttype", "subject"]
)  # fmt: skip
envelopes = st.dictionaries(names, json_values | st.sampled_from(["plan.created", PROJECT, "1.0"]))
values = (
    st.none()
    | st.binary(max_size=300)
    | json_values.map(lambda value: json.dumps(value).encode())
    | envelopes.map(lambda value: json.dumps(value).encode())
)
header_names = st.sampled_from([*BINARY, "content-type", "traceparent", "project_id", "x"])
headers = st.dictionaries(header_names, st.none() | st.binary(max_size=60), max_size=6)


@pytest.mark.timeout(600)
@settings(max_examples=EXAMPLES)
@given(value=values, about=headers, key=st.none() | st.binary(max_size=60))
def test_whatever_a_producer_writes_is_an_event_or_said_to_be_none(
    value: bytes | None, about: dict[str, bytes | None], key: bytes | None
) -> None:
    record = a_record(value, key=key)
    record.headers = list(about.items())
    found = Decoder(max_bytes=MAX_BYTES).decode(record)
    assert found is None or isinstance(found, Event | Poison)
    if isinstance(found, Poison):
        assert found.reason in metrics.QUARANTINED
        assert found.message
    if isinstance(found, Event):
        orjson.dumps(found.body)
