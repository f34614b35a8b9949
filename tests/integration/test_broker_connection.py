"""What aiokafka and uvloop make of a connection that closes in the instant in which it is written to."""

import asyncio

import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from services.broker.connection import Connection


def test_a_connection_that_has_just_closed_is_broken_for_whoever_writes(kafka: str) -> None:
    async def story() -> str:
        client = AIOKafkaClient(**Connection(bootstrap_servers=kafka).options())
        await client.bootstrap()
        try:
            await client.force_metadata_update()
            (connection,) = client._conns.values()
            connection._writer.transport.abort()
            await asyncio.sleep(0)  # uvloop has closed it, and its reader has not run yet
            await connection.send(MetadataRequest([]))
        except KafkaConnectionError as error:
            assert not connection.connected()
            return str(error)
        finally:
            await client.close()
        return "sent"

    assert "the handler is closed" in uvloop.run(story())
