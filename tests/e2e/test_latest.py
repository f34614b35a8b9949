"""The latest position of each vehicle: few requests, the newest there is, and all that is no position."""

import asyncio

import orjson
import pytest

from tests.support.cluster import Cluster, Put, Receiver, Seen, keep_history
from tests.support.drives import a_position
from tests.support.eventually import eventually
from tests.support.settled import Place, settled

pytestmark = pytest.mark.timeout(180)

VEHICLES = [f"{n:024x}" for n in range(3)]
POSITIONS = 50
PLANS = {"plan-0", "plan-1", "plan-2"}


def a_report(cluster: Cluster, vehicle: str, number: int) -> Put:
    """Return a position of *vehicle*, five seconds after the one before."""
    body = a_position(number, 41.39, 2.16, vehicle=vehicle)
    body |= {"id": f"{vehicle}-{number}", "project_id": cluster.project}
    return Put(orjson.dumps(body), key=vehicle.encode())


def a_plan(cluster: Cluster, id_: str) -> Put:
    body = {
        "id": id_,
        "type": "plan.created",
        "created_at": "2026-03-17T09:40:51.000Z",
        "project_id": cluster.project,
        "data": {},
    }
    return Put(orjson.dumps(body), key=b"plan")


def number_of(seen: Seen) -> int:
    return int(seen.id.partition("-")[2])


async def only_the_newest_waits(cluster: Cluster, id_: str) -> None:
    """Wait until of each vehicle all positions between its first and its last are superseded."""
    between = {f"{each}-{n}" for each in VEHICLES for n in range(1, POSITIONS - 1)}
    places = [
        Place(record.partition, record.offset)
        for record in await cluster.records(cluster.topic)
        if record.value is not None and orjson.loads(record.value)["id"] in between
    ]
    assert len(places) == len(between)

    async def are_superseded() -> bool:
        return all(map((await settled(cluster, id_)).is_through, places))

    await eventually(are_superseded, within=20)


async def is_at_home(cluster: Cluster, id_: str) -> bool:
    found = await cluster.call("GET", f"/v1/subscriptions/{id_}/backlog")
    return bool(found["state"] == "attached")


async def test_a_receiver_gets_the_latest_of_each_vehicle_and_everything_else_until_it_wants_each(
    cluster: Cluster, receiver: Receiver
) -> None:
    await keep_history(cluster)

    def of(vehicle: str) -> list[Seen]:
        return [seen for seen in receiver.seen if seen.id.startswith(vehicle)]

    is_read = asyncio.Event()

    async def fails_at_first(seen: Seen) -> int:
        vehicle = seen.id.partition("-")[0]
        if vehicle not in VEHICLES or of(vehicle)[0] is not seen:
            return 200
        await is_read.wait()
        return 500

    receiver.answers["/one"] = fails_at_first
    id_ = await cluster.subscribe(
        f"{receiver.url}/one",
        types=["vehicle.position", "plan.created"],
        delivery={"mode": "latest", "every_seconds": 1},
        timeout_seconds=30,
    )
    await cluster.start()
    await cluster.start("r0", role="record")
    await cluster.put(*(a_report(cluster, each, 0) for each in VEHICLES))
    await eventually(lambda: all(of(each) for each in VEHICLES), within=30)
    puts = [a_report(cluster, each, n) for n in range(1, POSITIONS) for each in VEHICLES]
    for n, id_of_plan in enumerate(sorted(PLANS)):
        puts.insert(40 * (n + 1), a_plan(cluster, id_of_plan))
    await cluster.put(*puts)
    await only_the_newest_waits(cluster, id_)
    is_read.set()

    def newest_came() -> bool:
        return all(of(each) and number_of(of(each)[-1]) == POSITIONS - 1 for each in VEHICLES)

    await eventually(newest_came, within=30)
    assert {seen.id for seen in receiver.seen if seen.id in PLANS} == PLANS
    for each in VEHICLES:
        requests, acknowledged = of(each), of(each)[1:]
        took = requests[-1].at - requests[0].at
        assert len(requests) <= 2 + took  # one a second, and the first again
        assert sorted(requests, key=number_of) == requests
        stood_for = [1 + int(seen.headers.get("planner-conflated", 0)) for seen in acknowledged]
        assert sum(stood_for) == POSITIONS

    async def superseded() -> set[str]:
        found = await cluster.call("GET", "/v1/deliveries?state=superseded")
        return {delivery["event_id"] for delivery in found["data"]}

    async def is_known() -> bool:
        return await superseded() == {of(each)[0].id for each in VEHICLES}

    await eventually(is_known, within=30)
    await eventually(lambda: is_at_home(cluster, id_))

    await cluster.call("PATCH", f"/v1/subscriptions/{id_}", {"delivery": {"mode": "each"}})

    async def is_fed_live() -> bool:
        return await cluster.fetch("select from lanes where subscription_id = $1", id_) == []

    await eventually(is_fed_live, within=30)
    more = range(POSITIONS, POSITIONS + 5)
    await cluster.put(*(a_report(cluster, VEHICLES[0], n) for n in more))
    expected = {f"{VEHICLES[0]}-{n}" for n in more}
    await eventually(lambda: expected <= set(receiver.ids()), within=30)


async def test_positions_beyond_a_limit_of_age_are_folded_into_the_last_and_reports_never_expire(
    cluster: Cluster, receiver: Receiver
) -> None:
    vehicle = VEHICLES[0]
    id_ = await cluster.subscribe(
        f"{receiver.url}/one",
        types=["vehicle.position", "plan.created"],
        max_age_seconds={"vehicle.position": 60},
    )
    await cluster.start()
    await cluster.fed_live(id_)
    await cluster.call("POST", f"/v1/subscriptions/{id_}/pause")
    plans = 0

    async def is_held() -> bool:  # a dispatcher has heard of it once a plan is passed and not sent
        nonlocal plans
        plans += 1
        await cluster.put(a_plan(cluster, f"plan-{plans}"))
        await eventually(lambda: is_passed(plans), within=30)
        return f"plan-{plans}" not in receiver.ids()

    async def is_passed(count: int) -> bool:
        return await cluster.committed() == count

    await eventually(is_held, within=30)
    await cluster.put(*(a_report(cluster, vehicle, n) for n in range(POSITIONS)))
    await cluster.put(a_plan(cluster, "plan-0"))
    await cluster.call("POST", f"/v1/subscriptions/{id_}/resume")

    def positions() -> list[Seen]:
        return [seen for seen in receiver.seen if seen.id.startswith(vehicle)]

    def is_through() -> bool:
        sent = positions()
        return bool(sent) and number_of(sent[-1]) == POSITIONS - 1 and "plan-0" in receiver.ids()

    await eventually(is_through, within=30)
    stood_for = [1 + int(seen.headers.get("planner-conflated", 0)) for seen in positions()]
    assert sum(stood_for) == POSITIONS
    assert len(stood_for) < POSITIONS / 5

    async def is_as_usual() -> bool:
        found = await cluster.call("GET", f"/v1/subscriptions/{id_}/backlog")
        return (found["state"], found["lag"]) == ("attached", 0)

    await eventually(is_as_usual, within=30)
