"""The benchmark's receiver: as little HTTP as will do, so that it is not what is measured.

An event's id carries when it was produced (`event_id`), so the sink knows each latency.
"""

import asyncio
import re
import time
from collections import deque

import orjson

SAMPLES = 500_000
ID = b"\r\nwebhook-id: "  # not planner-webhook-id
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def event_id(number: int) -> str:
    """Return 24 hex: *number*, then now in microseconds."""
    return f"{number:010x}{time.time_ns() // 1000:014x}"


def event_number(id_: str) -> int:
    """Return the number that an id begins with."""
    return int(id_[:10], 16)


def produced_at(id_: str) -> float:
    """Return when an id was made, Unix seconds."""
    return int(id_[10:24], 16) / 1e6


class Sink:
    """Counts POST requests since `GET /reset`: `GET /count` tells how many, `GET /stats` how late too."""

    def __init__(self, *, delay: float) -> None:
        self.delay = delay
        self.count = 0
        self.latencies: deque[float] = deque(maxlen=SAMPLES)

    def stats(self) -> bytes:
        """Return count and percentiles as JSON."""
        found = sorted(self.latencies)
        shown: dict[str, float] = {"count": self.count}
        for name, part in (("p50_ms", 0.5), ("p99_ms", 0.99)):
            shown[name] = round(found[int(len(found) * part)] * 1000, 2) if found else 0
        return orjson.dumps(shown)

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Listen."""
        return await asyncio.get_running_loop().create_server(
            lambda: _Connection(self), host, port, backlog=4096
        )


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP server
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            self._buffer = self._buffer[whole:]
            self._take(head)

    def _take(self, head: bytes) -> None:
        sink = self._sink
        if head.startswith(b"POST"):
            sink.count += 1
            at = head.find(ID) + len(ID)
            sink.latencies.append(time.time() - produced_at(head[at : at + 24].decode()))
            if sink.delay:
                asyncio.get_running_loop().call_later(sink.delay, self._answer, OK)
            else:
                self._answer(OK)
            return
        # A count is asked for all the time while it measures; percentiles are dear, and come at the end.
        body = sink.stats() if head.startswith(b"GET /stats") else b"%d" % sink.count
        if head.startswith(b"GET /reset"):
            sink.count = 0
            sink.latencies.clear()
        self._answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def _answer(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)
