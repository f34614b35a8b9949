"""A customer sets up a webhook alone, in three steps, and sees its first event."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.browser.sound import violations
from tests.support.certificates import Authority
from tests.support.site import Site, Visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


async def second_step(visitor: Visitor, url: str) -> Page:
    page = await visitor.goto("/webhooks/new")
    await page.get_by_label("URL").fill(url)
    await page.get_by_label("Name").fill("Warehouse")
    await page.get_by_role("button", name="Probe and choose types").click()
    await page.get_by_text("Step 2 of 3").wait_for()
    return page


async def test_a_webhook_is_made_in_three_steps_and_its_first_event_is_seen(
    owner: Visitor, site: Site
) -> None:
    page = await owner.goto("/webhooks")
    await page.get_by_role("link", name="New webhook").click()
    await page.wait_for_url("**/webhooks/new")  # the list has a field of that name too
    # 1: where to, with a probe that stays.
    url = f"{site.receiver.url}/warehouse"
    await page.get_by_label("URL").fill(url)
    await page.get_by_role("button", name="Only probe").click()
    await page.locator("#probed").get_by_text("Reachable").wait_for()
    await page.get_by_role("button", name="Probe and choose types").click()
    # 2: what, with a filter as rows that is wrong at first.
    await page.get_by_role("checkbox", name="stop.report.completed").check()
    await page.locator("[data-sum]").filter(has_text="events a day").wait_for()
    await page.get_by_label("Field 1").fill("data.report.typ")
    await page.get_by_label("Value 1").fill("service_report_completed")
    await page.get_by_role("button", name="Try on the last 20 events").click()
    await page.get_by_text('did you mean "data.report.type"?').wait_for()
    await page.get_by_label("Field 1").fill("data.report.type")
    await page.get_by_role("button", name="Try on the last 20 events").click()
    await page.get_by_text("events of these types would be sent").wait_for()
    assert await page.locator("#tried tbody tr").count() >= 1
    assert await page.locator("#tried").get_by_text("Yes", exact=True).count() >= 1
    assert await violations(owner) == []
    await page.get_by_label("Requests").select_option("batch")
    await page.get_by_role("button", name="Make the webhook").click()
    # 3: the secret, and the first event with its answer, on one page.
    secret = await page.inner_text("#new-secret")
    assert secret.startswith("whsec_")
    await page.get_by_role("button", name="Send it").click()
    await page.get_by_text("Test event: 200").wait_for()
    assert await page.inner_text("#new-secret") == secret
    await page.get_by_label("Language").select_option("Go")
    await page.get_by_role("button", name="Show a receiver with it").click()
    await page.locator("#sample").get_by_text("package main").wait_for()
    assert f"WEBHOOK_SECRET={secret} " in await page.inner_text("#command")
    assert await page.inner_text("#new-secret") == secret
    assert await violations(owner) == []
    (seen,) = [each for each in site.receiver.seen if each.path == "/warehouse" and each.body]
    assert b'"stop.report.completed"' in seen.body
    # It is what was asked for, and the secret is shown nowhere again.
    await page.get_by_role("link", name="To its page").click()
    await page.wait_for_url(re.compile(r"/webhooks/[0-9a-f]{24}$"))
    id_ = page.url.rpartition("/")[2]
    found = await site.cluster.call("GET", f"/v1/subscriptions/{id_}")
    assert (found["url"], found["types"]) == (url, ["stop.report.completed"])
    assert found["delivery"]["mode"] == "batch"
    assert found["filter"] == {"data": {"report": {"type": ["service_report_completed"]}}}
    for part in ("", "/secrets"):
        await owner.goto(f"/webhooks/{id_}{part}")
        assert secret not in await page.content()


async def test_what_was_typed_stays_and_the_api_says_what_is_wrong(
    owner: Visitor, site: Site
) -> None:
    page = await owner.goto("/webhooks/new")
    await page.get_by_label("URL").fill("ftp://example.com")
    await page.get_by_role("button", name="Probe and choose types").click()
    await page.locator("#f-url-wrong-1").wait_for()
    assert await page.input_value("#f-url") == "ftp://example.com"
    page = await second_step(owner, f"{site.receiver.url}/typed")
    await page.get_by_label("As JSON").check()
    await page.get_by_label("Event pattern").fill('{"data": ')
    await page.get_by_role("button", name="Make the webhook").click()
    await page.locator("#f-filter-wrong-1").wait_for()
    assert "line 1" in await page.inner_text("#f-filter-wrong-1")
    await page.get_by_label("Event pattern").fill("")
    await page.get_by_label("Rate limit").fill("-1")
    await page.get_by_text("The receiver asks who calls").click()
    await page.locator("#f-certificate_key").fill("a key without its certificate")
    await page.get_by_role("button", name="Make the webhook").click()
    await page.locator("#f-types-wrong-1").wait_for()
    await page.locator("#f-rate_limit-wrong-1").wait_for()
    await page.locator("#f-certificate-wrong-1").wait_for()
    assert await page.locator("#f-certificate").is_visible(), "what is wrong is not folded away"
    assert await page.locator("#f-certificate_key").input_value() == "", "a key is not sent back"
    assert await page.input_value("#f-rate_limit") == "-1"
    await page.get_by_role("button", name="Back").click()
    assert await page.input_value("#f-url") == f"{site.receiver.url}/typed"
    assert await page.input_value("#f-description") == "Warehouse"


async def test_without_javascript_a_receiver_that_nobody_reaches_is_no_obstacle(
    unscripted: Visitor, site: Site, tmp_path: Path
) -> None:
    url = "https://127.0.0.1:9/nobody"
    page = await second_step(unscripted, url)
    assert "Not reached" in await page.inner_text("main")
    await page.get_by_role("checkbox", name="plan.created").check()
    await page.get_by_label("Field 1").fill("data.label")
    await page.get_by_label("Comparison 1").select_option("is there")
    await page.get_by_role("button", name="Try on the last 20 events").click()
    await page.get_by_text("of these types would be sent").wait_for()
    assert await page.get_by_role("checkbox", name="plan.created").is_checked()
    certificate, key = Authority(tmp_path, "authority").pair("us.example")
    await page.get_by_text("The receiver asks who calls").click()
    await page.locator("#f-certificate").fill(certificate)
    await page.locator("#f-certificate_key").fill(key)
    await page.get_by_role("button", name="Make the webhook").click()
    secret = await page.inner_text("#new-secret")
    # Reloading sends the form again: it is the same webhook, with the same secret.
    await page.reload()
    assert await page.inner_text("#new-secret") == secret
    found = await site.cluster.call("GET", "/v1/subscriptions?limit=500")
    (made,) = [each for each in found["data"] if each["url"] == url]
    assert made["client_certificate"]["subject"] == "CN=us.example"
    await page.get_by_role("button", name="Send it").click()
    await page.locator("#tested").get_by_text("Test event").wait_for()
    assert await page.inner_text("#new-secret") == secret
    await page.get_by_role("button", name="Show a receiver with it").click()
    assert f"WEBHOOK_SECRET={secret} " in await page.inner_text("#command")


async def test_who_may_only_read_is_not_asked_for_a_webhook(visitor: Visitor, site: Site) -> None:
    await visitor.sign_in(site.reader)
    assert await visitor.page.get_by_role("link", name="New webhook").count() == 0
    page = await visitor.goto("/webhooks/new", status=403)
    assert "can make a key with more scopes" in await page.inner_text("main")
