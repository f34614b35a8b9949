"""The key that encrypts secrets is rotated while dispatchers deliver; receivers notice nothing."""

import base64
from pathlib import Path

import orjson
import pytest

from services.deliver.verify import parse, verify
from tests.support.certificates import Authority
from tests.support.cluster import SECRETS_KEY, Receiver, a_cluster, receiving
from tests.support.commands import planner_webhooks
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)
NEW = base64.b64encode(b"n" * 32).decode()


def all_valid(receiver: Receiver, secret: str) -> bool:
    verifier = parse(secret)
    return all(
        verify(
            verifier, headers={k.lower(): v for k, v in seen.headers.items()}, body=seen.body,
            now=seen.at,
        ).valid
        for seen in receiver.seen
    )  # fmt: skip


async def test_the_encryption_key_is_rotated_without_a_pause(
    kafka: str, database: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.pair("us.example")
    trusted = {"WEBHOOKS_DELIVER__CA_FILE": str(authority.file)}
    async with (
        receiving(tls=authority.asking()) as receiver,
        a_cluster(kafka, database, tmp_path, settings=trusted) as cluster,
    ):
        made = await cluster.subscribed(
            receiver.url,
            headers={"X-Token": "t"},
            client_certificate={"certificate": certificate, "key": key},
        )
        both = {"WEBHOOKS_SECRETS__KEY": SECRETS_KEY, "WEBHOOKS_SECRETS__PREVIOUS_KEYS": NEW}
        worker = await cluster.start(**both)
        ids = await cluster.produce(20)
        await eventually(lambda: receiver.ids().keys() >= set(ids), within=30)

        swapped = {"WEBHOOKS_SECRETS__KEY": NEW, "WEBHOOKS_SECRETS__PREVIOUS_KEYS": SECRETS_KEY}
        code, out, said = await planner_webhooks(
            "rotate-secrets-key", "--json", environment={**cluster.environment, **swapped}
        )
        assert code == 0, said
        rows = [orjson.loads(line) for line in out.splitlines()]
        done = {row["what"]: row["encrypted anew"] for row in rows}
        assert (done["secrets"], done["headers"], done["certificates"]) == (1, 1, 1)

        ids += await cluster.produce(20)  # the worker reads what the other key encrypted
        await eventually(lambda: receiver.ids().keys() >= set(ids), within=30)
        await cluster.all_committed()  # its last commit is tried once, for a second
        assert await worker.terminate() == 0
        await cluster.start(WEBHOOKS_SECRETS__KEY=NEW)  # the old key is gone for good
        ids += await cluster.produce(20)
        await eventually(lambda: receiver.ids().keys() >= set(ids), within=30)
        assert set(receiver.ids().values()) == {1}
        assert all_valid(receiver, made["secret"])
        assert {(seen.headers["X-Token"], seen.shown) for seen in receiver.seen} == {
            ("t", "us.example")
        }
