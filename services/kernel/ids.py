"""Ids: 24 hex characters, as everywhere in the Planner; distinct types, so they can't be mixed up."""

import re
from collections.abc import Callable
from typing import NewType, TypeAlias

EventId = NewType("EventId", str)
ProjectId = NewType("ProjectId", str)
SubscriptionId = NewType("SubscriptionId", str)
SecretId = NewType("SecretId", str)
ApiKeyId = NewType("ApiKeyId", str)

Entropy: TypeAlias = Callable[[int], bytes]
"""`os.urandom` in production, a seeded source in tests."""

_ID = re.compile(r"[0-9a-f]{24}\Z")


def new_id(*, now: float, entropy: Entropy) -> str:
    """Return 24 hex: 4 bytes of *now* (Unix seconds), then 8 random ones; sorts by creation."""
    return (int(now).to_bytes(4, "big") + entropy(8)).hex()


def is_id(text: str) -> bool:
    """Tell whether *text* has the form of an id."""
    return _ID.match(text) is not None
