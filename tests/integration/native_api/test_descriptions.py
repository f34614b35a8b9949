"""Health, the documents, and the event types."""

import openapi_spec_validator
import pytest

from services import catalogue
from services.kernel.subscription import Profile
from tests.support import openapi
from tests.support.native import Caller

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(60)]


async def test_health_and_descriptions_need_no_key(owner: Caller) -> None:
    nobody = Caller(owner.session, key=None)
    for path in ("/healthz", "/readyz"):
        assert (await nobody("GET", path)).json == {"status": "ok"}
    for name in ("events/catalogue.json", "events/examples.json", "events/schema.json"):
        assert (await nobody("GET", f"/schemas/{name}")).json
    await nobody("GET", "/schemas/../pyproject.toml", status=404)
    await nobody("GET", "/schemas/postgres/schema.sql", status=404)


async def test_the_document_is_the_one_beside_the_code_and_valid(owner: Caller) -> None:
    served = await Caller(owner.session, key=None)("GET", "/openapi.json")
    assert served.body == openapi.committed(), "write it with: python -m tests.support.openapi"
    openapi_spec_validator.validate(served.json)


async def test_topics_are_described_and_all_of_it_is_a_page_that_loads_nothing(
    owner: Caller,
) -> None:
    nobody = Caller(owner.session, key=None)
    served = await nobody("GET", "/asyncapi.json")
    assert served.body == openapi.committed(openapi.TOPICS_FILE)
    assert served.headers["Content-Type"] == "application/json"
    page = await nobody("GET", "/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    text = page.body.decode()
    for said in ("POST /v1/subscriptions", "/asyncapi.json", "stop.report.completed"):
        assert said in text
    assert "<script" not in text
    assert "http" not in text.replace("https://", "http://").split("<h2>")[0]


async def test_single_objects_have_an_etag_of_their_content(
    owner: Caller, operator: Caller
) -> None:
    path = f"/v1/projects/{owner.project}"
    read = await operator("GET", path)
    tag = read.headers["ETag"]
    changed = await operator("PATCH", path, {"name": "Another"}, If_Match=tag)
    assert changed.headers["ETag"] != tag
    await operator("PATCH", path, {"name": "A third"}, status=412, If_Match=tag)
    await operator("DELETE", path, status=412, If_Match=tag)
    assert (await operator("GET", path)).headers["ETag"] == changed.headers["ETag"]
    one = "/v1/event-types/plan.created"
    assert (await owner("GET", one)).headers["ETag"] == (await owner("GET", one)).headers["ETag"]
    assert "ETag" not in (await owner("GET", "/v1/event-types")).headers
    await operator("DELETE", path, status=204, If_Match=changed.headers["ETag"])


async def test_event_types_are_those_of_the_catalogue(owner: Caller) -> None:
    listed = (await owner("GET", "/v1/event-types")).json
    rows = catalogue.read("catalogue.json")
    assert listed["next"] is None
    expected = [{"key" if name == "kafka_key" else name: row[name] for name in row} for row in rows]
    none = {"last_day": 0, "peak_per_second": 0, "bytes": 0}
    meanings = catalogue.read("meanings.json")["types"]
    assert listed["data"] == [
        {**row, "meaning": meanings[row["type"]], "volume": none} for row in expected
    ]
    for row in rows:
        one = (await owner("GET", f"/v1/event-types/{row['type']}")).json
        assert one["type"] == row["type"]
        assert one["examples"].keys() == {profile.value for profile in Profile}
        example = catalogue.examples()[row["type"]]
        assert one["examples"]["planner-2022"] == example
        assert (one["schema"] is None) == (row["type"] not in catalogue.data_schemas())
        for alias in row["aliases"]:
            older = (await owner("GET", f"/v1/event-types/{alias}")).json
            assert older == one
