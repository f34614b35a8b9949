"""Who entered and who left: said once, when it is so, and not for a shaky signal."""

import copy
import random
from collections.abc import Iterator

import jsonschema_rs
import pytest

from services import catalogue
from services.geofence.judge import ENTERED, EXITED, Bounds, Judged, Verdict, judge
from services.geofence.vehicle import Vehicle
from services.kernel.event import Json
from services.match.fences import NO_FENCES, Fence, Fences
from services.match.geometry import Circle
from services.observe import metrics
from tests.support.drives import ZONES, a_drive, a_position, zones
from tests.support.factories import as_event

ZONE = ZONES[0]
INSIDE, NEAR, FAR = (41.40, 2.17), (41.40, 2.175), (41.40, 2.20)
"""Of a circle of 400 m around the first; NEAR is 17 m outside of it."""
ALONE = Fences([ZONE])


class Drive:
    """One vehicle, position after position."""

    def __init__(self, fences: Fences = ALONE, bounds: Bounds | None = None) -> None:
        self.fences = fences
        self.bounds = bounds or Bounds()
        self.vehicle: Vehicle | None = None
        self.number = 0
        self.last: Judged

    def to(self, place: tuple[float, float], **position: object) -> list[str]:
        """Return the types of what follows from the next position."""
        self.number += 1
        body = a_position(self.number, *place, **position)  # type: ignore[arg-type]
        return self.take(body)

    def take(self, body: Json, taken_ms: int | None = None) -> list[str]:
        event = as_event(body)
        event.timestamp_ms = taken_ms or 1_773_740_000_000 + 5_000 * self.number
        self.last = judge(self.vehicle, event, self.fences, self.bounds)
        self.vehicle = self.last.vehicle
        if self.vehicle is not None:  # what is written is what is known
            self.vehicle = Vehicle.decode(self.vehicle.encode())
        return [each["type"] for each in self.last.transitions]


def test_the_catalogues_examples_are_what_is_said() -> None:
    entered, exited = (copy.deepcopy(catalogue.examples()[type_]) for type_ in (ENTERED, EXITED))
    drive = Drive(
        Fences(
            [Fence(ZONE.id, Circle(41.40338, 2.17403, 30.0), version=2, label="Low emission zone")]
        )
    )
    cause = copy.deepcopy(catalogue.examples()["vehicle.position"])
    before = copy.deepcopy(cause)
    before["data"]["position"] = entered["data"]["previous_position"]
    drive.take(before, 1_647_510_065_000)
    drive.take(cause, 1_647_510_065_000)
    del entered["meta"]["entity_version"]
    assert drive.last.transitions == [entered]
    leaves = copy.deepcopy(cause)
    leaves |= {"id": exited["data"]["cause_event_id"], "created_at": exited["created_at"]}
    leaves["data"]["position"] = exited["data"]["position"]
    assert drive.vehicle is not None
    drive.take(leaves, 1_647_512_530_000)
    del exited["meta"]["entity_version"]
    exited["data"]["previous_position"] = entered["data"]["position"]
    assert drive.last.transitions == [exited]


def test_a_first_position_says_nothing_wherever_it_is() -> None:
    drive = Drive()
    assert drive.to(INSIDE) == []
    assert drive.last.verdict is Verdict.FIRST
    assert drive.to(FAR) == [EXITED]
    assert Drive().to(FAR) == []


def test_well_outside_is_out_at_once_and_near_the_border_at_the_second_position() -> None:
    drive = Drive()
    assert [drive.to(place) for place in (FAR, INSIDE, FAR)] == [[], [ENTERED], [EXITED]]
    assert drive.to(INSIDE) == [ENTERED]
    assert drive.to(NEAR) == []
    assert drive.to(INSIDE) == [], "it never left"
    assert drive.to(NEAR) == []
    first = drive.number
    assert drive.to((41.40, 2.1751)) == [EXITED]
    (exited,) = drive.last.transitions
    assert exited["data"]["exited_at"] == a_position(first, 0, 0)["created_at"]
    assert exited["created_at"] == exited["data"]["exited_at"]


def test_a_fence_may_say_itself_what_is_well_outside() -> None:
    strict = Drive(Fences([ZONE._replace(exit_buffer_m=10.0)]))
    assert [strict.to(place) for place in (FAR, INSIDE, NEAR)] == [[], [ENTERED], [EXITED]]
    wide = Drive(Fences([ZONE._replace(exit_buffer_m=5_000.0)]))
    assert [wide.to(place) for place in (FAR, INSIDE, FAR)] == [[], [ENTERED], []]
    assert wide.to(FAR) == [EXITED], "the second outside"


