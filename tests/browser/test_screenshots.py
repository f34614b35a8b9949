"""`make screenshots`: each page at two widths in both themes, for people to look at."""

from pathlib import Path

import pytest

from tests.browser.pages import OPERATORS, pages, portal_pages
from tests.browser.test_new_webhook import second_step
from tests.browser.test_portal import ACCENT, a_link
from tests.support.site import OPERATOR, SCREENSHOTS, Site, Visitor

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(300),
]

WIDTHS = {"wide": 1280, "narrow": 360}


async def test_each_page_is_written_to_the_folder(visitor: Visitor, site: Site) -> None:
    folder = _fresh(SCREENSHOTS or "")
    await visitor.goto("/sign-in")
    await _shoot(visitor, folder, "sign-in")
    await visitor.sign_in(site.key)
    for name, path in pages(site).items():
        if name not in OPERATORS:
            await visitor.goto(path)
            await _shoot(visitor, folder, name)
    await _answers(visitor, site, folder)
    await visitor.context.clear_cookies()
    link = await a_link(site, site.failing, theme={"accent": ACCENT})
    await visitor.goto(f"/portal/{link['token']}")
    for name, path in portal_pages(site).items():
        await visitor.goto(path)
        await _shoot(visitor, folder, name)
    await visitor.context.clear_cookies()
    await visitor.goto("/portal/nobody", status=401)
    await _shoot(visitor, folder, "portal-over")
    await visitor.sign_in(OPERATOR)
    for name in OPERATORS:
        await visitor.goto(pages(site)[name])
        await _shoot(visitor, folder, name)
    assert _written(folder) >= {f"{name}-narrow-dark" for name in pages(site)}


async def _answers(visitor: Visitor, site: Site, folder: Path) -> None:
    """What forms are answered with: the steps of a new webhook, a filter judged, an estimate."""
    page = await second_step(visitor, f"{site.receiver.url}/shown")
    await page.get_by_role("checkbox", name="stop.*").check()
    await page.get_by_label("Field 1").fill("data.report.type")
    await page.get_by_label("Value 1").fill("service_report_completed")
    await page.get_by_role("button", name="Try on the last 20 events").click()
    await page.get_by_text("events of these types would be sent").wait_for()
    await _shoot(visitor, folder, "new-webhook-types")
    await page.get_by_role("button", name="Make the webhook").click()
    await page.get_by_role("button", name="Send it").click()
    await page.get_by_text("Test event: 200").wait_for()
    await page.get_by_role("button", name="Show a receiver with it").click()
    await page.locator("#sample").wait_for()
    await _shoot(visitor, folder, "new-webhook-secret")
    page = await visitor.goto(f"/filters?webhook={site.failing}")
    await page.get_by_label("One of the last").select_option(index=1)
    await page.get_by_role("button", name="Judge and explain").click()
    await page.locator("#answer section").first.wait_for()
    await _shoot(visitor, folder, "filter-lab-answer")
    page = await visitor.goto(f"/replays/new?subscription={site.healthy}")
    await page.get_by_role("button", name="Estimate").click()
    await page.locator("#estimate section").wait_for()
    await _shoot(visitor, folder, "replay-new-estimate")


def _fresh(name: str) -> Path:
    folder = Path(name)
    folder.mkdir(exist_ok=True)
    for file in folder.glob("*.png"):
        file.unlink()
    return folder


def _written(folder: Path) -> set[str]:
    return {file.stem for file in folder.glob("*.png")}


async def _shoot(visitor: Visitor, folder: Path, name: str) -> None:
    await visitor.page.evaluate("scrollTo(0, 0)")  # whoever asked was brought to the answer
    for width, pixels in WIDTHS.items():
        await visitor.page.set_viewport_size({"width": pixels, "height": 900})
        for theme in ("light", "dark"):
            await visitor.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            file = folder / f"{name}-{width}-{theme}.png"
            await visitor.page.screenshot(path=file, full_page=True)
