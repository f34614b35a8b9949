"""What people do with their webhooks, in a browser."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from services.control.tail import MAX_PER_KEY
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.site import TRIES, Site, Visitor, a_key, comes

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


async def made(site: Site, name: str, **fields: object) -> str:
    """Make a webhook of the test's own."""
    return await site.cluster.subscribe(
        f"{site.receiver.url}/{name}", description=name, **{"types": ["plan.created"], **fields}
    )


async def test_a_webhook_is_paused_and_resumed_in_place(owner: Visitor, site: Site) -> None:
    id_ = await made(site, "in-place")
    page = await owner.goto("/webhooks")
    row = page.get_by_role("row").filter(has_text="in-place")
    await row.get_by_role("button", name="Pause").click()
    await row.get_by_text("Paused").wait_for()
    assert (await site.cluster.call("GET", f"/v1/subscriptions/{id_}"))["status"] == "paused"
    await row.get_by_role("button", name="Resume").click()
    await row.get_by_text("Quiet").wait_for()
    assert page.url.endswith("/webhooks")


async def test_the_list_is_filtered_by_its_address(owner: Visitor) -> None:
    page = await owner.goto("/webhooks")
    await page.get_by_label("Event type").fill("stop.report.*")
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url(re.compile(r"type=stop\.report"))
    await page.get_by_role("link", name="Legacy ERP").wait_for()
    assert await page.get_by_role("link", name="Order system").count() == 0


async def test_a_failing_webhook_says_why_and_what_happens_next(owner: Visitor, site: Site) -> None:
    page = await owner.goto(f"/webhooks/{site.failing}")
    text = await page.inner_text("main")
    assert "The receiver failed inside: its own log says why." in text
    assert "Waiting for a retry" in text
    assert "stop.report.completed" in text
    assert "Success, 24 h\n0 %" in text


async def test_a_filter_that_never_matches_says_of_how_many_and_which_clause_it_is(
    owner: Visitor, site: Site
) -> None:
    never = {"data": {"label": ["no such plan"]}}
    id_ = await made(site, "never", types=["plan.*"], filter=never)
    page = await owner.goto(f"/webhooks/{id_}")
    said = page.get_by_text(re.compile(r"^0 of the last \d+ events, mostly for data\.label$"))

    async def is_said() -> bool:
        await site.put("plan.created")  # of which the first of every few seconds is looked into
        await page.reload()
        return await said.count() == 1

    await eventually(is_said, within=30, every=0.5)


async def test_an_open_page_shows_a_delivery_as_it_happens(owner: Visitor, site: Site) -> None:
    id_ = await made(site, "live")
    page = await owner.goto(f"/webhooks/{id_}")
    assert "0 delivered" in await page.inner_text("#tiles")
    async with page.expect_response("**/live?*"):
        await page.reload()
    tiles, sent = page.locator("#tiles"), 0
    while not sent or not await comes(tiles.get_by_text(f"{sent} delivered")):
        assert sent < TRIES
        await site.put("plan.created")
        sent += 1


async def test_of_many_open_pages_those_that_are_refused_a_stream_say_so_and_stay_fresh(
    visitor: Visitor, site: Site
) -> None:
    id_ = await made(site, "many")
    await visitor.sign_in(await a_key(site.cluster, "read"))
    for _ in range(MAX_PER_KEY):
        tab = await visitor.context.new_page()
        async with tab.expect_response(lambda got: "/live?" in got.url and got.status == 200):
            await tab.goto(f"{site.url}/webhooks/{id_}")
    page = await visitor.goto(f"/webhooks/{id_}")
    await page.get_by_text("Many live pages are open with this key.").wait_for()
    await site.put("plan.created")
    await page.locator("#tiles").get_by_text("1 delivered").wait_for()
    assert await page.locator("[data-connection]").is_visible()


async def test_a_test_event_is_sent_and_its_answer_is_seen(owner: Visitor, site: Site) -> None:
    id_ = await made(site, "teapot")
    site.receiver.answers["/teapot"] = lambda _: 418
    page = await owner.goto(f"/webhooks/{id_}")
    await page.get_by_role("button", name="Send a test event").click()
    await page.get_by_text("Test event: 418").wait_for()
    assert page.url.endswith(id_), "the answer is shown without leaving the page"
    site.receiver.answers.pop("/teapot")  # plans of other tests are for it too


