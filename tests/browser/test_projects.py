"""The operator's projects and keys; who changed what."""

import pytest

from tests.support.site import Site, Visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


async def test_a_project_and_its_key_are_made_used_and_revoked(
    operator: Visitor, visitor: Visitor
) -> None:
    page = await operator.goto("/projects")
    await page.get_by_role("button", name="Make the project").click()
    await page.locator("#f-name-wrong-1").wait_for()
    await page.get_by_label("Name").fill("Night couriers")
    await page.get_by_role("button", name="Make the project").click()
    await page.get_by_text("Made. Now it needs a key.").wait_for()
    made = page.locator("section", has=page.get_by_role("heading", name="New key"))
    await made.get_by_label("Name").fill("ERP")
    await made.get_by_role("checkbox", name="manage").uncheck()
    await made.get_by_role("button", name="Make the key").click()
    await page.locator("#f-scopes-wrong-1").wait_for()
    assert await page.input_value("#f-key_name") == "ERP", "what was typed stays"
    await made.get_by_role("checkbox", name="manage").check()
    await made.get_by_role("button", name="Make the key").click()
    key = await page.inner_text("#new-key")
    await visitor.sign_in(key)
    assert key not in await (await operator.goto("/projects")).content()
    await page.get_by_role("link", name="Night couriers").click()
    await page.get_by_text("Revoke …").click()
    await page.get_by_role("button", name="Revoke it now").click()
    await page.get_by_text("is refused from now on").first.wait_for()
    await visitor.page.reload()
    assert "/sign-in" in visitor.page.url, "the key's sessions end with it"


async def test_only_the_operator_has_projects(owner: Visitor, site: Site) -> None:
    page = await owner.goto("/webhooks")
    assert await page.get_by_role("link", name="Projects and keys").count() == 0
    for path in ("/projects", f"/projects/{site.cluster.project}"):
        page = await owner.goto(path, status=403)
        assert "can make a key with more scopes" in await page.inner_text("main")


async def test_the_audit_is_filtered_by_its_address_and_shows_before_and_after(
    owner: Visitor, site: Site
) -> None:
    id_ = await site.cluster.subscribe(f"{site.receiver.url}/audited", types=["plan.created"])
    await site.cluster.call("PATCH", f"/v1/subscriptions/{id_}", {"description": "After it"})
    page = await owner.goto("/audit")
    await page.get_by_label("Done").select_option("update")
    await page.get_by_label("Its id").fill(id_)
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url("**/audit?*action=update*")
    assert await page.locator("tbody tr").count() == 1
    assert "After it" in await page.inner_text("tbody")
    page = await owner.goto(f"/audit?object={id_}&from=2026-03-17")
    await page.get_by_text("Webhook made").wait_for()
    await page.get_by_role("link", name="After it").first.click()
    await page.wait_for_url(f"**/webhooks/{id_}")
    page = await owner.goto("/audit?from=yesterday", status=422)
    assert "write a time as" in await page.inner_text("main")
    assert await page.input_value("#f-from") == "yesterday"
