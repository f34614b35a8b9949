"""Ends TLS before a Postgres that was built without it: answers SSLRequest, and passes on the rest."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

SSL_REQUEST = bytes.fromhex("00000008 04d2162f")
CHUNK = 1 << 16


@asynccontextmanager
async def tls_before(dsn: str, tls: ssl.SSLContext) -> AsyncIterator[str]:
    """Yield the address of *dsn*'s server behind TLS; who asks for none is let go of."""
    behind = urlsplit(dsn)
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(tls)
                back, on = await asyncio.open_connection(behind.hostname, behind.port)
                writers.add(on)
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pass(reader, on))
                    group.create_task(_pass(back, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    user = behind.netloc.rpartition("@")[0]
    try:
        yield behind._replace(netloc=f"{user}@127.0.0.1:{port}").geturl()
    finally:
        server.close()
        for writer in writers:
            writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
