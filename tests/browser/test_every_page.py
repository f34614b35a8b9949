"""What holds for every page, looked at in Chromium: a page that is added to `pages.py` is held to all."""

from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio
from playwright.async_api import Browser, StorageState

from services.dashboard.routes import ROUTES
from tests.browser.pages import NAMES, OPERATORS, pages
from tests.browser.sound import is_sound, violations
from tests.support.site import Site, Visitor, a_visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def readers(
    chromium: Browser, signed_in: StorageState, operator_signed_in: StorageState, site: Site
) -> AsyncIterator[Mapping[bool, Visitor]]:
    """Who looks at all pages, in one browser each: False the owner, True the operator."""
    async with (
        a_visitor(chromium, site.url, storage_state=signed_in) as owner,
        a_visitor(chromium, site.url, storage_state=operator_signed_in) as operator,
    ):
        yield {False: owner, True: operator}


async def test_the_names_of_the_pages_are_complete(site: Site) -> None:
    assert tuple(pages(site)) == NAMES
    shown = {route.path for route in ROUTES if route.method == "GET"}
    known = {_as_route(path.partition("?")[0], site) for path in pages(site).values()}
    known |= {
        "/",
        "/find",
        "/sign-in",
        "/live",
        "/event-types/{type}",
        "/portal",
        "/portal/{token}",
    }
    known |= {"/deliveries.csv", "/deliveries.ndjson"}
    assert shown - known == set(), "a page that no rule looks at: add it to pages.py"


def _as_route(path: str, site: Site) -> str:
    jobs = (site.delivery, site.replay, site.resend, site.dry_run)
    for id_ in (site.healthy, site.failing, site.cluster.project, *jobs):
        path = path.replace(id_, "{id}")
    return path.replace(site.event, "{topic}/{partition}/{offset}")


@pytest.mark.parametrize("name", NAMES)
async def test_a_page_is_sound(name: str, readers: Mapping[bool, Visitor], site: Site) -> None:
    reader = readers[name in OPERATORS]
    reader.heard.clear()  # of the page before
    await is_sound(reader, pages(site)[name])


async def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline(
    owner: Visitor, site: Site
) -> None:
    answer = await owner.context.request.get(site.url + "/webhooks")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe" not in policy
    assert "//" not in policy


async def test_a_page_says_so_where_nothing_is(owner: Visitor) -> None:
    page = await owner.goto("/webhooks/5e208446c97efa37d4830b99", status=404)
    assert await page.inner_text("h1") == "Not found"
    assert await violations(owner) == []
    page = await owner.goto("/nothing/of/ours", status=404)
    assert await page.inner_text("h1") == "Not found"


async def test_a_page_that_is_not_there_says_whose_it_may_be_and_leads_to_its_list(
    owner: Visitor,
) -> None:
    page = await owner.goto("/deliveries/5e208446c97efa37d4830b99", status=404)
    assert "another project than your key" in await page.inner_text("main")
    await page.get_by_role("link", name="To the deliveries").click()
    await page.get_by_role("heading", level=1, name="Deliveries", exact=True).wait_for()
    page = await owner.goto("/webhooks?status=gone", status=422)
    assert "status" in await page.inner_text("main p:nth-of-type(2)"), "which fault it is"


async def test_nothing_is_discarded_where_nothing_was_given_up(owner: Visitor, site: Site) -> None:
    page = await owner.goto(f"/failed/discard?subscription={site.healthy}&outcome=http&status=404")
    assert "Nothing to discard" in await page.inner_text("main")
    assert await page.get_by_role("button", name="Discard").count() == 0
