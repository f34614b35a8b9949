"""Signatures as everybody else computes them: the agreed vectors, and the official library."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from services.deliver.signing import (
    new_key,
    parse_secret,
    public_key,
    secret_text,
    sign,
)
from services.deliver.verify import parse, verify
from services.kernel.subscription import SignatureScheme, SigningKey

V1, V1A = SignatureScheme.V1, SignatureScheme.V1A
NOW = 1_647_510_067
SEED = bytes(range(32))


class Vector(NamedTuple):
    """One line of section 4, complete in itself."""

    secret: str
    id: str
    timestamp: int
    signature: str
    body: bytes
    valid: bool
    why: str


def vectors(shared: Path) -> list[Vector]:
    text = (shared / "experience.md").read_text().partition("against these vectors")[2]
    block = text.partition("```json\n")[2].partition("```")[0]
    rows = [json.loads(line) for line in block.splitlines()]
    first = next(row for row in rows if "body" in row)
    return [
        Vector(
            secret=row.get("secret") or row["public_key"],
            id=first["id"],
            timestamp=int(first["timestamp"]),
            signature=row["signature"],
            body=first["body"].encode(),
            valid=row["valid"],
            why=row.get("why", "the first"),
        )
        for row in rows
    ]


def v1(text: str, expires_at: float | None = None) -> SigningKey:
    return SigningKey(V1, parse_secret(text), expires_at)


def signed(*keys: SigningKey, id_: str = "id", body: bytes = b"{}", at: int = NOW) -> str:
    return sign(keys, id_=id_, timestamp=at, body=body, now=at)


def headers(signature: str, *, id_: str = "id", at: int = NOW) -> dict[str, str]:
    return {"webhook-id": id_, "webhook-timestamp": str(at), "webhook-signature": signature}


# The vectors


def test_the_vectors_are_signed_as_agreed(shared: Path) -> None:
    first = vectors(shared)[0]
    assert (
        sign([v1(first.secret)], id_=first.id, timestamp=first.timestamp, body=first.body, now=0)
        == first.signature
    )


def test_while_a_secret_is_rotated_both_sign_the_newest_first(shared: Path) -> None:
    by_why = {vector.why: vector for vector in vectors(shared)}
    rotation, old = by_why["rotation: one of several fits"], by_why["the previous secret"]
    keys = [v1(old.secret), v1(rotation.secret)]
    assert (
        sign(keys, id_=rotation.id, timestamp=rotation.timestamp, body=rotation.body, now=0)
        == rotation.signature
    )


def test_every_vector_is_judged_as_agreed(shared: Path) -> None:
    found = vectors(shared)
    assert len(found) == 6
    for vector in found:
        answer = verify(
            parse(vector.secret),
            headers=headers(vector.signature, id_=vector.id, at=vector.timestamp),
            body=vector.body,
            now=vector.timestamp,
        )
        assert answer.valid == vector.valid, vector.why


def test_vectors_that_are_not_valid_have_reasons_of_their_own(shared: Path) -> None:
    reasons = {
        vector.why: verify(
            parse(vector.secret),
            headers=headers(vector.signature, id_=vector.id, at=vector.timestamp),
            body=vector.body,
            now=vector.timestamp,
        ).reason
        for vector in vectors(shared)
        if not vector.valid
    }
    assert reasons == {"no signature fits": "no_match", "unknown version": "version"}


# The official library

secrets = st.binary(min_size=24, max_size=64)
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
times = st.integers(0, 2**33)


@given(secrets, ids, times, texts)
def test_the_official_library_signs_alike(secret: bytes, id_: str, at: int, text: str) -> None:
    ours = signed(SigningKey(V1, secret), id_=id_, body=text.encode(), at=at)
    assert ours == Webhook(secret).sign(id_, datetime.fromtimestamp(at, UTC), text)


@given(secrets, secrets, ids, texts)
def test_the_official_library_takes_what_we_sign_by_either_of_two_secrets(
    new: bytes, old: bytes, id_: str, text: str
) -> None:
    now = int(datetime.now(UTC).timestamp())
    keys = [SigningKey(V1, new), SigningKey(V1, old)]
    sent = headers(signed(*keys, id_=id_, body=text.encode(), at=now), id_=id_, at=now)
    for key in keys:
        Webhook(secret_text(key)).verify(text, sent, json_parse=False)


def test_the_official_library_refuses_what_another_secret_signed() -> None:
    now = int(datetime.now(UTC).timestamp())
    sent = headers(signed(SigningKey(V1, b"a" * 32), at=now), at=now)
    with pytest.raises(WebhookVerificationError, match="No matching"):
        Webhook(b"b" * 32).verify("{}", sent)


# ed25519


def test_a_v1a_signature_is_ed25519_over_id_time_and_body() -> None:
    key = SigningKey(V1A, SEED)
    version, _, text = signed(key, id_="61f0", body=b'{"a":1}').partition(",")
    assert version == "v1a"
    Ed25519PublicKey.from_public_bytes(public_key(key)).verify(
        base64.b64decode(text), b'61f0.1647510067.{"a":1}'
    )


def test_a_v1a_receiver_is_shown_the_public_key_alone() -> None:
    key = SigningKey(V1A, SEED)
    shown = secret_text(key)
    assert shown.startswith("whpk_")
    assert base64.b64decode(shown.removeprefix("whpk_")) == public_key(key)
    assert base64.b64encode(SEED).decode() not in shown


def test_keys_of_both_schemes_can_sign_one_request() -> None:
    both = signed(SigningKey(V1, SEED), SigningKey(V1A, SEED)).split(" ")
    assert [text.partition(",")[0] for text in both] == ["v1", "v1a"]


# Keys


@pytest.mark.parametrize(("expires_at", "signs"), [(None, True), (NOW + 1, True), (NOW, False)])
def test_a_secret_signs_until_it_expires(expires_at: float | None, signs: bool) -> None:  # noqa: FBT001
    old = SigningKey(V1, b"o" * 32, expires_at)
    new = SigningKey(V1, b"n" * 32)
    alone = signed(new)
    assert signed(new, old) == (
        f"{alone} {signed(old._replace(expires_at=None))}" if signs else alone
    )


def test_what_the_receiver_is_shown_is_the_key_that_signs() -> None:
    key = new_key(V1, entropy=lambda size: bytes(range(size)))
    assert len(key.key) == 32
    assert parse_secret(secret_text(key)) == key.key


@pytest.mark.parametrize("scheme", SignatureScheme)
def test_a_key_never_shows_itself_in_a_repr(scheme: SignatureScheme) -> None:
    key = new_key(scheme, entropy=lambda size: b"K" * size)
    assert "KKK" not in repr(key)
    assert "KKK" not in str([key])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("whsec_", "24 to 64 bytes, this one 0"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "this one 23"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "this one 65"),
        ("whsec_not base64", "base64"),
        ("whsec_AQIDBAUG", "this one 6"),
        ("whsec_plaça", "base64"),
        ("whpk_AAAA", "base64"),
    ],
)
def test_a_secret_that_is_none_says_why(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_secret(text)


@pytest.mark.parametrize("size", [24, 64])
def test_secrets_of_24_to_64_bytes_are_taken_with_and_without_prefix(size: int) -> None:
    text = base64.b64encode(b"x" * size).decode()
    assert parse_secret(text) == parse_secret(f"whsec_{text}") == b"x" * size
