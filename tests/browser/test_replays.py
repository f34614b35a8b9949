"""Part of the log once more, from the dashboard."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from services.kernel.clock import rfc3339
from tests.support.eventually import eventually
from tests.support.site import Site, Visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

PATIENCE = 40_000
"""Milliseconds, for what a worker does in the background."""


async def driven(site: Site, name: str, count: int) -> tuple[str, str]:
    """Let a vehicle start routes; return a webhook that has heard of each, and the vehicle."""
    id_ = await site.cluster.subscribe(
        f"{site.receiver.url}/{name}", description=name, types=["route.started"]
    )
    vehicle = uuid.uuid4().hex[:24]
    for _ in range(count):
        await site.put("route.started", vehicle_id=vehicle)
    await site.put("route.started")  # another vehicle's
    await eventually(lambda: len(paths(site, name)) == count + 1, within=30)
    return id_, vehicle


def paths(site: Site, name: str) -> list[str]:
    """Return the ids that a webhook's receiver got."""
    return [seen.id for seen in site.receiver.seen if seen.path == f"/{name}"]


def an_hour_ago() -> str:
    return rfc3339(datetime.now(UTC) - timedelta(hours=1))


async def test_a_vehicles_day_is_replayed_after_an_estimate(owner: Visitor, site: Site) -> None:
    id_, vehicle = await driven(site, "day", 3)
    live = paths(site, "day")
    page = await owner.goto(f"/replays/new?vehicle_id={vehicle}")
    await page.get_by_role("button", name="Estimate").click()
    await page.locator("#f-subscription-wrong-1").wait_for()
    await page.get_by_label("Webhook").select_option(id_)
    await page.get_by_label("From", exact=True).fill("yesterday")
    await page.get_by_label("From", exact=True).press("Enter")
    await page.locator("#f-from-wrong-1").wait_for()
    assert await page.input_value("#f-vehicle_id") == vehicle
    await page.get_by_label("From", exact=True).fill(an_hour_ago())
    await page.get_by_role("button", name="Estimate").click()
    await page.locator("#estimate").get_by_text("3 events").wait_for(timeout=PATIENCE)
    assert paths(site, "day") == live, "an estimate sends nothing"
    await page.get_by_role("button", name="Start the replay").click()
    await page.wait_for_url("**/replays/*")
    await page.locator("#job").get_by_text("Done").wait_for(timeout=PATIENCE)
    again = [seen for seen in site.receiver.seen if seen.path == "/day"][len(live) :]
    # Nobody asked for an order.
    assert len(again) == 3
    assert {seen.id for seen in again} < set(live)
    assert all(vehicle.encode() in seen.body for seen in again)
    assert all(page.url.endswith(seen.headers["planner-replay"]) for seen in again)
    page = await owner.goto("/replays")
    await page.get_by_role("link", name=f"Vehicle {vehicle}").wait_for()


async def test_a_replay_is_cancelled(unscripted: Visitor, site: Site) -> None:
    """Without JavaScript, as everything."""
    id_, vehicle = await driven(site, "slow", 3)
    page = await unscripted.goto(f"/replays/new?subscription={id_}&vehicle_id={vehicle}")
    await page.get_by_label("Events per second").fill("0.1")
    await page.get_by_role("button", name="Estimate").click()
    await page.locator("#estimate").get_by_text("3 events").wait_for(timeout=PATIENCE)
    await page.get_by_role("button", name="Start the replay").click()
    await page.get_by_role("button", name="Cancel").click()
    await page.locator("#job").get_by_text("Cancelled").wait_for()
    found = await site.cluster.call("GET", f"/v1/replays?subscription={id_}")
    assert found["data"][0]["state"] == "cancelled"
