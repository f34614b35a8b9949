"""The commit's metadata is a hint: it never settles what is open, whatever it says."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feed.settled_map import FOREIGN, MAX_CHARS, NOTHING_SETTLED, decode, encode


@given(
    base=st.integers(0, 10**12),
    holes=st.sets(st.integers(0, 5_000), max_size=300),
    tail=st.integers(0, 50),
    epoch=st.integers(0, 10**9),
    writes=st.integers(0, 10**12),
)
def test_what_was_open_is_open_again_and_all_else_is_settled(
    base: int, holes: set[int], tail: int, epoch: int, writes: int
) -> None:
    still = sorted(base + hole for hole in holes | {0})
    end = still[-1] + 1 + tail
    text, fits = encode(epoch=epoch, base=base, open_offsets=still, end=end, writes=writes)
    found = decode(text, committed=base)
    assert fits
    assert (found.epoch, found.writes) == (epoch, writes)
    assert [o for o in range(base, end) if o not in found.settled] == still
    assert end not in found.settled


def test_a_thousand_random_holes_in_fifty_thousand_offsets_fit() -> None:
    still = sorted(random.Random(7).sample(range(50_000), 1_000))
    text, fits = encode(epoch=12, base=still[0], open_offsets=still, end=50_000)
    assert fits
    assert len(text) < 1_700


def test_a_map_that_does_not_fit_is_left_out_and_said_so() -> None:
    still = sorted(random.Random(7).sample(range(400_000), 4_000))
    text, fits = encode(epoch=12, base=still[0], open_offsets=still, end=400_000)
    assert not fits
    assert text == f"v1|12|{still[0]}||"
    assert decode(text, committed=still[0]).settled == NOTHING_SETTLED
    text, _ = encode(epoch=12, base=still[0], open_offsets=still, end=400_000, writes=5)
    assert decode(text, committed=still[0]) == (12, NOTHING_SETTLED, 5)


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "v2|1|0|d|AAAA",
        "v1|1|0",
        "v1|x|0|d|",
        "v1|1|0|q|AAAA",
        "v1|1|0|d|AAAA\n",
        "v1|1|0|d|AAAA|",
        "v1|1|0|d|AAAA|5|6",
        "consumed by somebody else",
        "v1|1|0|d|ÄÄ",
        "v1|" + "9" * 40 + "|0|d|",
    ],
)
def test_foreign_metadata_settles_nothing(metadata: str) -> None:
    assert decode(metadata, committed=0) == FOREIGN


@pytest.mark.parametrize(
    "packed", ["d|A", "z|AAAA", "d|", "d|gICAgICAgICAgIAB", "d|BQYG", "d|AA=="]
)
def test_a_damaged_map_settles_nothing_but_its_epoch_is_known(packed: str) -> None:
    found = decode(f"v1|7|100|{packed}", committed=100)
    assert (found.epoch, found.settled) == (7, NOTHING_SETTLED)


def test_a_map_that_was_copied_beside_another_offset_settles_nothing() -> None:
    text, _ = encode(epoch=3, base=100, open_offsets=[100, 105], end=120)
    assert decode(text, committed=100).settled != NOTHING_SETTLED
    assert decode(text, committed=40).settled == NOTHING_SETTLED


@given(st.text(max_size=200) | st.binary(max_size=300).map(lambda b: b.decode("latin-1")))
def test_decoding_never_raises(text: str) -> None:
    assert 5 not in decode(text, committed=5).settled
    assert 5 not in decode("v1|1|5|d|" + text, committed=5).settled
    assert 5 not in decode("v1|1|5|z|" + text, committed=5).settled


@given(data=st.binary(max_size=200), codec=st.sampled_from("dz"), base=st.integers(0, 1000))
def test_the_committed_offset_itself_is_never_settled_by_its_map(
    data: bytes, codec: str, base: int
) -> None:
    import base64  # noqa: PLC0415 - beside its only use
    import zlib  # noqa: PLC0415

    packed = base64.urlsafe_b64encode(zlib.compress(data) if codec == "z" else data).decode()
    found = decode(f"v1|1|{base}|{codec}|{packed}", committed=base)
    assert base not in found.settled


def test_the_metadata_stays_within_what_a_broker_takes() -> None:
    rng = random.Random(1)
    for count in (1, 10, 100, 1_000, 3_000):
        still = sorted(rng.sample(range(1 << 17), count))
        text, _ = encode(epoch=2**40, base=still[0], open_offsets=still, end=1 << 17)
        assert len(text) <= MAX_CHARS
        assert text.isascii()
