"""Tiles cover the map that they are under, and no other place is asked for pictures."""

import itertools

import pytest
from pydantic import ValidationError

from services.dashboard.app import policy
from services.dashboard.maps import HEIGHT, WIDTH, Frame
from services.dashboard.tiles import MOST, Source, tiles_of
from services.settings.serving import Dashboard

SOURCE = Source("https://tiles.example.com:8443/{z}/{x}/{y}.png?key=1")
PLACES = {
    "a street": [(41.4, 2.17)],
    "a town": [(41.35, 2.1), (41.45, 2.25)],
    "a country": [(36.0, -9.0), (43.7, 3.3)],
    "the south": [(-34.7, -58.5), (-34.5, -58.2)],
    "the date line": [(-17.9, 179.9), (-17.6, 179.99)],
}


@pytest.mark.parametrize("name", PLACES)
def test_tiles_cover_the_map_without_a_gap(name: str) -> None:
    found = tiles_of(Frame(PLACES[name]), SOURCE)
    assert 4 <= len(found) <= MOST
    assert min(tile.x for tile in found) <= 0
    assert max(tile.x + tile.width for tile in found) >= WIDTH
    assert min(tile.y for tile in found) <= 0
    assert max(tile.y + tile.height for tile in found) >= HEIGHT
    for one, other in itertools.pairwise(found):
        if one.y == other.y:
            assert one.x + one.width == pytest.approx(other.x, abs=0.2)


def test_a_tile_is_the_one_of_its_place() -> None:
    """Barcelona, as the formula of the projection says: at zoom 12 column 2072, row 1529."""
    found = [tile.url for tile in tiles_of(Frame([(41.35, 2.05), (41.45, 2.3)]), SOURCE)]
    assert "https://tiles.example.com:8443/12/2072/1529.png?key=1" in found


def test_without_a_server_there_are_none() -> None:
    assert tiles_of(Frame([(41.4, 2.17)]), None) == []


def test_pictures_come_from_the_origin_of_the_tiles_and_no_other() -> None:
    assert "img-src 'self' data: https://tiles.example.com:8443;" in policy((), None, SOURCE)
    assert "//" not in policy((), None)
    assert policy((), None, SOURCE).count("//") == 1


@pytest.mark.parametrize(
    "url", ["tiles/{z}/{x}/{y}", "https://a.example/{z}/{x}.png", "https://a.example;b/{z}/{x}/{y}"]
)
def test_what_is_no_tile_server_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Dashboard(tile_url=url)
