"""The portal: one customer's pages behind a link, in a page of somebody else's, and no other's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser

from tests.browser.sound import MAX_SHIFT, SHIFT, violations
from tests.support.site import Site, Visitor, a_visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

ACCENT = "#0b5d4e"
PAGES = ("", "/settings", "/secrets", "/receiver", "/audit")


async def a_link(site: Site, *subscriptions: str, **fields: object) -> Any:  # noqa: ANN401 - JSON
    body = {
        "project_id": site.cluster.project,
        "subscriptions": list(subscriptions),
        "expires_in": 3600,
        **fields,
    }
    return await site.cluster.call("POST", "/v1/portal-links", body)


@asynccontextmanager
async def another_site() -> AsyncIterator[str]:
    """Serve pages of another site, that show in a frame what their query names; yield its origin."""

    async def page(request: web.Request) -> web.Response:
        text = f'<!doctype html><iframe src="{request.query_string}" width="900" height="700">'
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "localhost", 0).start()
        yield f"http://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_link_shows_one_customer_their_webhooks_in_their_colours(
    visitor: Visitor, site: Site
) -> None:
    link = await a_link(site, site.failing, theme={"accent": ACCENT})
    page = await visitor.goto(f"/portal/{link['token']}")
    assert page.url == f"{site.url}/webhooks"
    assert await page.locator("tbody tr").count() == 1
    await page.get_by_role("link", name="Legacy ERP").click()
    for part in PAGES:
        page = await visitor.goto(f"/webhooks/{site.failing}{part}")
        assert await violations(visitor) == [], part
        assert await page.evaluate(SHIFT) < MAX_SHIFT
        body = await page.content()
        assert "Order system" not in body
        assert site.healthy not in body
        await visitor.goto(f"/webhooks/{site.healthy}{part}", status=404)
    colour = "getComputedStyle(document.documentElement).getPropertyValue('--accent')"
    await page.emulate_media(color_scheme="light")
    assert await page.evaluate(colour) == ACCENT
    # Every place that the navigation offers is there.
    for each in await page.locator("nav.side a").all():
        place = await each.get_attribute("href")
        answer = await visitor.context.request.get(f"{site.url}{place}")
        assert answer.status == 200, place
        assert "Order system" not in await answer.text(), place


async def test_a_link_works_embedded_by_an_origin_it_names(chromium: Browser, site: Site) -> None:
    async with another_site() as origin, a_visitor(chromium, site.url) as visitor:
        link = await a_link(site, site.failing, origins=[origin])
        await visitor.page.goto(f"{origin}/?{link['url']}")
        frame = visitor.page.frame_locator("iframe")
        await frame.get_by_role("link", name="Legacy ERP").click()
        await frame.get_by_role("button", name="Pause").click()
        await frame.get_by_text("Paused. Events wait in the log").wait_for()
        await frame.get_by_role("button", name="Resume").click()
        await frame.get_by_text("Resumed.").wait_for()
        (cookie,) = await visitor.context.cookies(site.url)
        assert cookie["name"] == "webhooks_portal"
        assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"]) == ("None", True, True)
        # Over while it is open: the frame says so.
        await site.cluster.call("DELETE", f"/v1/portal-links/{link['id']}")
        await frame.get_by_role("link", name="Settings").click()
        await frame.get_by_text("This link is over").wait_for()
        visitor.heard = [each for each in visitor.heard if not each.startswith(f"asked {origin}")]


async def test_no_other_origin_embeds_a_link_and_none_the_dashboard(
    chromium: Browser, site: Site
) -> None:
    named = await a_link(site, site.failing, origins=["https://app.example.com"])
    unnamed = await a_link(site, site.failing)
    async with another_site() as origin, a_visitor(chromium, site.url) as visitor:
        for url in (named["url"], unnamed["url"], f"{site.url}/sign-in"):
            async with visitor.page.expect_event(
                "console", lambda said: "frame-ancestors" in said.text
            ):
                await visitor.page.goto(f"{origin}/?{url}")
        visitor.heard.clear()  # that it was refused is what was to be heard
    for path, link in (("/webhooks", unnamed), ("/webhooks", named)):
        async with a_visitor(chromium, site.url) as visitor:
            await visitor.goto(f"/portal/{link['token']}")
            answer = await visitor.context.request.get(site.url + path)
            policy = answer.headers["content-security-policy"]
            embeds = " ".join(link["origins"]) or "'none'"
            assert f"frame-ancestors {embeds};" in policy
            (cookie,) = await visitor.context.cookies()
            assert cookie["sameSite"] == ("None" if link["origins"] else "Lax")


async def test_a_link_that_expired_or_was_revoked_says_so(visitor: Visitor, site: Site) -> None:
    link = await a_link(site, site.failing)
    await visitor.goto(f"/portal/{link['token']}")
    await site.cluster.call("DELETE", f"/v1/portal-links/{link['id']}")
    page = await visitor.goto("/webhooks", status=401)
    assert await page.inner_text("h1") == "This link is over"
    assert await violations(visitor) == []
    await visitor.goto(f"/portal/{link['token']}", status=401)
    # Whoever has a key gets in all the same.
    await visitor.sign_in(site.reader)


async def test_whoever_is_signed_in_is_asked_before_a_link_takes_their_place(
    visitor: Visitor, site: Site
) -> None:
    await visitor.sign_in(site.key)
    link = await a_link(site, site.failing)
    page = await visitor.goto(f"/portal/{link['token']}")
    assert await violations(visitor) == []
    await page.get_by_role("link", name="Stay signed in").click()
    await page.locator("tbody tr").nth(1).wait_for()  # the link shows one alone
    await visitor.goto(f"/portal/{link['token']}")
    await page.get_by_role("button", name="Open the portal").click()
    await page.get_by_role("link", name="Legacy ERP").wait_for()
    assert await page.locator("tbody tr").count() == 1
    await page.get_by_role("button", name="Leave").click()
    await page.get_by_text("You have left").wait_for()


async def test_a_form_of_another_site_changes_nothing_behind_a_link(
    visitor: Visitor, site: Site
) -> None:
    link = await a_link(site, site.failing, origins=["https://app.example.com"])
    page = await visitor.goto(f"/portal/{link['token']}")
    token = await page.get_attribute("input[name=token] >> nth=0", "value")
    answer = await visitor.context.request.post(
        f"{site.url}/webhooks/{site.failing}/pause",
        headers={"Origin": "https://app.example.com"},
        form={"token": token or ""},
    )
    assert answer.status == 403


async def test_a_link_is_made_from_a_webhooks_page_given_away_and_revoked(
    owner: Visitor, visitor: Visitor, site: Site
) -> None:
    page = await owner.goto(f"/webhooks/{site.failing}/settings")
    await page.get_by_role("link", name="Make a portal link").click()
    assert await page.get_by_role("checkbox", name="Legacy ERP").is_checked()
    await page.get_by_label("It holds for").select_option("An hour")
    await page.get_by_text("Embed it, and dress it as yours").click()
    await page.get_by_label("Accent colour").fill("#ffff00")
    await page.get_by_role("button", name="Make the link").click()
    await page.locator("#f-accent-wrong-1").wait_for()
    assert await page.input_value("#f-expires_in") == "3600"
    assert await page.get_by_role("checkbox", name="Legacy ERP").is_checked()
    await page.get_by_label("Accent colour").fill(ACCENT)
    await page.get_by_role("button", name="Make the link").click()
    url = await page.inner_text("#new-link")
    assert url.startswith(f"{site.url}/portal/")
    await page.reload()  # the form once more: the same link
    assert await page.inner_text("#new-link") == url
    assert await violations(owner) == []
    seen = visitor.page
    await seen.goto(url)
    await seen.get_by_role("link", name="Legacy ERP").wait_for()
    assert await seen.locator("tbody tr").count() == 1
    await visitor.goto("/portal-links", status=403)
    await owner.goto("/portal-links")
    row = page.get_by_role("row").filter(has_text="Legacy ERP").first
    await row.get_by_text("Revoke …").click()
    await row.get_by_role("button", name="Revoke it now").click()
    await page.get_by_text("Whoever was in through it is out.").wait_for()
    await visitor.goto("/webhooks", status=401)


async def test_a_link_to_everything_is_made_only_by_name(owner: Visitor) -> None:
    page = await owner.goto("/portal-links")
    await page.get_by_role("button", name="Make the link").click()
    await page.locator("#f-subscriptions-wrong-1").wait_for()
    assert await page.locator("#new-link").count() == 0
    await page.get_by_label("All of this project").check()
    await page.get_by_role("button", name="Make the link").click()
    await page.locator("#new-link").wait_for()
    await page.get_by_text("All of the project").first.wait_for()
