"""How support finds out what became of an event, and puts it right, in a browser."""

import itertools
import re
import shlex
import uuid
from functools import partial

import orjson
import pytest
from aiohttp import ClientSession, web
from playwright.async_api import Browser, Page

from services.deliver import verify as rules
from tests.browser.test_portal import a_link
from tests.support.eventually import eventually
from tests.support.site import TRIES, Site, Visitor, a_visitor, comes

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

PATIENCE = 40_000
"""Milliseconds, for what a job or the history does in the background."""


async def failed(site: Site, name: str, answer: int = 500, **fields: object) -> tuple[str, str]:
    """Let a delivery to a webhook of the test's own fail; return the webhook and a stop's id."""
    site.receiver.answers[f"/{name}"] = lambda _: answer
    id_ = await site.cluster.subscribe(
        f"{site.receiver.url}/{name}",
        description=name,
        **{"types": ["stop.created"], "retry_schedule": [3600], **fields},
    )
    stop = uuid.uuid4().hex[:24]
    await site.put("stop.created", id=stop)

    async def is_known() -> bool:
        found = await site.cluster.call("GET", f"/v1/deliveries?subscription={id_}&stop_id={stop}")
        return bool(found["data"])

    await eventually(is_known, within=30, every=0.1)
    return id_, stop


async def opened(owner: Visitor, subscription: str) -> Page:
    """Open the newest delivery to a webhook."""
    page = await owner.goto(f"/deliveries?subscription={subscription}")
    await page.locator("#tail a.name").first.click()
    await page.get_by_text("What happened").wait_for()
    return page


async def test_a_failed_delivery_is_found_from_a_stops_id_and_resent(
    owner: Visitor, site: Site
) -> None:
    _, stop = await failed(site, "lost-stop", 401)
    page = await owner.goto("/deliveries")
    await page.get_by_label("Look for").select_option("route_id")  # whoever asks may not know
    await page.get_by_label("Its id").fill(stop)
    await page.get_by_role("button", name="Filter").click()
    await page.locator(".empty").get_by_role("link", name="stop").click()
    await page.wait_for_url(f"**/deliveries?stop_id={stop}")
    await page.get_by_label("State").select_option("parked")
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url(f"**/deliveries?state=parked&stop_id={stop}")
    row = page.locator("#tail tbody tr").filter(has_text="lost-stop")  # others failed with it
    await row.get_by_role("link", name="stop.created").click()
    await page.get_by_text("It failed, after 1 attempt, and is tried again.").wait_for()
    assert "Was the secret rotated lately?" in await page.inner_text("#standing")
    all_of_it = page.locator("dl.list").get_by_role("link", name=stop)
    assert await all_of_it.get_attribute("href") == f"/deliveries?stop_id={stop}"
    site.receiver.answers.pop("/lost-stop")
    await page.get_by_role("button", name="Resend").click()
    await page.wait_for_url("**/resends/*")
    await page.get_by_text("1 of 1").wait_for(timeout=PATIENCE)
    first, again = (seen for seen in site.receiver.seen if seen.path == "/lost-stop")
    assert (first.id, first.body) == (again.id, again.body)


async def test_whatever_id_somebody_has_leads_to_what_became_of_it(
    owner: Visitor, site: Site
) -> None:
    id_, stop = await failed(site, "pasted")
    page = await owner.goto("/event-types")  # it can be asked for everywhere
    for pasted, leads_to in (
        (stop, f"/deliveries?stop_id={stop}"),
        (f"  {site.delivery} ", f"/deliveries/{site.delivery}"),
        (id_, f"/webhooks/{id_}"),
        ("ORD-2022-58291", "/deliveries?external_id=ORD-2022-58291"),
    ):
        await page.get_by_label("Any id").fill(pasted)
        await page.get_by_label("Any id").press("Enter")
        await page.wait_for_url(site.url + leads_to)
    assert await page.locator("#tail tbody tr").count() > 1
    await page.get_by_label("Any id").fill("5e208446c97efa37d4830b99")
    await page.get_by_role("button", name="Find", exact=True).click()
    await page.get_by_text("Nothing here has this id").wait_for()
    # In the list itself nobody has to know either what an id is of.
    page = await owner.goto("/deliveries")
    await page.get_by_label("Its id").fill(stop)
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url(f"**/deliveries?stop_id={stop}")


