"""A van drives into a zone and out of it: its receiver hears of each once, whoever dies meanwhile."""

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from tests.support.cluster import Cluster, Put, Receiver, a_cluster, create_topics
from tests.support.drives import a_position
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)

INSIDE, OUTSIDE = (41.40, 2.17), (41.60, 2.17)
AREA = {"circle": {"center": {"lat": INSIDE[0], "lng": INSIDE[1]}, "radius_m": 500}}


@pytest.fixture
async def cluster(kafka: str, database: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(kafka, database, tmp_path) as cluster:
        states = f"{cluster.topic}.geofence"
        await create_topics(cluster.bootstrap, [states])
        cluster.environment |= {
            "WEBHOOKS_GEOFENCE__TOPIC": cluster.topic,
            "WEBHOOKS_GEOFENCE__STATE_TOPIC": states,
        }
        yield cluster


def at(cluster: Cluster, number: int, place: tuple[float, float]) -> Put:
    body = {**a_position(number, *place), "project_id": cluster.project}
    return Put(orjson.dumps(body), key=f"{cluster.project}:van".encode())


async def test_a_receiver_hears_once_of_each_entry_and_exit_over_a_kill(
    cluster: Cluster, receiver: Receiver
) -> None:
    fence = {"project_id": cluster.project, "label": "Old town", **AREA}
    zone = (await cluster.call("POST", "/v1/geofences", fence))["id"]
    only = {"data": {"geo_fence": {"id": [zone]}}}
    await cluster.subscribe(
        f"{receiver.url}/zone", types=["vehicle.geofence.*"], filter=only, ordered="key"
    )
    worker = await cluster.start()
    role = await cluster.start("fences", role="geofence")
    await eventually(lambda: role.logged("geofence_restored") == 8, within=30)
    await cluster.put(*(at(cluster, n, place) for n, place in enumerate((OUTSIDE, INSIDE))))
    await eventually(lambda: len(receiver.seen) == 1, within=30)
    group = cluster.environment["WEBHOOKS_KAFKA__GROUP"] + ".geofence"

    async def are_judged() -> bool:
        return sum(at.offset for at in (await cluster.commits(group)).values()) >= 2

    await eventually(are_judged, within=30)  # what isn't committed may be told again
    await role.kill()
    await cluster.put(*(at(cluster, n + 2, place) for n, place in enumerate((OUTSIDE, INSIDE))))
    heir = await cluster.start("fences", role="geofence")
    await eventually(lambda: len(receiver.seen) >= 3, within=30)
    await cluster.put(at(cluster, 4, OUTSIDE))
    await eventually(lambda: len(receiver.seen) >= 4, within=30)
    said = [orjson.loads(seen.body) for seen in receiver.seen]
    assert [each["type"].rpartition(".")[2] for each in said] == ["entered", "exited"] * 2
    assert said[1]["data"]["dwell_seconds"] == 5
    assert said[0]["data"]["geo_fence"]["label"] == "Old town"
    assert await heir.terminate() == 0
    assert await worker.terminate() == 0
