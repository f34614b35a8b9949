"""The commit's metadata: which offsets above the committed one are settled already.

`v1|epoch|base|codec|map`, and `|writes` where there were any, at most 4,096 ASCII characters (the
broker's default limit). The map holds the *open* offsets, of which there are few: the distance to the
end, then from each open offset to the next, as varints; codec `d` is their base64url, `z` that of their
deflated bytes, whichever is shorter. 1,000 random holes in 50,000 offsets take 1,450 characters.

`writes` counts all writes to rows and lanes of the partition that Postgres has ever made durable. The
committed offset relies on them: a Postgres that knows of fewer has gone back in time, whatever its epoch.

Decoding never raises, because metadata is a hint. What can't be read, was written by somebody else or
belongs to another offset (a mirroring tool translates offsets and copies metadata) settles nothing.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

VERSION = "v1"
MAX_CHARS = 4096
MAX_OFFSETS = 1 << 20
_MAX_INFLATED = 1 << 16
_HEAD = re.compile(
    r"v1\|([0-9]{1,18})\|([0-9]{1,18})\|([dz]?)\|([A-Za-z0-9_=-]*)(?:\|([0-9]{1,18}))?\Z", re.ASCII
)


class SettledMap(NamedTuple):
    """Offsets that an earlier epoch settled: those in (base, end) that are not open."""

    base: int
    end: int
    open: frozenset[int]

    def __contains__(self, offset: object) -> bool:
        return isinstance(offset, int) and self.base < offset < self.end and offset not in self.open

    def below(self, at: int) -> "SettledMap":
        """Return what it says of what lies below *at*; from there on nothing is known."""
        still = frozenset(offset for offset in self.open if offset < at)
        return SettledMap(min(self.base, at - 1), at, still)


def settled_below(at: int) -> SettledMap:
    """Return the map that says that all below *at* is settled, and nothing else."""
    return SettledMap(at - 1, at, frozenset())


NOTHING_SETTLED = SettledMap(0, 0, frozenset())


class Metadata(NamedTuple):
    """What the metadata of a committed offset says."""

    epoch: int | None
    """Of the commit; None where the metadata isn't ours."""
    settled: SettledMap
    writes: int = 0
    """How many writes to Postgres the commit relies on."""


FOREIGN = Metadata(None, NOTHING_SETTLED)


def encode(
    *, epoch: int, base: int, open_offsets: Sequence[int], end: int, writes: int = 0
) -> tuple[str, bool]:
    """Return the metadata for a commit of *base*, and whether the map fitted.

    *open_offsets* ascend within [base, end). A map that doesn't fit is left out: a restart then
    repeats more, and nothing ever stalls on it.
    """
    head, tail = f"{VERSION}|{epoch}|{base}|", f"|{writes}" if writes else ""
    if end <= base + 1 and len(open_offsets) <= 1:
        return f"{head}|{tail}", True  # nothing above the base is known
    plain = bytes(_varints(_distances(base, open_offsets, end)))
    deflated = zlib.compress(plain, 6) if len(plain) > 64 else plain  # noqa: PLR2004 - too short to gain
    codec, packed = ("z", deflated) if len(deflated) < len(plain) else ("d", plain)
    text = f"{head}{codec}|{base64.urlsafe_b64encode(packed).decode('ascii')}{tail}"
    return (text, True) if len(text) <= MAX_CHARS else (f"{head}|{tail}", False)


def decode(metadata: str, *, committed: int) -> Metadata:
    """Read *metadata* found beside the offset *committed*. Never raises."""
    found = _HEAD.match(metadata)
    if found is None:
        return FOREIGN
    epoch, base = int(found[1]), int(found[2])
    writes = int(found[5] or 0)
    nothing = Metadata(epoch, NOTHING_SETTLED, writes)
    if base != committed or not found[3]:
        return nothing
    try:
        packed = base64.b64decode(found[4], altchars=b"-_", validate=True)
        plain = _inflate(packed) if found[3] == "z" else packed
    except (binascii.Error, zlib.error, ValueError):
        return nothing
    numbers = list(_numbers(plain))
    if not numbers or sum(numbers[1:]) > numbers[0] or not 0 < numbers[0] <= MAX_OFFSETS:
        return nothing
    offset, still = base, []
    for distance in numbers[1:]:
        offset += distance
        still.append(offset)
    return Metadata(epoch, SettledMap(base, base + numbers[0], frozenset(still)), writes)


def _distances(base: int, open_offsets: Sequence[int], end: int) -> Iterator[int]:
    yield end - base
    for offset in open_offsets:
        yield offset - base
        base = offset


def _varints(numbers: Iterable[int]) -> Iterator[int]:
    for number in numbers:
        rest = number
        while rest >= 128:  # noqa: PLR2004 - seven bits a byte
            yield rest & 127 | 128
            rest >>= 7
        yield rest


def _numbers(plain: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in plain:
        number |= (byte & 127) << shift
        if byte & 128:
            shift += 7
        else:
            yield number
            number = shift = 0


def _inflate(packed: bytes) -> bytes:
    inflater = zlib.decompressobj()
    plain = inflater.decompress(packed, _MAX_INFLATED)
    if inflater.unconsumed_tail or not inflater.eof:
        raise ValueError("longer than any map of ours")
    return plain