async def test_a_batch_lists_its_events_each_with_what_became_of_it(
    owner: Visitor, site: Site
) -> None:
    batch = {"mode": "batch", "max_events": 10, "max_wait_ms": 200, "max_bytes": 65_536}
    webhook, _ = await failed(site, "in-a-batch", delivery=batch)
    page = await opened(owner, webhook)
    (seen, *_) = [seen for seen in site.receiver.seen if seen.path == "/in-a-batch"]
    (item,) = orjson.loads(seen.body)
    assert await page.get_by_role("button", name="Send there").count() == 0, "it is signed for one"
    await page.locator("dl.list").get_by_role("link", name=item["id"]).click()
    await page.wait_for_url(f"**/deliveries?event_id={item['id']}")
    await page.locator("#tail tbody tr").filter(has_text="in-a-batch").wait_for()


async def test_another_projects_ids_lead_nowhere(visitor: Visitor, site: Site) -> None:
    await visitor.sign_in(site.outsider)
    for id_ in (site.healthy, site.delivery, site.replay, site.resend):
        page = await visitor.goto(f"/find?id={id_}")
        assert "Nothing here has this id" in await page.inner_text("main")


async def test_on_a_telephone_the_list_is_in_sight_and_its_filters_folded(
    owner: Visitor, site: Site
) -> None:
    await owner.page.set_viewport_size({"width": 360, "height": 780})
    page = await owner.goto(f"/deliveries?subscription={site.healthy}")
    webhook = page.get_by_role("combobox", name="Webhook")
    assert not await webhook.is_visible()
    top = await page.locator("#tail").evaluate("e => e.getBoundingClientRect().top")
    assert top < 780
    button = page.locator(".fold > summary")
    assert "1 set" in await button.inner_text()
    await button.press("Enter")
    assert await webhook.is_visible()
    await page.get_by_role("link", name="Show all").click()
    await page.wait_for_url("**/deliveries")
    await page.set_viewport_size({"width": 1280, "height": 720})
    assert await webhook.is_visible(), "where there is room they are always there"
    assert not await button.is_visible()


async def test_the_tail_is_live_and_can_be_paused(owner: Visitor, site: Site) -> None:
    id_, _ = await failed(site, "tailed", 200)
    page = await owner.goto("/webhooks")
    async with page.expect_response("**/live?*"):
        await page.goto(f"{site.url}/deliveries?subscription={id_}")
    rows = page.locator("#tail tbody tr")
    assert await rows.count() == 1

    async def are_stored(count: int) -> bool:
        found = await site.cluster.call("GET", f"/v1/deliveries?subscription={id_}")
        return len(found["data"]) == count

    shown = 1
    while shown == 1 or not await comes(rows.nth(shown - 1)):
        assert shown <= TRIES
        await site.put("stop.created")
        shown += 1
        await eventually(partial(are_stored, shown), within=30, every=0.1)
    await page.get_by_role("button", name="Pause").click()
    await site.put("stop.created")
    await eventually(partial(are_stored, shown + 1), within=30, every=0.1)
    assert await rows.count() == shown
    await page.get_by_role("button", name="Follow again").click()
    await rows.nth(shown).wait_for(timeout=PATIENCE)


async def test_what_is_looked_for_is_exported_whole(owner: Visitor, site: Site) -> None:
    id_, stop = await failed(site, "exported")
    page = await owner.goto(f"/deliveries?subscription={id_}&stop_id={stop}")
    for name, first in (("CSV", "id,state,"), ("NDJSON", "{")):
        link = await page.get_by_role("link", name=name, exact=True).get_attribute("href")
        answer = await owner.context.request.get(site.url + (link or ""))
        lines = (await answer.text()).splitlines()
        assert lines[0].startswith(first)
        assert len([line for line in lines if id_ in line]) == 1
        assert "attachment" in answer.headers["content-disposition"]


async def test_a_filter_that_is_wrong_keeps_what_was_typed(owner: Visitor) -> None:
    page = await owner.goto("/deliveries?status=9xx&from=yesterday", status=422)
    assert "write a status as 503" in await page.inner_text("#f-status-wrong-1")
    assert "write a time as" in await page.inner_text("#f-from-wrong-1")
    assert await page.input_value("#f-from") == "yesterday"


