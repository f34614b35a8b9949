"""A receiver that lets known certificates in alone: each webhook shows its own."""

from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.cluster import a_cluster, receiving
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)


async def test_a_webhook_shows_its_certificate_and_a_new_one_from_the_next_request_on(
    kafka: str, database: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "authority")
    first, second = (
        dict(zip(("certificate", "key"), authority.pair(name), strict=True))
        for name in ("first.example", "second.example")
    )
    trusted = {"WEBHOOKS_DELIVER__CA_FILE": str(authority.file)}
    async with (
        receiving(tls=authority.asking()) as receiver,
        a_cluster(kafka, database, tmp_path, settings=trusted) as cluster,
    ):
        probe = "/v1/subscriptions/probe"
        body = {"url": f"{receiver.url}/probed", "client_certificate": first}
        assert (await cluster.call("POST", probe, body))["status"] is not None
        del body["client_certificate"]
        assert (await cluster.call("POST", probe, body))["status"] is None, "it lets nobody in"
        made = await cluster.subscribed(f"{receiver.url}/ours", client_certificate=first)
        nobody = await cluster.subscribed(f"{receiver.url}/nobody", retry_schedule=[])
        tested = await cluster.call("POST", f"/v1/subscriptions/{made['id']}/test", {})
        assert (tested["outcome"], tested["status"]) == ("ok", 200)
        await cluster.start()
        ids = await cluster.produce(5)
        await eventually(lambda: receiver.ids("/ours").keys() >= set(ids), within=30)
        assert {seen.shown for seen in receiver.seen} == {"first.example"}

        path = f"/v1/subscriptions/{made['id']}"
        changed = await cluster.call("PATCH", path, {"client_certificate": second})
        assert changed["client_certificate"]["subject"] == "CN=second.example"

        async def heard() -> bool:
            (id_,) = await cluster.produce(1)
            await eventually(lambda: id_ in receiver.ids("/ours"), within=30)
            return receiver.seen[-1].shown == "second.example"

        await eventually(heard, within=30)
        before = len(receiver.seen)
        ids = await cluster.produce(5)
        await eventually(lambda: receiver.ids("/ours").keys() >= set(ids), within=30)
        assert {seen.shown for seen in receiver.seen[before:]} == {"second.example"}

        async def refused() -> bool:
            rows = await cluster.fetch(
                "select outcome from dead_letters where subscription_id = $1", nobody["id"]
            )
            return [row["outcome"] for row in rows] == ["reset"] * len(cluster.produced)

        await eventually(refused, within=30)
        assert receiver.ids("/nobody") == {}
        for process in cluster.processes:
            assert "PRIVATE KEY" not in process.log.read_text()
