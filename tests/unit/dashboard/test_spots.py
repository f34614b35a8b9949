"""Names on a map are readable: none covers another, none is lost."""

import random
from itertools import combinations

from services.dashboard.maps import HEIGHT, WIDTH
from services.dashboard.spots import NAMED, NEAR, ON_NARROW, ON_WIDE, Spot, name_box, spots

LETTERS = 4


def scattered(count: int, seed: int) -> list[tuple[float, float]]:
    chance = random.Random(seed)
    return [(chance.uniform(40, WIDTH - 40), chance.uniform(40, HEIGHT - 40)) for _ in range(count)]


def overlap(one: Spot, other: Spot, size: object) -> bool:
    assert size in (ON_WIDE, ON_NARROW)
    boxes = [
        name_box(each.at, LETTERS, ON_WIDE if size is ON_WIDE else ON_NARROW, on_left=each.on_left)
        for each in (one, other)
    ]
    (l1, t1, r1, b1), (l2, t2, r2, b2) = boxes
    return l1 < r2 and l2 < r1 and t1 < b2 and t2 < b1


def test_names_that_stand_cover_no_other_at_either_width() -> None:
    for seed in range(20):
        found = spots(scattered(25, seed), letters=LETTERS)
        wide = [each for each in found if each.fits != "never"]
        assert not [pair for pair in combinations(wide, 2) if overlap(*pair, ON_WIDE)]
        narrow = [each for each in wide if each.fits == "always"]
        assert not [pair for pair in combinations(narrow, 2) if overlap(*pair, ON_NARROW)]
        assert len(wide) > len(found) / 2, "most have room"


def test_vehicles_at_one_place_are_one_spot_with_all_of_them() -> None:
    points = [(100.0, 100.0), (500.0, 300.0), (100.0 + NEAR / 2, 100.0)]
    together, alone = spots(points, letters=LETTERS)
    assert together.members == [0, 2]
    assert together.at == (100.0 + NEAR / 4, 100.0)
    assert together.fits == "never"
    assert alone == Spot((500.0, 300.0), [1], "always", on_left=False)


def test_a_name_at_the_edge_stands_on_the_other_side() -> None:
    (spot,) = spots([(WIDTH - 20, 300.0)], letters=LETTERS)
    assert (spot.fits, spot.on_left) == ("always", True)


def test_every_vehicle_is_in_one_spot_however_many_there_are() -> None:
    points = scattered(2_000, 7)
    found = spots(points, letters=LETTERS)
    assert sorted(n for spot in found for n in spot.members) == list(range(len(points)))
    assert len(found) > NAMED
    assert {spot.fits for spot in found} == {"never"}
