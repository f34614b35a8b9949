"""Filters on the whole stack: each receiver gets what it asked for, and nothing else."""

import asyncio
import itertools
from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from tests.support.cluster import Cluster, Put, Receiver, repeats
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(180)

FENCE = "5e208446c97efa37d4830b09"
STATUSES = ("planning", "in_progress", "finished")
INSIDE, OUTSIDE = (41.40, 2.17), (41.60, 2.17)
WITHIN = {"data": {"position": [{"geo-within": {"geofence": FENCE}}]}}


def put(cluster: Cluster, id_: str, type_: str, data: dict[str, Any], **fields: object) -> Put:
    event = {
        "id": id_,
        "type": type_,
        "created_at": "2026-03-17T09:40:51.000Z",
        "project_id": cluster.project,
        "data": data,
        **fields,
    }
    return Put(orjson.dumps(event), key=id_.encode())


def a_plan(cluster: Cluster, n: int) -> Put:
    return put(cluster, f"plan-{n}", "plan.created", {"id": f"{n:024x}", "status": STATUSES[n % 3]})


def a_position(cluster: Cluster, id_: str, at: tuple[float, float]) -> Put:
    position = {"lat": at[0], "lng": at[1], "created_at": "2026-03-17T09:40:51.000Z"}
    return put(cluster, id_, "vehicle.position", {"vehicle_id": "v", "position": position})


def a_geofence(cluster: Cluster, type_: str, second: int, *, lat: float = 41.35) -> Put:
    corners = [(lat, 2.09), (lat, 2.23), (lat + 0.1, 2.23), (lat + 0.1, 2.09)]
    data = {
        "id": FENCE,
        "project_id": cluster.project,
        "label": "Zone",
        "enabled": True,
        "coordinates": [{"lat": lat, "lng": lng} for lat, lng in corners],
    }
    at = f"2026-03-17T09:41:{second:02}.000Z"
    return put(cluster, f"fence-{second}", type_, data, created_at=at)


async def test_a_receiver_gets_what_its_filter_takes_and_nothing_else(
    cluster: Cluster, receiver: Receiver
) -> None:
    finished = {"data": {"status": ["finished"]}}
    either = {"$or": [finished, {"id": ["plan-0"]}]}
    await cluster.subscribe(f"{receiver.url}/all")
    of_finished = await cluster.subscribe(
        f"{receiver.url}/finished", types=["plan.*"], filter=finished
    )
    never = await cluster.subscribe(
        f"{receiver.url}/never", types=["plan.*"], filter={"data": {"id": ["f" * 24]}}
    )
    await cluster.subscribe(f"{receiver.url}/either", types=["plan.created"], filter=either)
    await cluster.start()
    await cluster.put(*(a_plan(cluster, n) for n in range(90)))
    await eventually(lambda: len(receiver.ids("/all")) == 90, within=30)
    wanted = {f"plan-{n}" for n in range(90) if n % 3 == 2}
    await eventually(lambda: len(receiver.ids("/finished")) >= len(wanted))
    await eventually(lambda: len(receiver.ids("/either")) >= len(wanted) + 1)
    assert receiver.ids("/finished").keys() == wanted
    assert receiver.ids("/either").keys() == {*wanted, "plan-0"}
    assert repeats(receiver.ids("/finished")) == {}
    for id_, matched in ((of_finished, len(wanted)), (never, 0)):

        async def counted(id_: str = id_, matched: int = matched) -> bool:
            shown = (await cluster.call("GET", f"/v1/subscriptions/{id_}"))["matches"]
            expected = {"seen": 90, "matched": matched}
            return bool(shown["last_hour"] == shown["last_day"] == expected)

        await eventually(counted, within=30)
    path = f"/v1/event-types/plan.created?project_id={cluster.project}"
    volume = (await cluster.call("GET", path))["volume"]
    assert volume["last_day"] == 90
    assert volume["bytes"] == sum(len(a_plan(cluster, n).value or b"") for n in range(90))
    assert 1 <= volume["peak_per_second"] <= 90
    assert (await cluster.call("GET", "/v1/event-types/plan.created"))["volume"] is None
    misses: dict[str, Any] = {}
    fresh = itertools.count(90)

    async def is_explained() -> bool:
        # Of a type the first of every few seconds is looked into, for a moment at most.
        await cluster.put(a_plan(cluster, next(fresh)))
        shown = await cluster.call("GET", f"/v1/subscriptions/{never}")
        misses.update(shown["matches"]["misses"])
        return bool(misses["explained"] > 0)

    await eventually(is_explained, within=30, every=0.5)
    (clause,) = misses["clauses"]
    assert clause == {"pointer": "/filter/data/id", "path": "data.id", "count": misses["explained"]}
    assert misses["explained"] < 90, "a sample"