async def test_a_delivery_goes_to_another_webhook(owner: Visitor, site: Site) -> None:
    id_, stop = await failed(site, "origin")
    other = await site.cluster.subscribe(
        f"{site.receiver.url}/other", description="The other one", types=["plan.deleted"]
    )
    page = await opened(owner, id_)
    await page.get_by_label("Webhook").select_option(other)
    await page.get_by_role("button", name="Send there").click()
    await page.get_by_text("1 of 1").wait_for(timeout=PATIENCE)
    (seen,) = (each for each in site.receiver.seen if each.path == "/other")
    assert stop.encode() in seen.body


async def test_curl_is_signed_anew_and_a_signature_is_verified_here(
    owner: Visitor, site: Site
) -> None:
    url = f"{site.receiver.url}/curl"
    made = await site.cluster.subscribed(url, description="curl", types=["stop.created"])
    await site.put("stop.created")
    await eventually(lambda: any(seen.path == "/curl" for seen in site.receiver.seen), within=30)
    path = f"/v1/deliveries?subscription={made['id']}"

    async def is_stored() -> bool:
        return bool((await site.cluster.call("GET", path))["data"])

    await eventually(is_stored, within=30, every=0.1)
    page = await opened(owner, made["id"])
    await page.get_by_role("link", name="Request").click()
    words = shlex.split((await page.inner_text("#curl")).replace("\\\n", " "))
    headers = dict(text.split(": ", 1) for flag, text in itertools.pairwise(words) if flag == "-H")
    body = words[words.index("--data-binary") + 1].encode()
    async with ClientSession() as session, session.post(words[4], headers=headers, data=body):
        pass
    sent, again = (each for each in site.receiver.seen if each.path == "/curl")
    assert again.body == sent.body
    lower = {name.lower(): value for name, value in again.headers.items()}
    assert rules.verify(
        rules.parse(made["secret"]), headers=lower, body=again.body, now=again.at
    ).valid
    # What the receiver got, checked on the page.
    await page.get_by_label("Secret that the receiver has").fill("whsec_short")
    await page.get_by_role("button", name="Verify").click()
    await page.locator("#f-secret-wrong-1").wait_for()
    await page.get_by_label("Secret that the receiver has").fill(made["secret"])
    await page.get_by_role("button", name="Verify").click()
    await page.get_by_text("The signature fits.").wait_for()
    await page.get_by_label("Body that it got").fill(sent.body.decode().replace(":", ": ", 1))
    await page.get_by_role("button", name="Verify").click()
    await page.get_by_text("the JSON was read and serialised anew").wait_for()


async def test_an_event_says_who_got_it_and_which_clause_said_no(
    owner: Visitor, site: Site
) -> None:
    id_, _ = await failed(site, "wanted", 200)
    await site.cluster.subscribe(
        f"{site.receiver.url}/unwanted",
        description="Only Lleida",
        types=["stop.created"],
        filter={"data": {"label": ["Lleida"]}},
    )
    await failed(site, "wanted-too", 200)

    async def has_both() -> bool:  # the newer one is of when there was who doesn't want it
        found = await site.cluster.call("GET", f"/v1/deliveries?subscription={id_}")
        return len(found["data"]) >= 2

    await eventually(has_both, within=30, every=0.1)
    page = await opened(owner, id_)
    await page.get_by_role("link", name="The event").click()
    row = page.locator("#answers tr").filter(has_text="Only Lleida")
    text = await row.inner_text()
    assert "Filter" in text
    assert re.search(r"data\.label wanted .*Lleida.*, was ", text), text
    assert "Type not chosen" in await page.inner_text("#answers")
    got = page.locator("#answers tr").filter(
        has=page.get_by_role("link", name="wanted", exact=True)
    )
    assert "Acknowledged" in await got.inner_text()


