"""Times in the viewer's zone: what the script writes is what the server wrote, or the page would move."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from playwright.async_api import Browser, Route, StorageState

from services.dashboard import times
from services.kernel.clock import rfc3339
from tests.support.site import Site, a_visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

NOW = datetime(2026, 3, 17, 9, 40, 51, tzinfo=UTC)
SECONDS = (0, 0.4, 1, 59, 60, 119, 3_599, 3_600, 7_200, 86_399, 86_400, 172_800, 2_100 * 86_400)
FROM_NOW = sorted({sign * seconds for sign, seconds in product((-1, 1), SECONDS)})
FORMS = ("ago", *times.FORMS)


async def test_a_viewer_in_utc_sees_each_time_as_the_server_wrote_it(
    chromium: Browser, signed_in: StorageState, site: Site
) -> None:
    asked = [
        (rfc3339(NOW + timedelta(seconds=seconds)), form) for seconds in FROM_NOW for form in FORMS
    ]
    elements = [f'<time datetime="{at}" data-form="{form}">?</time>' for at, form in asked]

    async def with_times(route: Route) -> None:
        answer = await route.fetch()
        text = await answer.text()
        await route.fulfill(
            response=answer, body=text.replace("</main>", f"{''.join(elements)}</main>")
        )

    async with a_visitor(
        chromium, site.url, storage_state=signed_in, timezone_id="UTC", locale="de-DE"
    ) as visitor:
        await visitor.page.clock.set_fixed_time(NOW)
        await visitor.page.route("**/replays", with_times)
        page = await visitor.goto("/replays")
        shown = await page.eval_on_selector_all(
            "main > time", "found => found.map(each => each.textContent)"
        )
    assert shown == [times.shown(at, form, NOW) for at, form in asked]


async def test_a_viewer_elsewhere_sees_times_of_their_own_zone(
    chromium: Browser, signed_in: StorageState, site: Site
) -> None:
    async with a_visitor(
        chromium, site.url, storage_state=signed_in, timezone_id="Asia/Kolkata"
    ) as visitor:
        page = await visitor.goto("/portal-links")
        made = page.locator('time[data-form="short"]').first
        at = str(await made.get_attribute("datetime"))
        there = rfc3339(datetime.fromisoformat(at) + timedelta(hours=5, minutes=30))
        assert await made.inner_text() == times.shown(there, "short", NOW)
        assert await made.get_attribute("title") == times.utc(at)


async def test_who_runs_no_script_is_told_the_zone(
    chromium: Browser, signed_in: StorageState, site: Site
) -> None:
    async with a_visitor(
        chromium, site.url, storage_state=signed_in, java_script_enabled=False
    ) as visitor:
        page = await visitor.goto("/portal-links")
        made = page.locator('time[data-form="short"]').first
        at = str(await made.get_attribute("datetime"))
        assert await made.inner_text() == f"{times.shown(at, 'short', NOW)} UTC"
