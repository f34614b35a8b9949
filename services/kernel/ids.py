"""Ids: 24 hex characters, as everywhere in the Planner; distinct types, so they can't be mixed up."""

import hashlib
import re
from collections.abc import Callable
from typing import NewType, TypeAlias

EventId = NewType("EventId", str)
ProjectId = NewType("ProjectId", str)
SubscriptionId = NewType("SubscriptionId", str)
SecretId = NewType("SecretId", str)
ApiKeyId = NewType("ApiKeyId", str)
PortalLinkId = NewType("PortalLinkId", str)
GeofenceId = NewType("GeofenceId", str)

Entropy: TypeAlias = Callable[[int], bytes]
"""`os.urandom` in production, a seeded source in tests."""

_ID = re.compile(r"[0-9a-f]{24}\Z")
_FRACTIONS = 1 << 24


def new_id(*, now: float, entropy: Entropy) -> str:
    """Return 24 hex: 4 bytes of *now* (Unix seconds), 3 of its fraction, then 5 random ones.

    Sorts by creation also within a second: lists promise "newest first", and order by id.
    """
    return (int(now * _FRACTIONS).to_bytes(7, "big") + entropy(5)).hex()


def delivery_id(event_id: str, subscription_id: str) -> str:
    """Return 24 hex that name the pair: 12 of the event, which all its deliveries begin with, 12 more."""
    return half(event_id).hex() + half(subscription_id).hex()


def half(id_: str) -> bytes:
    """Return the 6 bytes that an id gives to the ids of deliveries."""
    return hashlib.blake2b(id_.encode("utf-8", "surrogatepass"), digest_size=6).digest()


def is_id(text: str) -> bool:
    """Tell whether *text* has the form of an id."""
    return _ID.match(text) is not None