async def test_a_secret_is_rotated_shown_once_and_the_old_one_ended(
    owner: Visitor, site: Site
) -> None:
    id_ = await made(site, "rotated")
    page = await owner.goto(f"/webhooks/{id_}/secrets")
    await page.get_by_label("Hours in which both sign").fill("1000")
    await page.get_by_role("button", name="Make a new secret").click()
    wrong = page.locator("#f-overlap_hours-wrong-1")
    await wrong.wait_for()
    assert await page.input_value("#f-overlap_hours") == "1000", "what was typed stays"
    await page.get_by_label("Hours in which both sign").fill("2")
    await page.get_by_role("button", name="Make a new secret").click()
    await page.get_by_text("Ends in 2 h").wait_for()
    secret = await page.inner_text("#new-secret")
    assert secret.startswith("whsec_")
    await page.get_by_label("Language").select_option("Ruby")
    await page.get_by_role("button", name="Show a receiver with it").click()
    await page.locator("#sample").get_by_text("rackup").first.wait_for()
    assert f"WEBHOOK_SECRET={secret} " in await page.inner_text("#command")
    await page.goto(f"{site.url}/webhooks/{id_}/secrets")
    assert secret not in await page.content()
    await page.get_by_text("End now …").click()
    await page.get_by_role("button", name="End it now").click()
    await page.get_by_text("it signs nothing any more").wait_for()


async def test_settings_keep_what_was_typed_and_show_the_apis_own_words(
    owner: Visitor, site: Site
) -> None:
    id_ = await made(site, "settings")
    page = await owner.goto(f"/webhooks/{id_}/settings")
    await page.get_by_label("Event types").fill("plan.create")
    await page.get_by_label("Time limit").fill("99")
    batch, every = page.get_by_label("Events in a batch"), page.get_by_label("Sent every")
    assert [await batch.is_visible(), await every.is_visible()] == [False, False]
    await page.get_by_label("Requests", exact=True).select_option("batch")
    assert [await batch.is_visible(), await every.is_visible()] == [True, False]
    await batch.fill("5000")
    await page.get_by_label("Filter").fill('{"data": }')
    await page.get_by_role("button", name="Save").click()
    await page.locator("#f-filter-wrong-1").wait_for()
    assert "line 1, column 10" in await page.inner_text("#f-filter-wrong-1")
    await page.get_by_label("Filter").fill("")
    await page.get_by_role("button", name="Save").click()
    await page.locator("#f-types-wrong-1").wait_for()
    assert "did you mean 'plan.created'" in await page.inner_text("#f-types-wrong-1")
    assert await page.locator("#f-timeout_seconds-wrong-1").count() == 1
    assert await page.input_value("#f-timeout_seconds") == "99"
    await page.locator("#f-max_events-wrong-1").wait_for()
    await batch.fill("50")
    await page.get_by_label("Event types").fill("plan.created\nplan.updated")
    await page.get_by_label("Time limit").fill("5")
    await page.get_by_label("Name").fill("Renamed")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("Saved.").wait_for()
    found = await site.cluster.call("GET", f"/v1/subscriptions/{id_}")
    assert (found["description"], found["timeout_seconds"]) == ("Renamed", 5)
    assert found["types"] == ["plan.created", "plan.updated"]
    assert (found["delivery"]["mode"], found["delivery"]["max_events"]) == ("batch", 50)
    page = await owner.goto(f"/webhooks/{id_}/audit")
    assert "Renamed" in await page.inner_text("main")


async def test_a_client_certificate_is_written_and_its_key_never_comes_back(
    owner: Visitor, site: Site, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "authority")
    (certificate, key), (_, other) = authority.pair("us.example"), authority.pair("other.example")
    id_ = await made(site, "certificate")
    page = await owner.goto(f"/webhooks/{id_}/settings")
    await page.get_by_label("URL").fill("https://127.0.0.1:9/hook")
    await page.locator("#f-certificate").fill(certificate)
    await page.locator("#f-certificate_key").fill(other)
    await page.get_by_role("button", name="Save").click()
    await page.locator("#f-certificate_key-wrong-1").wait_for()
    assert await page.inner_text("#f-certificate_key-wrong-1") == (
        "the key is not that of the certificate"
    )
    assert (await page.input_value("#f-certificate")).startswith("-----BEGIN CERTIFICATE")
    assert await page.input_value("#f-certificate_key") == ""
    assert other.splitlines()[1] not in await page.content()
    await page.locator("#f-certificate_key").fill(key)
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("Saved.").wait_for()
    assert "CN=us.example" in await page.inner_text("main")
    page = await owner.goto(f"/webhooks/{id_}")
    assert "the certificate ends on" in await page.inner_text("#standing")
    page = await owner.goto(f"/webhooks/{id_}/settings")
    await page.get_by_label("Show no certificate any more").check()
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("There is none of this webhook's own.").wait_for()


