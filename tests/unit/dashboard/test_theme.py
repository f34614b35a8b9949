"""An accent of a portal link can be read on every ground, by day and by night."""

import re

import pytest

from services.dashboard.app import policy
from services.dashboard.theme import DARK_GROUNDS, LIGHT_GROUNDS, sheet
from services.kernel.portal import contrast


@pytest.mark.parametrize("accent", ["0b5d4e", "3451c6", "000000", "c2185b", "767676", "ff0000"])
def test_text_in_the_accent_and_on_it_can_be_read(accent: str) -> None:
    text = (sheet(f"{accent}.css") or b"").decode()
    light, dark, system = (
        dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", part)) for part in text.split("\n:root", 1)[0:1]
        + text.split("\n:root", 1)[1].split("\n@media")
    )  # fmt: skip
    assert dark == system
    for colours, grounds in ((light, LIGHT_GROUNDS), (dark, DARK_GROUNDS)):
        for ground in (*grounds, colours["--accent-wash"], colours["--on-accent"]):
            assert contrast(colours["--accent"], ground) >= 4.5
        assert contrast(colours["--accent-hover"], colours["--on-accent"]) >= 4.5


def test_a_name_that_is_no_accent_is_no_sheet() -> None:
    for name in ("0b5d4e", "red.css", "0b5d4.css", "}body{.css", "0b5d4ee.css"):
        assert sheet(name) is None


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_the_policy_names_who_may_embed_and_the_logo_and_nobody_else() -> None:
    assert "frame-ancestors 'none'" in policy((), None)
    found = policy(("https://a.example", "https://b.example"), "https://cdn.example/x/logo.svg")
    assert "frame-ancestors https://a.example https://b.example;" in found
    assert "img-src 'self' data: https://cdn.example;" in found
