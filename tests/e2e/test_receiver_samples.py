"""The samples that integrators copy: they take what we send, and refuse what we didn't."""

import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from services.deliver.addresses import AddressPolicy
from services.deliver.http import GuardedClient
from services.deliver.send import SigningSender
from services.deliver.signing import new_key, secret_text, sign
from services.kernel.clock import SystemClock
from services.kernel.delivery import Delivery
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.subscription import SignatureScheme, SigningKey, Subscription
from tests.support.eventually import eventually
from tests.support.factories import PARTITION, PROJECT, Position
from tests.support.samples import SAMPLES, Running, running

VECTORS = Path(__file__).with_name("receiver_vectors.jsonl")
OLD = new_key(SignatureScheme.V1, entropy=lambda n: bytes(range(101, 101 + n)))
KEY = new_key(SignatureScheme.V1, entropy=lambda n: bytes(range(1, 1 + n)))
PAIR = new_key(SignatureScheme.V1A, entropy=lambda n: bytes(range(n)))
ID = "61f0a446c97efa37d4831111"
BODY = json.dumps(
    {"id": ID, "type": "stop.report.completed", "data": {"name": "plaça", "n": [1, 2.5]}},
    ensure_ascii=False,
    separators=(",", ":"),
).encode()

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.parametrize("name", SAMPLES),
]


class Vector(NamedTuple):
    secret: str
    headers: dict[str, str]
    body: bytes
    valid: bool
    why: str


OURS = ("no signature fits", "timestamp too old", "timestamp ahead", "header missing")
LIBRARYS = (
    "no matching signature found",
    "message timestamp too old",
    "message timestamp too new",
    "missing required headers",
)


def without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


def vectors() -> list[Vector]:
    found, first = [], {}
    for line in VECTORS.read_text(encoding="utf-8").splitlines():
        given = json.loads(line)
        first = first or given
        names = ("id", "timestamp", "signature")
        found.append(
            Vector(
                secret=given.get("secret") or given["public_key"],
                headers={f"webhook-{name}": given.get(name, first[name]) for name in names},
                body=first["body"].encode(),
                valid=given["valid"],
                why=given.get("why", ""),
            )
        )
    return found


def headers(*, at: float | None = None, body: bytes = BODY, id_: str = ID) -> dict[str, str]:
    now = time.time()
    timestamp = int(now if at is None else at)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign([KEY], id_=id_, timestamp=timestamp, body=body, now=now),
        "planner-webhook-id": "5e208446c97efa37d4830b0c",
        "content-type": "application/json; charset=utf-8",
    }


async def test_the_vectors_are_told_apart(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    if sample.library:
        pytest.skip("the library verifies, with its own clock; the vectors are of 2022")
    tried = [v for v in vectors() if sample.public_keys or v.secret.startswith("whsec_")]
    for secret in dict.fromkeys(vector.secret for vector in tried):
        async with running(name, tmp_path, secret=secret, patient=True) as receiver:
            for vector in tried:
                if vector.secret == secret:
                    status, text = await receiver.post(vector.body, vector.headers)
                    assert (status, text) == (
                        (204, "") if vector.valid else (401, "no signature fits")
                    ), vector.why


async def test_what_was_changed_on_the_way_is_refused_with_its_own_reason(
    name: str, tmp_path: Path
) -> None:
    changed, old, ahead, absent = LIBRARYS if SAMPLES[name].library else OURS
    async with running(name, tmp_path, secret=secret_text(KEY)) as receiver:
        good = headers()
        for body, made, why in (
            (BODY[:-1] + b" }", good, changed),
            (json.dumps(json.loads(BODY)).encode(), good, changed),
            (BODY, {**good, "webhook-id": "61f0a446c97efa37d4832222"}, changed),
            (BODY, -301, old),
            (BODY, 320, ahead),
            (BODY, without(good, "webhook-id"), absent),
            (BODY, without(good, "webhook-timestamp"), absent),
            (BODY, without(good, "webhook-signature"), absent),
        ):
            # As of posting: when the last goes out, the first has taken seconds on a busy machine.
            given = headers(at=time.time() + made) if isinstance(made, int) else made
            status, text = await receiver.post(body, given)
            assert (status, text.lower()) == (401, why), given
        for signature in ("v1", "v1,", "nonsense, v1,§§§ v1a,AAAA", "," * 5_000):
            status, _ = await receiver.post(BODY, {**good, "webhook-signature": signature})
            assert status == 401, signature
        assert not receiver.handled(ID)
        assert await receiver.post(BODY, headers(at=time.time() - 280)) == (204, "")
        await eventually(lambda: receiver.handled(ID) == 1)


async def test_a_request_of_ours_is_taken_once_per_webhook_and_replay(
    name: str, tmp_path: Path, sender: SigningSender
) -> None:
    async with running(name, tmp_path, secret=secret_text(KEY)) as receiver:
        await sent(sender, receiver)
        await sent(sender, receiver, number=2)  # the answer was lost: the same id comes again
        await eventually(lambda: receiver.handled(ID) == 1)
        await sent(sender, receiver, webhook="5e208446c97efa37d4830bff")
        await sent(sender, receiver, replay="5e208446c97efa37d4830ccc")
        await eventually(lambda: receiver.handled(ID) == 3)


async def test_a_secret_can_be_rotated_under_it(
    name: str, tmp_path: Path, sender: SigningSender
) -> None:
    async with running(name, tmp_path, secret=secret_text(OLD)) as receiver:
        await sent(sender, receiver, keys=(KEY, OLD))
        await eventually(lambda: receiver.handled(ID) == 1)


@pytest.fixture
async def sender() -> AsyncIterator[SigningSender]:
    policy = AddressPolicy(allow_networks=("127.0.0.0/8",), allow_http=True)
    async with GuardedClient(
        policy=policy, connect_seconds=5, idle_seconds=5, response_bytes=65_536
    ) as client:
        yield SigningSender(
            client=client, clock=SystemClock(), user_agent="Planner-Webhooks/test",
            randbytes=os.urandom,
        )  # fmt: skip


async def sent(
    sender: SigningSender,
    receiver: Running,
    *,
    webhook: str = "5e208446c97efa37d4830b0c",
    keys: tuple[SigningKey, ...] = (KEY,),
    number: int = 1,
    replay: str | None = None,
) -> None:
    """Have our own sender make a request; it is acknowledged."""
    subscription = Subscription(
        id=SubscriptionId(webhook), project_id=ProjectId(PROJECT), url=receiver.url,
        types=("*",), keys=keys,
    )  # fmt: skip
    delivery = Delivery(
        position=Position(PARTITION, 7), epoch=1, subscription_id=subscription.id, event_id=ID,
        type="stop.report.completed", body=BODY, content_type="application/json; charset=utf-8",
        key=None, project_id=PROJECT, timestamp_ms=0, number=number, replay=replay,
    )  # fmt: skip
    attempt = await sender.deliver(delivery, subscription)
    assert (attempt.status, attempt.error) == (204, None)
