"""Signing secrets: shown once, rotated, ended."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from services.deliver.signing import parse_secret, sign
from services.kernel.subscription import SignatureScheme, SigningKey
from tests.support.cluster import (
    Receiver,
    Seen,
)
from tests.support.native import NOBODYS_ID, Caller

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(60)]


def signatures(seen: Seen) -> list[str]:
    """Return the signatures of a request."""
    return seen.headers["webhook-signature"].split()


def signed(secret: str, seen: Seen) -> str:
    """Return how *secret* signs a request."""
    timestamp = int(seen.headers["webhook-timestamp"])
    key = SigningKey(SignatureScheme.V1, parse_secret(secret))
    return sign([key], id_=seen.id, timestamp=timestamp, body=seen.body, now=timestamp)


async def called(owner: Caller, path: str, receiver: Receiver) -> Seen:
    """Make a test call and return what the receiver got."""
    assert (await owner("POST", f"{path}/test")).json["outcome"] == "ok"
    return receiver.seen[-1]


async def test_a_secret_is_shown_once_and_signs(owner: Caller, receiver: Receiver) -> None:
    made = await owner.make(url=f"{receiver.url}/hook")
    path = f"/v1/subscriptions/{made['id']}"
    assert made["secret"].startswith("whsec_")
    value = made["secret"].removeprefix("whsec_")
    for method, where, body in [
        ("GET", path, None),
        ("GET", "/v1/subscriptions", None),
        ("GET", f"{path}/secrets", None),
        ("PATCH", path, {"description": "x"}),
        ("POST", f"{path}/pause", None),
    ]:
        assert value not in (await owner(method, where, body)).body.decode()
    seen = await called(owner, path, receiver)
    assert signatures(seen) == [signed(made["secret"], seen)]


async def test_while_a_secret_is_rotated_both_sign(owner: Caller, receiver: Receiver) -> None:
    made = await owner.make(url=f"{receiver.url}/hook")
    path = f"/v1/subscriptions/{made['id']}"
    before = datetime.now(UTC)
    rotated = (await owner("POST", f"{path}/secrets/rotate", {"overlap_hours": 2})).json
    ends = datetime.fromisoformat(rotated["previous_expires_at"])
    assert timedelta(0) <= ends - before - timedelta(hours=2) < timedelta(minutes=1)
    assert rotated["secret"] != made["secret"]
    seen = await called(owner, path, receiver)
    assert signatures(seen) == [signed(rotated["secret"], seen), signed(made["secret"], seen)]
    listed = (await owner("GET", f"{path}/secrets")).json["data"]
    assert [(row["id"], row["expires_at"]) for row in listed] == [
        (rotated["id"], None),
        (listed[1]["id"], rotated["previous_expires_at"]),
    ]
    await owner("DELETE", f"{path}/secrets/{listed[1]['id']}", status=204)
    seen = await called(owner, path, receiver)
    assert signatures(seen) == [signed(rotated["secret"], seen)]
    await owner("DELETE", f"{path}/secrets/{listed[1]['id']}", status=204)
    conflict = await owner("DELETE", f"{path}/secrets/{rotated['id']}", status=409)
    assert "rotate it instead" in conflict.json["detail"]
    await owner("DELETE", f"{path}/secrets/{NOBODYS_ID}", status=404)
    await owner("DELETE", f"{path}/secrets/%00", status=404)


async def test_who_takes_a_rotation_back_has_a_secret_that_lasts(
    owner: Caller, receiver: Receiver
) -> None:
    made = await owner.make(url=f"{receiver.url}/hook")
    path = f"/v1/subscriptions/{made['id']}"
    rotated = (await owner("POST", f"{path}/secrets/rotate")).json
    await owner("DELETE", f"{path}/secrets/{rotated['id']}", status=204)
    ended, kept = (await owner("GET", f"{path}/secrets")).json["data"]
    assert ended["id"] == rotated["id"]
    assert kept["expires_at"] is None, "nothing would sign once its overlap had ended"
    seen = await called(owner, path, receiver)
    assert signatures(seen) == [signed(made["secret"], seen)]


async def test_a_rotation_without_overlap_ends_the_secret_before_at_once(
    owner: Caller, receiver: Receiver
) -> None:
    made = await owner.make(url=f"{receiver.url}/hook")
    path = f"/v1/subscriptions/{made['id']}"
    rotated = (await owner("POST", f"{path}/secrets/rotate", {"overlap_hours": 0})).json
    seen = await called(owner, path, receiver)
    assert signatures(seen) == [signed(rotated["secret"], seen)]
    for hours in (-1, 169, "24"):
        body = {"overlap_hours": hours}
        answer = await owner("POST", f"{path}/secrets/rotate", body, status=422)
        assert answer.faults[0][0] == "/overlap_hours"
    assert len((await owner("GET", f"{path}/secrets")).json["data"]) == 2


async def test_of_an_ed25519_subscription_the_public_key_is_shown_to_everybody(
    owner: Caller, receiver: Receiver
) -> None:
    made = await owner.make(url=f"{receiver.url}/hook", signature="v1a")
    path = f"/v1/subscriptions/{made['id']}"
    assert "secret" not in made
    rotated = (await owner("POST", f"{path}/secrets/rotate")).json
    assert "secret" not in rotated
    keys = [rotated["public_key"], made["public_key"]]
    assert all(len(base64.b64decode(key.removeprefix("whpk_"))) == 32 for key in keys)
    listed = (await owner("GET", f"{path}/secrets")).json["data"]
    assert [(row["public_key"], row["signature"]) for row in listed] == [
        (key, "v1a") for key in keys
    ]
    public = await Caller(owner.session, key=None)("GET", "/.well-known/webhook-keys.json")
    mine = [row for row in public.json["keys"] if row["subscription_id"] == made["id"]]
    assert [row["public_key"] for row in mine] == keys
    seen = await called(owner, path, receiver)
    assert [text.partition(",")[0] for text in signatures(seen)] == ["v1a", "v1a"]
