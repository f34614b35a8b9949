"""Who gets in, whose forms are taken, and what somebody sees who may not."""

import pytest

from tests.browser.sound import violations
from tests.support.site import OPERATOR, Site, Visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

FORM = "application/x-www-form-urlencoded"


async def test_nobody_sees_a_page_without_signing_in_and_comes_back_to_it_then(
    visitor: Visitor, site: Site
) -> None:
    page = await visitor.goto(f"/webhooks/{site.healthy}/secrets")
    assert "/sign-in?next=" in page.url
    assert await violations(visitor) == []
    await page.get_by_label("API key").fill(site.key)
    await page.get_by_label("API key").press("Enter")
    await page.wait_for_url(f"**/webhooks/{site.healthy}/secrets")
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_text("You are signed out.").wait_for()
    await visitor.goto(f"/webhooks/{site.healthy}/secrets")
    assert "/sign-in" in page.url


async def test_a_key_that_is_none_is_refused_beside_the_field(visitor: Visitor) -> None:
    page = await visitor.goto("/sign-in")
    await page.get_by_label("API key").fill("priv_nobody_has_this_one")
    await page.get_by_role("button", name="Sign in").click()
    await page.locator("#f-key-wrong-1").wait_for()
    assert "No such key" in await page.inner_text("#f-key-wrong-1")
    assert await page.get_attribute("#f-key", "aria-invalid") == "true"


async def test_the_cookie_is_kept_from_scripts_and_other_sites_and_tells_nothing(
    owner: Visitor, site: Site
) -> None:
    (cookie,) = (
        each for each in await owner.context.cookies() if each["name"] == "webhooks_session"
    )
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert site.key not in cookie["value"]
    # Another text in it is nobody's.
    await owner.context.add_cookies([{**cookie, "value": cookie["value"][:-6] + "AAAAA="}])  # type: ignore[typeddict-item]
    await owner.goto("/webhooks")
    assert "/sign-in" in owner.page.url


async def test_a_form_of_another_site_changes_nothing(owner: Visitor, site: Site) -> None:
    page = await owner.goto(f"/webhooks/{site.healthy}")
    token = await page.get_attribute("main input[name=token]", "value")
    request = owner.context.request
    pause = f"{site.url}/webhooks/{site.healthy}/pause"
    for headers, form in (
        ({"Origin": "https://elsewhere.example"}, {"token": token or ""}),
        ({"Origin": "null"}, {"token": token or ""}),
        ({"Sec-Fetch-Site": "cross-site"}, {"token": token or ""}),
        ({"Origin": site.url}, {}),
        ({"Origin": site.url}, {"token": "A" * 64}),
    ):
        answer = await request.post(pause, headers=headers, form=form)  # type: ignore[arg-type]
        assert answer.status == 403, (headers, form)
    answer = await request.post(pause, headers={"Origin": site.url}, data='{"token": 1}')
    assert answer.status == 415
    found = await site.cluster.call("GET", f"/v1/subscriptions/{site.healthy}")
    assert found["status"] == "active"


async def test_who_may_only_read_is_offered_no_change_and_told_who_can_help(
    visitor: Visitor, site: Site
) -> None:
    await visitor.sign_in(site.reader)
    page = await visitor.goto(f"/webhooks/{site.healthy}")
    assert await page.get_by_role("button", name="Pause").count() == 0
    token = await page.get_attribute("input[name=token] >> nth=0", "value")
    answer = await visitor.context.request.post(
        f"{site.url}/webhooks/{site.healthy}/pause",
        headers={"Origin": site.url},
        form={"token": token or ""},
    )
    assert answer.status == 403
    text = await answer.text()
    assert "This key lacks the scope" in text
    assert "can make a key with more scopes" in text


async def test_another_project_is_not_there_for_a_key(visitor: Visitor, site: Site) -> None:
    await visitor.sign_in(site.outsider)
    assert "No webhooks yet" in await visitor.page.inner_text("main")
    for part in ("", "/settings", "/secrets", "/receiver", "/audit"):
        await visitor.goto(f"/webhooks/{site.healthy}{part}", status=404)


async def test_the_operator_chooses_a_project_and_a_theme(visitor: Visitor) -> None:
    await visitor.sign_in(OPERATOR)
    page = visitor.page
    await page.get_by_label("Project").select_option(label="Elsewhere")
    await page.get_by_text("No webhooks yet").wait_for()
    await page.wait_for_load_state()  # it is the page's script that submits a choice
    await page.get_by_label("Project").select_option(label="All projects")
    of_test = page.get_by_text("of test", exact=True).first
    await of_test.wait_for()
    await page.wait_for_load_state()
    await page.get_by_label("Project").select_option(label="test")
    await of_test.wait_for(state="detached")  # which only the list of all projects says
    await page.locator("tbody tr").nth(1).wait_for()
    await page.wait_for_load_state()
    async with page.expect_response("**/theme"):
        await page.get_by_label("Theme").select_option("dark")
    await visitor.goto("/event-types")
    assert await page.get_attribute("html", "data-theme") == "dark"
