"""The colours of a portal link, as a sheet after ours: one accent, made readable on each ground."""

from services.kernel.portal import is_colour, mixed, readable

WHITE, BLACK = "#ffffff", "#000000"
LIGHT_GROUNDS = ("#ffffff", "#f6f7f9", "#eff1f5")
DARK_GROUNDS = ("#10141c", "#181d28", "#11161f")
"""What text in the accent stands on, as in style.css; and on the accent's own wash."""
ON_DARK = DARK_GROUNDS[0]


def theme_address(accent: str) -> str:
    """Return where the sheet of an accent is."""
    return f"/theme/{accent.removeprefix('#')}.css"


def sheet(name: str) -> bytes | None:
    """Return the sheet of `0b5d4e.css`; None for what is no accent."""
    accent = f"#{name.removesuffix('.css')}"
    if not name.endswith(".css") or not is_colour(accent):
        return None
    light, dark = _light(accent), _dark(accent)
    return (
        f":root {{ {light} }}\n"
        f':root[data-theme="dark"] {{ {dark} }}\n'
        f"@media (prefers-color-scheme: dark) {{\n"
        f'  :root[data-theme="system"] {{ {dark} }}\n}}\n'
    ).encode()


def _light(accent: str) -> str:
    wash = mixed(accent, WHITE, 0.9)
    for ground in (*LIGHT_GROUNDS, wash):
        accent = readable(accent, on=ground, towards=BLACK)
    return _properties(accent, mixed(accent, BLACK, 0.18), WHITE, wash)


def _dark(accent: str) -> str:
    wash = mixed(DARK_GROUNDS[1], accent, 0.25)
    for ground in (*DARK_GROUNDS, wash):
        accent = readable(accent, on=ground, towards=WHITE)
    return _properties(accent, mixed(accent, WHITE, 0.2), ON_DARK, wash)


def _properties(accent: str, hover: str, on: str, wash: str) -> str:
    return f"--accent: {accent}; --accent-hover: {hover}; --on-accent: {on}; --accent-wash: {wash};"
