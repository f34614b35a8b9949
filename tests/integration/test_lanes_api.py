"""`GET /v1/lanes` and `GET /v1/partitions` on real Kafka and Postgres, no dispatcher in the way."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import ClientSession

from services import catalogue
from tests.support.api import ADMIN_KEY, ServedApi
from tests.support.native import Caller

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("topics")]

DAY = timedelta(days=1).total_seconds()
LANE = """insert into lanes (topic, partition, subscription_id, cursor, state, reason, since, flips,
    cursor_at) values ($1, $2, $3, $4, 'detached', 'slow', now(), 2, now() - interval '6 days')"""


@pytest.fixture
async def operator(api: ServedApi) -> AsyncIterator[Caller]:
    async with ClientSession(api.url) as session:
        yield Caller(session, ADMIN_KEY, api.project)


async def test_each_lane_is_listed_once_with_its_lag_and_its_edge(
    api: ServedApi, operator: Caller
) -> None:
    ids = sorted(
        [(await operator.make(project_id=api.project))["id"] for _ in range(2)], reverse=True
    )
    for id_ in ids:
        for number in (0, 1):
            await api.sql(LANE, "planner.events", number, id_, 0)
    expected = [(id_, number) for id_ in ids for number in (0, 1)]
    seen, cursor = [], ""
    while cursor is not None:
        page = (await operator("GET", f"/v1/lanes?limit=3{cursor}")).json
        seen += [(lane["subscription_id"], lane["partition"]) for lane in page["data"]]
        cursor = page["next"] and f"&cursor={page['next']}"
    assert seen == expected
    (first, _) = (await operator("GET", f"/v1/lanes?subscription={ids[0]}")).json["data"]
    assert (first["reason"], first["flips"], first["lag"]) == ("slow", 2, first["end"])
    assert 0.9 * DAY < first["headroom_seconds"] <= DAY  # of 7 days, 6 are over
    refused = await operator("GET", "/v1/lanes?cursor=x&subscription=y&stat=z", status=422)
    assert {place for place, _ in refused.faults} == {"cursor", "subscription", "stat"}


async def test_partitions_tell_their_owner_and_how_far_they_are(
    api: ServedApi, operator: Caller
) -> None:
    example = catalogue.examples()["plan.created"]
    events = [{**example, "id": f"{n:024x}", "project_id": api.project} for n in range(4)]
    ingested = (await api.native("POST", "/v1/events", {"events": events}))["events"]
    where = ingested[0]["topic"], ingested[0]["partition"]
    at = {each: part for part in await _partitions(operator) for each in [_at(part)]}
    assert at[where]["owner"] is None
    assert at[where]["lag"] >= 4
    assert 6.9 * DAY < at[where]["headroom_seconds"] <= 7 * DAY
    await api.sql(
        """insert into partitions (topic, partition, epoch, worker, committed, read_offset, open_offsets)
           values ($1, $2, 3, 'w1', 1, 3, 2)""",
        *where,
    )
    await api.sql(LANE, *where, (await operator.make(project_id=api.project))["id"], 0)
    (mine,) = [part for part in await _partitions(operator) if _at(part) == where]
    told = {name: mine[name] for name in ("owner", "epoch", "read", "open_offsets", "lanes")}
    assert told == {"owner": "w1", "epoch": 3, "read": 3, "open_offsets": 2, "lanes": 1}


async def test_both_are_the_operators(api: ServedApi) -> None:
    async with ClientSession(api.url) as session:
        owner = Caller(session, api.key, api.project)
        for path in ("/v1/lanes", "/v1/partitions"):
            await owner("GET", path, status=403)


async def _partitions(operator: Caller) -> list[dict[str, object]]:
    found = (await operator("GET", "/v1/partitions")).json
    return list(found["data"])


def _at(part: dict[str, object]) -> tuple[object, object]:
    return part["topic"], part["partition"]
