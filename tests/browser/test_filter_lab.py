"""The filter lab: why an event doesn't match, and what a filter would have sent."""

import pytest

from tests.support.eventually import eventually
from tests.support.site import Site, Visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

NARROWER = '{"data": {"report": {"type": ["service_report_canceled"]}}}'


async def test_an_event_that_doesnt_match_is_explained_with_its_own_values(
    owner: Visitor, site: Site
) -> None:
    page = await owner.goto(f"/filters?webhook={site.failing}")
    assert await page.input_value("#f-types") == "stop.report.*"
    await page.get_by_label("Event pattern").fill('{"data": {"report": {"typ": ["x"]}}}')
    await page.get_by_role("button", name="Judge and explain").click()
    await page.get_by_text('did you mean "data.report.type"?').wait_for()
    await page.get_by_label("Event pattern").fill(NARROWER)
    await page.get_by_role("button", name="Judge and explain").click()
    await page.get_by_text("events of these types match").wait_for()
    event = '{"type": "stop.report.completed", "data": {"report": {"type": "made up"}}}'
    await page.get_by_label("Or paste one").fill(event)
    await page.get_by_role("button", name="Judge and explain").click()
    await page.get_by_text("It doesn't match").wait_for()
    said = await page.inner_text("#answer")
    assert "data.report.type is made up; wanted" in said
    assert await page.input_value("#f-filter") == NARROWER, "what was typed stays"
    await page.get_by_label("Or paste one").fill('{"type": ')
    await page.get_by_role("button", name="Judge and explain").click()
    await page.locator("#answer").get_by_text("line 1, column").wait_for()


async def test_a_changed_filter_is_tried_on_the_past(unscripted: Visitor, site: Site) -> None:
    page = await unscripted.goto(f"/filters?webhook={site.failing}")
    await page.get_by_label("Event pattern").fill(NARROWER)
    await page.get_by_role("button", name="Try on the past").click()
    await page.wait_for_url("**/filters/dry-runs/*")

    async def is_done() -> bool:
        await page.reload()
        return await page.locator("#job .tiles").count() == 1

    await eventually(is_done, within=30, every=0.2)
    said = await page.inner_text("main")
    assert "It would gain: 0" in said
    assert "It would lose: 0" not in said
    assert "stop.report.completed" in said


async def test_another_project_sees_neither_the_event_nor_the_job(
    visitor: Visitor, site: Site
) -> None:
    await visitor.sign_in(site.outsider)
    await visitor.goto(f"/filters/dry-runs/{site.dry_run}", status=404)
    await visitor.goto(f"/filters?webhook={site.failing}", status=404)
    assert site.cluster.project not in await visitor.page.content()