async def test_positions_get_a_limit_of_age_and_lose_it(owner: Visitor, site: Site) -> None:
    id_ = await made(site, "aging", types=["vehicle.position"])
    page = await owner.goto(f"/webhooks/{id_}/settings")
    field = page.get_by_label("Limit of age, vehicle.position")
    await field.fill("0")
    await page.get_by_role("button", name="Save").click()
    await page.locator("[id='f-age_vehicle.position-wrong-1']").wait_for()
    assert await field.input_value() == "0"
    for typed, kept in (("120", {"vehicle.position": 120}), ("", {})):
        await field.fill(typed)
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text("Saved.").wait_for()
        webhook = await site.cluster.call("GET", f"/v1/subscriptions/{id_}")
        assert webhook["max_age_seconds"] == kept
        page = await owner.goto(f"/webhooks/{id_}")
        assert ("2 min for vehicle.position" in await page.inner_text("main")) == bool(kept)
        page = await owner.goto(f"/webhooks/{id_}/settings")


async def test_two_people_dont_overwrite_each_other(owner: Visitor, site: Site) -> None:
    id_ = await made(site, "both")
    page = await owner.goto(f"/webhooks/{id_}/settings")
    await site.cluster.call("PATCH", f"/v1/subscriptions/{id_}", {"description": "theirs"})
    await page.get_by_label("Name").fill("mine")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("Somebody changed this webhook meanwhile").wait_for()
    assert await page.input_value("#f-description") == "mine"


async def test_a_webhook_is_deleted_after_a_second_thought(owner: Visitor, site: Site) -> None:
    id_ = await made(site, "deleted")
    page = await owner.goto(f"/webhooks/{id_}/settings")
    await page.get_by_text("Delete …").click()
    await page.get_by_role("button", name="Delete for good").click()
    await page.get_by_text("Deleted, with what waited for it.").wait_for()
    await site.cluster.call("GET", f"/v1/subscriptions/{id_}", status=404)


async def test_a_receiver_sample_names_this_webhook(owner: Visitor, site: Site) -> None:
    page = await owner.goto(f"/webhooks/{site.healthy}/receiver")
    for language, text in (("Go", "package main"), ("Ruby", "rackup"), ("C#", "WebApplication")):
        await page.get_by_role("link", name=language, exact=True).click()
        await page.locator("#sample").get_by_text(text).first.wait_for()
        assert f"{site.receiver.url}/orders" in await page.inner_text("#command")


async def test_an_edited_example_is_sent_from_its_page(owner: Visitor, site: Site) -> None:
    id_ = await made(site, "edited")
    page = await owner.goto("/event-types/plan.created")
    await page.get_by_label("To", exact=True).select_option(id_)
    await page.get_by_label("data, as you want it").fill('{"id": ')
    await page.get_by_role("button", name="Send", exact=True).click()
    await page.locator("#f-data-wrong-1").wait_for()
    await page.get_by_label("data, as you want it").fill('{"id": "x", "label": "Mine"}')
    await page.get_by_role("button", name="Send", exact=True).click()
    await page.get_by_text("Test event: 200").wait_for()
    bodies = [seen.body for seen in site.receiver.seen if seen.path == "/edited"]
    await eventually(lambda: any(b'"Mine"' in body for body in bodies))


async def test_pages_work_without_javascript(unscripted: Visitor, site: Site) -> None:
    id_ = await made(site, "plain")
    page = await unscripted.goto(f"/webhooks/{id_}")
    await page.get_by_role("button", name="Pause").click()
    await page.get_by_text("Paused by its owner.").first.wait_for()
    await page.get_by_role("button", name="Send a test event").click()
    await page.get_by_text("Test event: 200").wait_for()
    await page.get_by_label("Theme").select_option("dark")
    await page.get_by_role("button", name="Set").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_everything_is_reached_by_keyboard(owner: Visitor) -> None:
    page = await owner.goto("/webhooks?type=stop.report.*")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to content"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert await page.evaluate(outline) == "solid"
    await page.keyboard.press("Enter")
    reached = set()
    for _ in range(100):
        await page.keyboard.press("Tab")
        reached.add(await page.evaluate("document.activeElement.textContent.trim()"))
        if "Legacy ERP" in reached:
            break
    assert {"Filter", "Legacy ERP"} <= reached