def test_positions_that_are_inaccurate_late_or_of_the_future_say_nothing_and_count_for_nothing() -> (
    None
):
    drive = Drive()
    drive.to(FAR)
    assert drive.to(INSIDE, accuracy=150) == []
    assert drive.last.verdict is Verdict.INACCURATE
    assert drive.take(a_position(0, *INSIDE)) == []
    assert drive.last.verdict is Verdict.LATE
    assert drive.take(a_position(1_000, *INSIDE)) == []
    assert drive.last.verdict is Verdict.FUTURE
    assert drive.to(INSIDE, accuracy=100) == [ENTERED]


def test_who_moves_less_than_the_accuracy_stands_still_until_it_adds_up() -> None:
    drive = Drive()
    drive.to((41.40, 2.17478), accuracy=5)  # 400 m away, all but a metre
    assert drive.to((41.40, 2.17482), accuracy=5) == []
    assert drive.last.verdict is Verdict.INACCURATE
    assert drive.to((41.40, 2.17530), accuracy=5) == [EXITED], "46 m from where it was judged last"


@pytest.mark.parametrize("position", [{"lat": True}, {"lng": None}, {"lat": 91}, {"lat": "41.4"}])
def test_a_place_that_can_not_be_read_says_nothing(position: Json) -> None:
    drive = Drive()
    drive.to(FAR)
    body = a_position(9, *INSIDE)
    body["data"]["position"] |= position
    assert drive.take(body) == []
    assert drive.last.verdict is Verdict.UNREADABLE


def test_fences_that_are_made_edited_disabled_or_deleted_around_a_van_say_nothing() -> None:
    drive = Drive(Fences([ZONES[1]]))
    drive.to(INSIDE)
    drive.fences = Fences(ZONES)
    assert drive.to(INSIDE) == [], "a new fence around it"
    drive.fences = Fences([ZONE._replace(shape=Circle(41.5, 2.3, 100.0), version=3)])
    assert drive.to(INSIDE) == [], "it was moved away"
    drive.fences = Fences([ZONE._replace(version=4)])
    assert drive.to(INSIDE) == [], "and back"
    drive.fences = Fences([ZONE._replace(enabled=False)])
    assert drive.to(INSIDE) == []
    drive.fences = NO_FENCES
    assert drive.to(FAR) == [], "it is gone"
    drive.fences = Fences([ZONE])
    assert drive.to(INSIDE) == [ENTERED], "both sides by the fences of now"


def test_an_edit_keeps_since_when_a_van_is_in() -> None:
    drive = Drive()
    drive.to(FAR)
    drive.to(INSIDE)
    drive.fences = Fences([ZONE._replace(version=9, shape=Circle(41.40, 2.17, 450.0))])
    drive.to(INSIDE)
    drive.to(FAR)
    (exited,) = drive.last.transitions
    assert exited["data"]["dwell_seconds"] == 10
    assert exited["data"]["geo_fence"]["version"] == 9


def test_exits_come_before_enters_of_one_position() -> None:
    other = Fence("f" * 24, Circle(*FAR, 400.0))
    drive = Drive(Fences([ZONE, other]))
    drive.to(INSIDE)
    assert drive.to(FAR) == [EXITED, ENTERED]


def drives(seeds: range) -> Iterator[tuple[int, list[Json]]]:
    for seed in seeds:
        fleet: dict[str, Drive] = {}
        said: list[Json] = []
        for body, taken_ms in a_drive(random.Random(seed), 400):
            drive = fleet.setdefault(body["data"]["vehicle_id"], Drive(zones()))
            drive.take(body, taken_ms)
            said += drive.last.transitions
        yield seed, said


def test_each_entry_is_followed_by_its_exit_and_none_is_said_twice() -> None:
    total = 0
    for seed, said in drives(range(30)):
        inside: dict[tuple[str, str], str | None] = {}
        assert len({each["id"] for each in said}) == len(said)
        for each in said:
            pair = each["data"]["vehicle_id"], each["data"]["geo_fence"]["id"]
            before = inside.get(pair)
            assert before != each["type"], (seed, pair)
            inside[pair] = each["type"]
            total += 1
    assert total > 300


def test_what_is_said_has_the_shape_of_the_catalogue() -> None:
    validators = {
        t: jsonschema_rs.validator_for(catalogue.data_schemas()[t]) for t in (ENTERED, EXITED)
    }
    for _, said in drives(range(40, 42)):
        for each in said:
            validators[each["type"]].validate(each["data"])


def test_every_verdict_is_counted_under_its_name() -> None:
    assert set(metrics.POSITIONS_JUDGED.counts) == {each.value for each in Verdict}
