"""Tiles of a server of one's choice lie under the map, and no other page may ask for them."""

from services.settings.serving import Dashboard
from tests.support.api import an_api

TILES = "https://tiles.example.com/{z}/{x}/{y}.png"
HEADER = "X-Forwarded-User"


async def test_a_map_has_the_tiles_that_are_configured_and_no_other_page_has(
    kafka: str, database: str
) -> None:
    chosen = Dashboard(
        tile_url=TILES,
        tile_attribution="© Tiles & Co",
        trusted_header=HEADER,
        trusted_proxies=("127.0.0.0/8",),
    )
    async with an_api(kafka, database, dashboard=chosen) as api:
        circle = {"center": {"lat": 41.4, "lng": 2.17}, "radius_m": 800}
        fence = {"project_id": api.project, "label": "Depot", "circle": circle}
        await api.native("POST", "/v1/geofences", fence)
        alice = {HEADER: "alice"}
        page = await api.ask("GET", "/map", key=None, headers=alice)
        assert '<image class="tile" href="https://tiles.example.com/' in page.text
        assert "© Tiles &amp; Co" in page.text
        allowed = "img-src 'self' data: https://tiles.example.com;"
        assert allowed in page.headers["Content-Security-Policy"]
        other = await api.ask("GET", "/webhooks", key=None, headers=alice)
        assert "//" not in other.headers["Content-Security-Policy"]
