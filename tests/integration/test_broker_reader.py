"""What a reader of the log does while nobody reads."""

import time
from datetime import timedelta

import pytest
from aiokafka.client import AIOKafkaClient

from services.broker.reader import KafkaLogReader
from tests.support.eventually import eventually
from tests.support.group import a_connection, a_topic, producing

pytestmark = pytest.mark.timeout(90)

WAIT = timedelta(seconds=20)
"""Nothing waits it out: what is read is there."""


async def test_a_reader_that_is_let_alone_soon_fetches_nothing_and_goes_on_when_asked(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched_at: list[float] = []
    send = AIOKafkaClient.send

    async def noted(
        self: AIOKafkaClient, node_id: int, request: object, **options: object
    ) -> object:
        if "Fetch" in type(request).__name__:
            fetched_at.append(time.monotonic())
        return await send(self, node_id, request, **options)

    monkeypatch.setattr(AIOKafkaClient, "send", noted)
    (partition,) = await a_topic(kafka)
    reader = KafkaLogReader(connection=a_connection(kafka), rest_seconds=0.2)
    async with producing(kafka) as producer:
        for n in (0, 1):
            await producer.produce(partition.topic, key=None, value=b"%d" % n)
            batch = (await reader.read({partition: n}, limit=10, wait=WAIT))[partition]
            assert [record.value for record in batch.records] == [b"%d" % n]
            # Ten times a second, while it is read.
            await eventually(lambda: time.monotonic() - fetched_at[-1] > 1)
    await reader.stop()
