"""What holds for every page, looked at in Chromium: a page that is added to `pages.py` is held to all."""

import gzip
from typing import Any

import pytest
from playwright.async_api import Browser, StorageState, ViewportSize

from services.dashboard.routes import ROUTES
from tests.browser.pages import NAMES, OPERATORS, pages
from tests.support.site import Site, Visitor, a_visitor, axe

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

MAX_BYTES = 100_000
NARROW = ViewportSize(width=360, height=780)
SHIFT = """() => new Promise(done => {
  let total = 0;
  const add = e => { if (!e.hadRecentInput) total += e.value };
  new PerformanceObserver(list => list.getEntries().forEach(add))
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(total), 300);
})"""
AXE = """() => axe
  .run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] })
  .then(({ violations }) => violations.map(({ id, impact, nodes }) =>
    `${id} (${impact}): ` + nodes.map(({ html }) => html.slice(0, 160)).join(" | ")))"""
WIDER = """() => [...document.querySelectorAll("main *")]
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .filter(e => !e.closest(".table-wrap, pre, .tabs, .unseen"))
  .map(e => e.outerHTML.slice(0, 120))"""


async def violations(visitor: Visitor) -> list[str]:
    """Return what axe-core finds, in light and in dark."""
    found: list[str] = []
    for theme in ("light", "dark"):
        await visitor.page.emulate_media(color_scheme=theme)
        found += [f"{theme}: {each}" for each in await _axe(visitor)]
    return found


async def _axe(visitor: Visitor) -> Any:  # noqa: ANN401 - JSON
    # The browser's own door: a script element would be refused by the policy, rightly.
    session = await visitor.context.new_cdp_session(visitor.page)
    await session.send("Runtime.evaluate", {"expression": await axe()})
    return await visitor.page.evaluate(AXE)


async def test_the_names_of_the_pages_are_complete(site: Site) -> None:
    assert tuple(pages(site)) == NAMES
    shown = {route.path for route in ROUTES if route.method == "GET"}
    known = {_as_route(path.partition("?")[0], site) for path in pages(site).values()}
    known |= {"/", "/sign-in", "/live", "/event-types/{type}", "/portal", "/portal/{token}"}
    known |= {"/deliveries.csv", "/deliveries.ndjson"}
    assert shown - known == set(), "a page that no rule looks at: add it to pages.py"


def _as_route(path: str, site: Site) -> str:
    jobs = (site.delivery, site.replay, site.resend, site.dry_run)
    for id_ in (site.healthy, site.failing, site.cluster.project, *jobs):
        path = path.replace(id_, "{id}")
    return path.replace(site.event, "{topic}/{partition}/{offset}")


@pytest.mark.parametrize("name", NAMES)
async def test_a_page_is_sound(
    name: str,
    chromium: Browser,
    signed_in: StorageState,
    operator_signed_in: StorageState,
    site: Site,
) -> None:
    cookies = operator_signed_in if name in OPERATORS else signed_in
    async with (
        a_visitor(chromium, site.url, storage_state=cookies) as owner,
        a_visitor(
            chromium, site.url, storage_state=cookies, java_script_enabled=False
        ) as unscripted,
    ):
        await _is_sound(pages(site)[name], owner, unscripted)


async def _is_sound(path: str, owner: Visitor, unscripted: Visitor) -> None:
    """Nothing of axe-core's, no error, nothing asked elsewhere, no shift; small; fits a telephone."""
    page = await owner.goto(path)
    assert await page.evaluate(SHIFT) < 0.1
    assert await violations(owner) == []
    assert await page.locator("h1").count() == 1
    await page.set_viewport_size(NARROW)
    assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    assert await page.evaluate(WIDER) == []
    # Without JavaScript it says the same.
    plain = await unscripted.goto(path)
    for part in ("h1", "tbody tr", ".badge", "dt"):
        assert await plain.locator(part).count() == await page.locator(part).count()
    body = await plain.content()
    assert len(gzip.compress(body.encode())) < MAX_BYTES


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