async def test_dead_letters_are_grouped_by_cause_and_resent_or_discarded(
    owner: Visitor, site: Site
) -> None:
    id_, _ = await failed(site, "deploy", 404, retry_schedule=[])
    said = web.Response(status=404, text="nothing is here")
    site.receiver.answers["/deploy"] = lambda _: said
    await site.put("stop.created")

    async def are_dead() -> bool:
        found = await site.cluster.call("GET", f"/v1/dead-letters?subscription={id_}")
        return len(found["data"]) == 2

    await eventually(are_dead, within=30, every=0.1)
    newest = (await site.cluster.call("GET", f"/v1/dead-letters?subscription={id_}"))["data"][0]
    page = await owner.goto(f"/failed?subscription={id_}")
    row = page.locator("#failed tbody tr")
    await row.get_by_role("cell", name="2", exact=True).wait_for()
    assert "Did a deployment move it?" in await row.inner_text()
    assert "It said: nothing is here" in await row.inner_text()
    await page.get_by_role("link", name="See the newest").click()
    await page.wait_for_url(f"**/deliveries/{newest['delivery_id']}")
    await page.go_back()
    site.receiver.answers.pop("/deploy")
    await row.get_by_role("link", name="Resend …").click()
    await page.get_by_role("button", name="Resend all 2").click()
    await page.get_by_text("2 of 2").wait_for(timeout=PATIENCE)
    await owner.goto(f"/failed?subscription={id_}")
    await page.get_by_text("Nothing failed here").wait_for()
    # And those that nobody wants any more.
    id_, _ = await failed(site, "retired", 410, retry_schedule=[])
    page = await owner.goto(f"/failed?subscription={id_}")
    await page.get_by_role("link", name="Discard …").click()
    await page.get_by_role("button", name="Discard it for good").click()
    await page.locator("#f-reason-wrong-1").wait_for()
    await page.get_by_label("Why").fill("The old ERP is gone")
    await page.get_by_role("button", name="Discard it for good").click()
    await page.get_by_text("Discarded 1; the reason is in the audit.").wait_for()
    found = await site.cluster.call("GET", f"/v1/dead-letters?subscription={id_}")
    assert found["data"] == []


async def test_who_may_only_read_resends_and_discards_nothing(visitor: Visitor, site: Site) -> None:
    await visitor.sign_in(site.reader)
    page = await visitor.goto(f"/deliveries/{site.delivery}")
    assert await page.get_by_role("button", name="Resend").count() == 0
    page = await visitor.goto(f"/deliveries/{site.delivery}/request")
    assert await page.locator("#curl").count() == 0
    for path in ("/resends/new", "/failed/discard", "/replays/new"):
        page = await visitor.goto(path, status=403)
        assert "can make a key with more scopes" in await page.inner_text("main")


async def test_another_projects_deliveries_are_not_there(chromium: Browser, site: Site) -> None:
    async with a_visitor(chromium, site.url) as outsider:
        await outsider.sign_in(site.outsider)
        page = await outsider.goto("/deliveries")
        assert "Nothing was sent yet" in await page.inner_text("main")
        for path in (
            f"/deliveries/{site.delivery}",
            f"/deliveries/{site.delivery}/request",
            f"/events/{site.event}",
            f"/replays/{site.replay}",
            f"/resends/{site.resend}",
        ):
            await outsider.goto(path, status=404)


async def test_a_view_is_saved_in_this_browser_and_forgotten(owner: Visitor, site: Site) -> None:
    page = await owner.goto(f"/deliveries?state=dead&subscription={site.dead}")
    await page.get_by_text("Save this view …").click()
    await page.get_by_label("Its name").fill("Moved, given up")
    await page.get_by_role("button", name="Save", exact=True).click()
    page = await owner.goto("/deliveries")
    await page.get_by_role("link", name="Moved, given up").click()
    await page.wait_for_url(f"**/deliveries?state=dead&subscription={site.dead}")
    await page.get_by_role("button", name="Forget Moved, given up").click()
    assert await page.get_by_role("link", name="Moved, given up").count() == 0


async def test_a_link_to_two_webhooks_follows_both(visitor: Visitor, site: Site) -> None:
    """A stream is of one webhook; the page is fetched anew in place of it."""
    link = await a_link(site, site.failing, site.dead)
    await visitor.goto(f"/portal/{link['token']}")
    page = await visitor.goto("/deliveries")
    text = await page.inner_text("#tail")
    assert "Legacy ERP" in text
    assert "Moved" in text
    assert "Order system" not in text
    async with page.expect_response(f"{site.url}/deliveries"):
        pass
    assert await page.locator("[data-connection]").is_hidden()
