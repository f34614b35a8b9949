"""What is passed over in the log without being decoded is nothing that would be shown."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import catalogue
from services.control.access import Caller
from services.control.view import Asked, View
from services.feed.decode import Decoder
from services.kernel.event import Event, Record
from services.kernel.ids import ProjectId
from services.match import types
from tests.support.factories import PROJECT, a_body, a_record

OTHER = "5e208446c97efa37d4830bff"
NAMES = [
    name
    for known in catalogue.event_types().values()
    for name in (known.type, *known.aliases, f"{catalogue.ROUTAL}{known.type}")
]
PATTERNS = [None, "*", "stop.*", "stop.report.*", "driver.*", "stop.report", *NAMES]
DECODE = Decoder(max_bytes=100_000).decode


def a_view(type_: str | None, *, project: str | None = PROJECT, asked: str | None = None) -> View:
    caller = Caller("key", ProjectId(project) if project else None, frozenset({"read"}))
    pattern = None if type_ is None else types.parse(type_)
    return View(caller, Asked(type=type_, project_id=asked), pattern, None, 100_000)


def escaped(body: object) -> bytes:
    """As a producer may write it that trusts no byte: each letter by its number."""
    text = json.dumps(body)
    return "".join(f"\\u{ord(c):04x}" if c.isalpha() else c for c in text).encode()


def written(type_: str, project: str, form: str) -> Record:
    body = a_body(type_, project_id=project)
    if form == "ours":
        return a_record(orjson.dumps(body))
    if form == "escaped":
        kept = {key: value for key, value in body.items() if key != "data"}
        letters = escaped(kept).replace(b"\\u0074\\u0079\\u0070\\u0065", b"type")
        return a_record(letters[:-1] + b', "data": {}}')
    attributes = {
        "specversion": "1.0", "id": "ce-1", "source": f"/projects/{project}",
        "type": f"planner.{type_}", "time": "2022-03-17T09:40:51.000Z",
    }  # fmt: skip
    if form == "structured":
        return a_record(orjson.dumps({**attributes, "data": body["data"]}))
    headers = {f"ce_{name}": text.encode() for name, text in attributes.items()}
    return a_record(orjson.dumps(body["data"]), **headers)


@given(
    pattern=st.sampled_from(PATTERNS),
    type_=st.sampled_from(NAMES),
    project=st.sampled_from([PROJECT, OTHER]),
    form=st.sampled_from(["ours", "escaped", "structured", "binary"]),
    asks=st.sampled_from([(PROJECT, None), (None, None), (None, OTHER)]),
)
def test_whatever_would_be_shown_is_looked_at(
    pattern: str | None, type_: str, project: str, form: str, asks: tuple[str | None, str | None]
) -> None:
    view = a_view(pattern, project=asks[0], asked=asks[1])
    record = written(type_, project, form)
    event = DECODE(record)
    if isinstance(event, Event) and view.entry(event) is not None:
        assert view.may_show(record)


@pytest.mark.parametrize("form", ["ours", "structured", "binary"])
def test_other_types_and_other_projects_are_passed_over(form: str) -> None:
    positions = a_view("vehicle.position")
    assert positions.may_show(written("vehicle.position", PROJECT, form))
    assert not positions.may_show(written("stop.created", PROJECT, form))
    assert not positions.may_show(written("vehicle.position", OTHER, form))
    assert a_view(None, project=None).may_show(written("stop.created", OTHER, form))
