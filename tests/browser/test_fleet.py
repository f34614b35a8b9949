"""Vehicles on the map, a route's day, and the lanes of those who operate the service."""

import time

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from services.catalogue import examples
from tests.browser.sound import violations
from tests.support.cluster import Put
from tests.support.eventually import eventually
from tests.support.site import Site, Visitor, a_key

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

LONG = 2_050
"""Positions, more than a page of the map reads."""


async def test_a_vehicle_is_on_the_map_with_what_its_receiver_knows_and_its_routes_day(
    owner: Visitor, site: Site
) -> None:
    await site.put("vehicle.position")

    async def is_taken() -> bool:
        page = await owner.goto("/map")
        return await page.locator(".map circle.taken").count() == 1

    await eventually(is_taken, within=30, every=0.5)
    page = owner.page
    assert await page.locator(".map circle.vehicle").count() == 1
    assert await page.locator(".map path.fence").count() == 1
    assert await page.locator(".map .fence-name").text_content() == "Depot"
    # Who has told nothing lately is there in a longer span of time.
    await page.get_by_role("link", name="12 h", exact=True).click()
    await page.wait_for_url("**/map?span=43200")
    assert await page.locator(".map circle.vehicle").count() == 1
    await page.locator("tbody a").click()
    await page.wait_for_url("**/map?route=*")
    await page.get_by_role("heading", name="A route's day").wait_for()
    assert await page.locator(".map path.track").count() == 1
    assert (
        await page.locator(".map circle[class^=mark-]").count()
        == await page.locator("tbody tr").count()
    )
    assert "stop.report.completed" in await page.inner_text("tbody")


async def test_vehicles_that_are_close_are_one_with_their_number_and_lead_to_the_list(
    visitor: Visitor, site: Site
) -> None:
    project = str((await site.cluster.call("POST", "/v1/projects", {"name": "Depot"}))["id"])
    example = examples()["vehicle.position"]
    for n, lat in enumerate((41.40, 41.40, 41.43)):
        data = {**example["data"], "position": {**example["data"]["position"], "lat": lat}}
        body = {**example, "id": f"depot-{n}", "project_id": project, "data": data}
        await site.cluster.put(Put(orjson.dumps(body), key=f"van-000{n}".encode()))
    await visitor.sign_in(await a_key(site.cluster, "read", project=project))

    async def are_told() -> bool:
        page = await visitor.goto("/map")
        return await page.locator("tbody tr").count() == 3

    await eventually(are_told, within=30, every=0.5)
    page = visitor.page
    spots = page.locator(".map a.spot")
    assert await spots.count() == 2
    together = page.get_by_role("link", name="vehicles van-0000, van-0001")
    assert await together.locator(".count").text_content() == "2"
    name = together.locator(".vehicle-name")
    assert await name.evaluate("e => getComputedStyle(e).opacity") == "0"
    await together.focus()
    assert await name.evaluate("e => getComputedStyle(e).opacity") == "1"
    assert (await name.text_content() or "").split() == ["0000", "0001"]
    assert await violations(visitor) == []
    await page.keyboard.press("Enter")
    assert await page.locator("tr:target code").first.inner_text() == "van-0000"


async def test_a_day_with_more_positions_than_a_page_reads_is_shown_in_parts(
    visitor: Visitor, site: Site
) -> None:
    project = str((await site.cluster.call("POST", "/v1/projects", {"name": "Long"}))["id"])
    # Only the newest of them is sent: that there is one tells which vehicle it was.
    await site.cluster.subscribe(
        f"{site.receiver.url}/long", project_id=project, types=["vehicle.position"],
        filter={"data": {"position": {"speed": [LONG - 1]}}},
    )  # fmt: skip
    await _drive(site, project, "long-route", LONG)
    await visitor.sign_in(await a_key(site.cluster, "read", project=project))
    page = visitor.page

    async def is_told() -> bool:
        await visitor.goto("/map?route=long-route")
        return await page.locator(".map path.track").count() == 1

    await eventually(is_told, within=30, every=0.5)
    assert "The first 2,000 positions" in await page.inner_text("main")
    await page.get_by_role("link", name="Go on from there").click()
    await page.get_by_role("link", name="From its beginning").wait_for()
    await page.get_by_role("link", name="Go on from there").wait_for(state="detached")
    drawn = await page.locator(".map path.track").get_attribute("d") or ""
    assert drawn.count("L") == LONG - 2000 - 1
    assert await violations(visitor) == []


async def _drive(site: Site, project: str, route: str, count: int) -> None:
    """Produce positions of a vehicle, one each 5 s until now, behind a newer one of another route.

    As a vehicle does that had no connection for long: in the log, its times go back.
    """
    example, now = examples()["vehicle.position"], int(time.time() * 1000)
    producer = AIOKafkaProducer(bootstrap_servers=site.cluster.bootstrap, linger_ms=10)
    async with producer:
        for n in (count, *range(count)):
            position = {**example["data"]["position"], "lat": 41 + n / 10_000, "speed": n}
            other = "the-next" if n == count else route
            data = {**example["data"], "route_id": other, "position": position}
            body = {**example, "id": f"{project}-{n}", "project_id": project, "data": data}
            await producer.send(
                site.cluster.topic, orjson.dumps(body), key=b"long-van",
                timestamp_ms=now - (count - n) * 5000,
            )  # fmt: skip


async def test_another_projects_map_is_empty(visitor: Visitor, site: Site) -> None:
    await visitor.sign_in(site.outsider)
    page = await visitor.goto("/map")
    assert "No vehicle has told its position" in await page.inner_text("main")


async def test_a_paused_webhook_has_lanes_and_each_partition_its_owner(
    operator: Visitor, site: Site
) -> None:
    id_ = await site.cluster.subscribe(f"{site.receiver.url}/lane", description="Apart")
    await site.cluster.fed_live(id_)
    await site.cluster.call("POST", f"/v1/subscriptions/{id_}/pause")

    async def is_apart() -> bool:
        await site.put("plan.created")  # a lane begins with the first event that waits
        page = await operator.goto(f"/lanes?subscription={id_}")
        is_owned = await page.get_by_text("Nobody yet").count() == 0  # a new topic's, in a while
        return is_owned and await page.get_by_role("link", name="Apart").count() > 0

    await eventually(is_apart, within=30, every=0.5)
    page = operator.page
    assert "paused by its owner" in await page.inner_text("main")
    await site.cluster.call("DELETE", f"/v1/subscriptions/{id_}")


async def test_lanes_are_the_operators(owner: Visitor) -> None:
    page = await owner.goto("/lanes", status=403)
    assert "can make a key with more scopes" in await page.inner_text("main")