async def test_a_change_under_load_leaves_what_was_passed_and_from_its_first_event_on_holds_for_all(
    cluster: Cluster, receiver: Receiver
) -> None:
    def of(status: str) -> dict[str, Any]:
        return {"data": {"status": [status]}}

    id_ = await cluster.subscribe(f"{receiver.url}/some", types=["plan.*"], filter=of("planning"))
    await cluster.subscribe(f"{receiver.url}/all", types=["plan.*"])
    await cluster.start()
    await cluster.fed_live()  # what a lane still has to read is matched when it is read
    produced = 0
    stopped = asyncio.Event()

    async def load() -> None:
        nonlocal produced
        while not stopped.is_set():
            await cluster.put(*(a_plan(cluster, produced * 3 + k) for k in range(3)))
            produced += 1

    def got(remainder: int, numbers: Iterable[int]) -> set[str]:
        return {f"plan-{n * 3 + remainder}" for n in numbers} & receiver.ids("/some").keys()

    loading = asyncio.create_task(load())
    await eventually(lambda: len(receiver.ids("/some")) > 5, within=30)
    before, ends = range(produced), await cluster.ends()

    async def are_passed() -> bool:
        commits = await cluster.commits()
        return all(
            number in commits and commits[number].offset >= end
            for number, end in ends.items()
            if end
        )

    await eventually(are_passed, within=30)
    await cluster.call("PATCH", f"/v1/subscriptions/{id_}", {"filter": of("finished")})
    # What a dispatcher reads until it has heard of the change is judged by the old one.
    await eventually(lambda: got(2, range(produced)), within=30)
    began = produced + 1  # the one before may be in the log already
    await eventually(lambda: produced > began + 20, within=30)
    stopped.set()
    await loading
    after = range(began, produced)
    await eventually(lambda: len(receiver.ids("/all")) == produced * 3, within=30)
    await eventually(lambda: len(got(0, before)) == len(before))
    await eventually(lambda: len(got(2, after)) == len(after))
    # Each event was taken by one of the two filters, the old before and the new after.
    assert not got(1, range(produced))
    assert not got(2, before)
    assert not got(0, after)


async def test_a_geofence_comes_by_the_log_and_its_change_holds_from_then_on(
    cluster: Cluster, receiver: Receiver
) -> None:
    count = 0

    async def produce(*records: Put) -> None:
        nonlocal count
        count += len(records)
        await cluster.put(*records)

    async def are_passed() -> bool:
        return await cluster.committed() == count

    async def takes(*wanted: str) -> bool:
        """Send one from within and one from outside; tell whether the zone's receiver got those."""
        ends = {f"in-{count}": INSIDE, f"out-{count}": OUTSIDE}
        await produce(*(a_position(cluster, id_, at) for id_, at in ends.items()))
        await eventually(are_passed, within=30)
        assert receiver.ids("/all").keys() >= ends.keys()
        got = ends.keys() & receiver.ids("/zone").keys()
        return {id_.partition("-")[0] for id_ in got} == {*wanted}

    await cluster.start()
    await produce(a_geofence(cluster, "geofence.created", 1))
    path = f"/v1/geofences/{FENCE}"

    async def is_known() -> bool:
        return bool(await cluster.fetch("select from geofences where id = $1", FENCE))

    await eventually(is_known, within=30)
    assert (await cluster.call("GET", path))["origin"] == "planner"
    types = ["vehicle.position"]
    await cluster.subscribe(f"{receiver.url}/zone", types=types, filter=WITHIN)
    await cluster.subscribe(f"{receiver.url}/all", types=types)
    await cluster.fed_live()
    await eventually(lambda: takes("in"), within=30)
    # By the log: moved to where the other position is. An older event moves it nowhere.
    await produce(a_geofence(cluster, "geofence.updated", 9, lat=41.55))
    await produce(a_geofence(cluster, "geofence.updated", 5, lat=10))
    await eventually(lambda: moved(cluster))
    await eventually(lambda: takes("out"), within=30)
    # Through the API: disabled, it is neither within nor outside.
    await cluster.call("PATCH", path, {"enabled": False})
    await eventually(takes, within=30)


async def moved(cluster: Cluster) -> bool:
    rows = await cluster.fetch("select version from geofences where id = $1", FENCE)
    return bool(rows[0]["version"] == 2)


async def test_a_filter_that_can_not_be_read_matches_nothing_and_is_switched_off_loudly(
    cluster: Cluster, receiver: Receiver
) -> None:
    broken = await cluster.subscribe(f"{receiver.url}/broken", types=["plan.*"])
    await cluster.subscribe(f"{receiver.url}/all", types=["plan.*", "webhook.disabled"])
    await cluster.fetch("update subscriptions set filter = '{\"$xor\": []}' where id = $1", broken)
    worker = await cluster.start()
    await cluster.put(*(a_plan(cluster, n) for n in range(3)))
    await eventually(lambda: len(receiver.ids("/all")) == 4, within=30)
    told = next(
        body
        for seen in receiver.seen
        if (body := orjson.loads(seen.body))["type"] == "webhook.disabled"
    )
    assert told["data"]["subscription_id"] == broken
    assert told["data"]["reason"] == "filter_broken"
    shown = await cluster.call("GET", f"/v1/subscriptions/{broken}")
    assert (shown["status"], shown["status_reason"]) == ("disabled", "filter_broken")
    assert shown["warnings"][0]["code"] == "broken"
    assert worker.logged("subscription_disabled") == 1
    assert receiver.ids("/broken") == {}
