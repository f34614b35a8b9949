"""A farm of receivers with manners, in a process of its own, that keeps a book of each request.

The path is the receiver: `/<slot>/<personality>`. A line of the book is written when a request has ended:
answered, reset, or given up by who asked. Times are Unix seconds of this process alone, so that they can
be compared without a doubt. `POST /times/bad` and `/times/good` change the times.
"""

import asyncio
import re
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import orjson

from services.dev.manners import MANNERS, TOO_MANY, Asked, Manner
from services.dev.sink import event_number

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
AGENT = re.compile(rb"\r\nUser-Agent: [^\r]*\+([^)\r]*)\)")
FLUSH_SECONDS = 0.1
REASONS = {200: b"OK", 410: b"Gone", TOO_MANY: b"Too Many Requests", 500: b"Internal Server Error"}


class Entry(NamedTuple):
    """One request, once it has ended: a line of the book."""

    slot: int
    numbers: tuple[int, ...]
    """Of its events: one, or a batch's."""
    attempt: int
    worker: str
    """Who sent it: the worker's own `user_agent_url`."""
    replay: str
    sent: int
    """When the sender says it began, Unix seconds: this process may have been kept waiting."""
    began: float
    ended: float
    status: int
    """0: it ended without an answer."""

    def line(self) -> str:
        """Return it as a line."""
        numbers = ",".join(map(str, self.numbers))
        return (
            f"{self.slot}\t{numbers}\t{self.attempt}\t{self.worker}\t{self.replay}"
            f"\t{self.sent}\t{self.began:.6f}\t{self.ended:.6f}\t{self.status}\n"
        )

    @classmethod
    def of(cls, line: str) -> Self:
        """Return what a line says."""
        slot, numbers, attempt, worker, replay, sent, began, ended, status = line.split("\t")
        return cls(
            slot=int(slot),
            numbers=tuple(map(int, numbers.split(","))),
            attempt=int(attempt),
            worker=worker,
            replay=replay,
            sent=int(sent),
            began=float(began),
            ended=float(ended),
            status=int(status),
        )


class Farm:
    """All receivers, and their book."""

    def __init__(self, book: Path) -> None:
        self._book = book.open("a", encoding="ascii")
        self._lines: list[str] = []
        self._began = time.time()
        self._tries: Counter[tuple[int, int]] = Counter()
        self._counts: Counter[int] = Counter()
        self.bad = False

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Listen; write what was seen until cancelled."""
        loop = asyncio.get_running_loop()
        loop.call_later(FLUSH_SECONDS, self._flush, loop)
        return await loop.create_server(lambda: _Connection(self), host, port, backlog=4096)

    def close(self) -> None:
        """Write the last lines."""
        self._book.writelines(self._lines)
        self._book.close()

    def manner(self, slot: int, personality: str, number: int) -> Manner:
        """Return what to do with a request, and count it."""
        asked = Asked(
            number=number,
            tries=self._tries[slot, number],
            before=self._counts[slot],
            seconds=time.time() - self._began,
            bad=self.bad,
        )
        self._tries[slot, number] += 1
        self._counts[slot] += 1
        return MANNERS[personality](asked)

    def note(self, entry: Entry) -> None:
        """Keep what a request came to."""
        self._lines.append(entry.line())

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._book.writelines(self._lines)
        self._book.flush()
        self._lines.clear()
        loop.call_later(FLUSH_SECONDS, self._flush, loop)


class _Connection(asyncio.Protocol):
    """One request at a time, as clients without pipelining make them."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._buffer = b""
        self._open: Entry | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP server
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end]
        length = LENGTH.search(head)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._buffer) >= whole:
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            self._take(head, body)

    def connection_lost(self, _: Exception | None) -> None:
        self._end(0)
        if self._timer is not None:
            self._timer.cancel()

    def _take(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        if path.startswith("/times/"):
            self._farm.bad = path == "/times/bad"
            self._answer(Manner())
            return
        _, slot, personality = path.split("/")
        numbers = _numbers(head, body)
        agent = AGENT.search(head)
        self._open = Entry(
            slot=int(slot),
            numbers=numbers,
            attempt=int(_header(head, b"planner-attempt") or b"1"),
            worker=agent[1].decode() if agent else "",
            replay=_header(head, b"planner-replay").decode(),
            sent=int(_header(head, b"webhook-timestamp")),
            began=time.time(),
            ended=0.0,
            status=0,
        )
        manner = self._farm.manner(int(slot), personality, numbers[0])
        if manner.seconds:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(manner.seconds, self._answer, manner)
        else:
            self._answer(manner)

    def _answer(self, manner: Manner) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if manner.status is None:
            self._end(0)
            transport.abort()
            return
        # Ended first: whatever is sent because of the answer begins after it.
        self._end(manner.status)
        wait = b"" if manner.retry_after is None else b"Retry-After: %d\r\n" % manner.retry_after
        reason = REASONS[manner.status]
        transport.write(
            b"HTTP/1.1 %d %b\r\n%bContent-Length: 0\r\n\r\n" % (manner.status, reason, wait)
        )

    def _end(self, status: int) -> None:
        if self._open is not None:
            self._farm.note(self._open._replace(ended=time.time(), status=status))
            self._open = None


async def set_times(url: str, what: str) -> bool:
    """Tell a farm that times are `good` or `bad`; return whether it has heard."""
    parts = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except OSError:
        return False
    writer.write(f"POST /times/{what} HTTP/1.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return True


def _numbers(head: bytes, body: bytes) -> tuple[int, ...]:
    """Return the numbers of the events, which their ids begin with."""
    if body.startswith(b"["):
        ids = [item["id"] for item in orjson.loads(body)]
    else:
        ids = [_header(head, b"webhook-id").decode()]
    return tuple(map(event_number, ids))


def _header(head: bytes, name: bytes) -> bytes:
    at = head.find(b"\r\n" + name + b": ")
    if at < 0:
        return b""
    at += len(name) + 4
    end = head.find(b"\r\n", at)
    return head[at:] if end < 0 else head[at:end]
