"""The test bench, in a browser: a receiver is tried before anything goes wrong by itself."""

import pytest

from tests.support.site import Site, Visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


async def test_a_receiver_that_takes_old_signatures_is_told_so_in_words(
    owner: Visitor, site: Site
) -> None:
    page = await owner.goto(f"/webhooks/{site.healthy}")
    await page.get_by_role("link", name="Test bench").last.click()
    await page.get_by_label("Event type").select_option("stop.created")
    await page.get_by_role("button", name="Show its example").click()
    await page.wait_for_url("**type=stop.created*")  # or what is typed goes with the page before
    data = page.get_by_label("data, as you want it")
    await data.fill('{"id": "5e208446c97efa37d4830b06", "label": "Typed by hand"}')
    await page.get_by_label("Old signature").check()
    before = len(site.receiver.seen)
    await page.get_by_role("button", name="Send to Order system").click()
    answer = page.get_by_label("What came of it")
    await answer.get_by_text("Not as it should be").wait_for()
    assert "whoever recorded one could send it again" in await answer.inner_text()
    # The webhook gets what others do as well.
    seen = [
        each
        for each in site.receiver.seen[before:]
        if each.path == "/orders" and "planner-test" in each.headers
    ]
    assert [b"Typed by hand" in each.body for each in seen] == [True, True]
    await data.fill('{"id": ')
    await page.get_by_role("button", name="Send to Order system").click()
    await page.locator("#tested").get_by_text("line 1, column").wait_for()
    assert await data.input_value() == '{"id": ', "what was typed stays"


async def test_a_delivery_day_goes_on_by_itself_until_it_is_over(
    owner: Visitor, unscripted: Visitor, site: Site
) -> None:
    id_ = await site.cluster.subscribe(
        f"{site.receiver.url}/bench-day", description="Bench", types=["stop.report.*"]
    )
    await site.cluster.call(
        "POST", f"/v1/subscriptions/{id_}/pause"
    )  # others' events aren't for it
    page = await owner.goto(f"/test-bench?webhook={id_}")
    await page.get_by_role("button", name="Send to Bench").click()
    test = page.locator("#tested").get_by_text("Test event: 200")
    await test.wait_for()
    await page.get_by_label("Seed").fill("7")
    await page.get_by_role("button", name="Send a day").click()
    day = page.locator("#day")
    await day.get_by_text("Over").wait_for()
    text = await day.inner_text()
    assert "19 of 19 events" in text
    assert "19 answered with 2xx, 0 not. Seed 7." in text
    assert len(site.receiver.ids("/bench-day")) == 20, "those of the day, and the test before it"
    assert await test.count() == 1, "what a test was answered stays beside the day"
    site.receiver.answers["/bench-day"] = lambda _: 404
    await page.get_by_role("button", name="Send to Bench").click()
    await page.locator("#tested").get_by_text("Test event: 404").wait_for()
    assert "19 of 19 events" in await day.inner_text(), "and the day beside the next test"
    site.receiver.answers["/bench-day"] = lambda _: 500
    page = await unscripted.goto(f"/test-bench?webhook={id_}")
    await page.get_by_label("Seed").fill("7")
    await page.get_by_role("button", name="Send a day").click()
    day = page.locator("#day")
    await day.get_by_text("None of the last 10 was taken").wait_for()
    await page.get_by_role("button", name="Send the next").click()
    await day.get_by_text("0 answered with 2xx, 19 not.").wait_for()
