"""What is known of one vehicle, in memory and in `webhooks.geofence`."""

from typing import Any, NamedTuple

import orjson

from services.kernel.event import Json


class Inside(NamedTuple):
    """A fence that a vehicle is in."""

    since_ms: int
    version: int
    """Of the fence, by which it was judged."""


def kept(position: Json) -> bytes:
    """Return a position as JSON, in a copy: what orjson returns takes 4 kB, however short it is."""
    return bytes(memoryview(orjson.dumps(position)))


class Vehicle:
    """Changed by each position. About half a kilobyte: there are a hundred thousand."""

    __slots__ = ("at_ms", "inside", "last", "lat", "lng", "offset", "outside", "seq")

    def __init__(self, *, at_ms: int, seq: int, lat: float, lng: float, last: bytes) -> None:
        self.at_ms = at_ms
        """Of its newest position, by the position's own time; Unix milliseconds."""
        self.seq = seq
        """The newest position's number, -1: it had none."""
        self.lat = lat
        self.lng = lng
        self.last = last
        """The last position that was good enough to judge by, as JSON; `lat` and `lng` are its."""
        self.inside: dict[str, Inside] = {}
        self.outside: dict[str, int] = {}
        """Fences that it is in, though its last position wasn't: when that was."""
        self.offset = -1
        """Of the newest position that this includes."""

    def encode(self) -> bytes:
        """Return it as it is written."""
        return orjson.dumps(
            {
                "offset": self.offset,
                "at": self.at_ms,
                "seq": self.seq,
                "last": orjson.Fragment(self.last),
                "inside": {id_: list(inside) for id_, inside in self.inside.items()},
                "outside": self.outside,
            }
        )

    @classmethod
    def decode(cls, text: bytes) -> "Vehicle":
        """Return what was written. Raises ValueError."""
        try:
            read: Any = orjson.loads(text)
            last: Json = read["last"]
            found = cls(
                at_ms=int(read["at"]),
                seq=int(read["seq"]),
                lat=float(last["lat"]),
                lng=float(last["lng"]),
                last=kept(last),
            )
            found.inside = {id_: Inside(*map(int, pair)) for id_, pair in read["inside"].items()}
            found.outside = {id_: int(at_ms) for id_, at_ms in read["outside"].items()}
            found.offset = int(read["offset"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no state of a vehicle: {error!r}") from error
        return found
