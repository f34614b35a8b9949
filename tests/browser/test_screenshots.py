"""`make screenshots`: each page at two widths in both themes, for people to look at."""

from pathlib import Path

import pytest

from tests.browser.pages import OPERATORS, pages, portal_pages
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


def _fresh(name: str) -> Path:
    folder = Path(name)
    folder.mkdir(exist_ok=True)
    for file in folder.glob("*.png"):
        file.unlink()
    return folder


def _written(folder: Path) -> set[str]:
    return {file.stem for file in folder.glob("*.png")}


async def _shoot(visitor: Visitor, folder: Path, name: str) -> None:
    for width, pixels in WIDTHS.items():
        await visitor.page.set_viewport_size({"width": pixels, "height": 900})
        for theme in ("light", "dark"):
            await visitor.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            file = folder / f"{name}-{width}-{theme}.png"
            await visitor.page.screenshot(path=file, full_page=True)
