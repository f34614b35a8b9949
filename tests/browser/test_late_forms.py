"""A form whose session had ended meanwhile: nothing is done, and what was typed comes back."""

import pytest

from tests.browser.sound import violations
from tests.support.site import Site, Visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


async def end_session(owner: Visitor) -> None:
    """As time does."""
    await owner.context.clear_cookies()


async def sign_in_again(owner: Visitor, key: str) -> None:
    await owner.page.get_by_text("Your session has ended").wait_for()
    await owner.page.get_by_label("API key").fill(key)
    await owner.page.get_by_role("button", name="Sign in").click()


async def test_settings_come_back_with_what_was_typed_and_are_saved_then(
    owner: Visitor, site: Site
) -> None:
    id_ = await site.cluster.subscribe(
        f"{site.receiver.url}/late", description="late", types=["plan.created"]
    )
    page = await owner.goto(f"/webhooks/{id_}/settings")
    await page.get_by_label("Name").fill("Typed too late")
    await page.get_by_label("Static headers").fill("Authorization: Bearer abcdef")
    await end_session(owner)
    await page.get_by_role("button", name="Save").click()
    await page.get_by_label("API key").fill("priv_nobody_has_this_one")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_text("No such key").wait_for()
    assert await violations(owner) == []
    assert "Typed too late" in await page.content()
    assert "abcdef" not in await page.content()
    await page.get_by_label("API key").fill(site.key)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("heading", name="Not sent yet").wait_for()
    assert await violations(owner) == []
    await page.get_by_role("button", name="Back to the form").click()
    await page.get_by_text("look it over and send it once more").wait_for()
    assert await page.input_value("#f-description") == "Typed too late"
    assert await page.input_value("#f-headers") == ""
    found = await site.cluster.call("GET", f"/v1/subscriptions/{id_}")
    assert found["description"] == "late"
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("Saved.").wait_for()
    found = await site.cluster.call("GET", f"/v1/subscriptions/{id_}")
    assert found["description"] == "Typed too late"


async def test_so_does_a_form_that_is_answered_in_place(owner: Visitor, site: Site) -> None:
    page = await owner.goto("/filters")
    await page.get_by_label("Event types").fill("stop.*")
    await end_session(owner)
    await page.get_by_role("button", name="Judge and explain").click()
    await sign_in_again(owner, site.key)
    await page.get_by_role("button", name="Back to the form").click()
    await page.get_by_text("look it over and send it once more").first.wait_for()
    assert await page.input_value("#f-types") == "stop.*"


async def test_a_button_is_where_it_was_and_says_that_nothing_was_done(
    owner: Visitor, site: Site
) -> None:
    page = await owner.goto(f"/webhooks/{site.healthy}")
    await end_session(owner)
    await page.get_by_role("button", name="Pause").click()
    await sign_in_again(owner, site.key)
    await page.get_by_text("nothing was changed").wait_for()
    assert page.url == f"{site.url}/webhooks/{site.healthy}"
    found = await site.cluster.call("GET", f"/v1/subscriptions/{site.healthy}")
    assert found["status"] == "active"


async def test_a_page_that_was_open_while_somebody_signed_in_anew_keeps_what_was_typed(
    owner: Visitor, site: Site
) -> None:
    page = await owner.goto(f"/replays/new?subscription={site.healthy}")
    other = await owner.context.new_page()
    await end_session(owner)
    await other.goto(f"{site.url}/sign-in")
    await other.get_by_label("API key").fill(site.key)
    await other.get_by_role("button", name="Sign in").click()
    await other.wait_for_url("**/webhooks")
    await page.get_by_label("Plan").fill("b" * 24)
    await page.get_by_role("button", name="Estimate").click()
    await page.get_by_role("button", name="Back to the form").click()
    await page.get_by_text("look it over and send it once more").first.wait_for()
    assert await page.input_value("#f-plan_id") == "b" * 24


async def test_a_sign_in_page_that_was_open_for_too_long_asks_once_more(
    visitor: Visitor, site: Site
) -> None:
    page = await visitor.goto("/sign-in?next=/event-types")
    await end_session(visitor)
    await page.get_by_label("API key").fill(site.key)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_text("open for too long").first.wait_for()
    await page.get_by_label("API key").fill(site.key)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/event-types")
