"""What holds for every page, looked at in the browser where it is open: one visit suffices."""

import gzip
from typing import Any

from playwright.async_api import Route, ViewportSize

from tests.support.eventually import eventually
from tests.support.site import Visitor, axe

MAX_BYTES = 100_000
MAX_SHIFT = 0.05
"""Half of what Core Web Vitals call good, with the script coming as late as can be."""

WIDE = ViewportSize(width=1280, height=720)
NARROW = ViewportSize(width=360, height=780)
SCRIPT = "**/static/app.js*"
PAINTED = "performance.getEntriesByType('paint').length"
SHIFT = """() => new Promise(done => {
  let total = 0;
  const add = e => { if (!e.hadRecentInput) total += e.value };
  new PerformanceObserver(list => list.getEntries().forEach(add))
    .observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => setTimeout(() => done(total), 20));
})"""
AXE = """runOnly => axe.run(document, { runOnly, resultTypes: ["violations"] })
  .then(({ violations }) => violations.map(({ id, impact, nodes }) =>
    `${id} (${impact}): ` + nodes.map(({ html }) => html.slice(0, 160)).join(" | ")))"""
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
OF_COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules of those that a theme can change the answer of."""
WIDER = """() => [...document.querySelectorAll("main *")]
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .filter(e => !e.closest(".table-wrap, pre, .tabs, .unseen"))
  .map(e => e.outerHTML.slice(0, 120))"""
UNFOLD = "() => document.querySelectorAll('.fold').forEach(fold => fold.open = true)"
"""Axe skips what is folded, also where it is shown; opened it is the same picture on a wide screen."""
PARTS = ("h1", "tbody tr", ".badge", "dt")
# A document that was parsed alone runs no script.
BOTH = """async parts => {
  const text = await (await fetch(location.href)).text();
  const plain = new DOMParser().parseFromString(text, "text/html");
  const counts = of => parts.map(part => of.querySelectorAll(part).length);
  return { text, plain: counts(plain), scripted: counts(document) };
}"""


async def is_sound(visitor: Visitor, path: str) -> None:
    """Nothing of axe-core's, no error, nothing asked elsewhere, no shift; small; fits a telephone."""
    await visitor.page.set_viewport_size(WIDE)
    await visitor.page.route(SCRIPT, _once_painted)
    page = await visitor.goto(path)
    await page.unroute(SCRIPT)
    found = await violations(visitor)
    assert found == [], found  # told in words: what fails here is no test module
    assert await page.evaluate(SHIFT) < MAX_SHIFT  # last, so that late ones are among them
    assert await page.locator("h1").count() == 1
    await page.set_viewport_size(NARROW)
    assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    assert await page.evaluate(WIDER) == []
    both = await page.evaluate(BOTH, list(PARTS))
    assert both["plain"] == both["scripted"], "without JavaScript it says something else"
    assert len(gzip.compress(both["text"].encode())) < MAX_BYTES
    assert visitor.heard == []


async def _once_painted(route: Route) -> None:
    """Let the script come when the page is in sight without it, as behind a slow line."""
    frame = route.request.frame
    await eventually(lambda: frame.evaluate(PAINTED), within=30, every=0.01)
    await route.continue_()


async def violations(visitor: Visitor) -> list[str]:
    """Return what axe-core finds: by all its rules in light, by those of colours in dark too."""
    # The browser's own door: a script element would be refused by the policy, rightly.
    session = await visitor.context.new_cdp_session(visitor.page)
    await session.send("Runtime.evaluate", {"expression": await axe()})
    await visitor.page.evaluate(UNFOLD)
    await visitor.page.emulate_media(color_scheme="light")
    found = [f"light: {each}" for each in await _axe(visitor, STANDARDS)]
    await visitor.page.emulate_media(color_scheme="dark")
    return found + [f"dark: {each}" for each in await _axe(visitor, OF_COLOURS)]


async def _axe(visitor: Visitor, rules: list[str]) -> Any:  # noqa: ANN401 - JSON
    return await visitor.page.evaluate(AXE, rules)
