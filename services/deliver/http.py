"""The door to the network: one pool of aiohttp connections per process.

Each address is checked right where its socket is made, so we connect to exactly what was checked,
whether it came from DNS or from the URL. Redirects are never followed, proxies from the environment
never used, certificates always verified.

A request is cheap because there is nothing but the exchange itself (`exchange.py`), and no timer per
request: one sweep, ten times a second, cancels requests whose time is up.
"""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from traceback import clear_frames
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http import HttpProcessingError
from aiohttp.resolver import ThreadedResolver

from services.deliver.addresses import AddressPolicy
from services.deliver.exchange import TRIP, Exchanger, Trip, shown
from services.deliver.outcome import AddressRefusedError, Ended, of_error
from services.deliver.tls import Contexts
from services.kernel.attempt import Outcome
from services.kernel.ports.network import Answer
from services.kernel.subscription import ClientCertificate

SWEEP_SECONDS = 0.1
MAX_SOCKETS = 5_000
DNS_TTL_SECONDS = 10


class GuardedClient:
    """Makes requests to receivers. An async context manager; made inside of the running loop."""

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        connect_seconds: float,
        idle_seconds: float,
        response_bytes: int,
        ca_file: str | None = None,
        certificate: tuple[str, str] | None = None,
        sources: Sequence[str] = (),
    ) -> None:
        """*certificate* and its key (PEM files) are shown to receivers who ask for one.

        Requests leave from *sources*: at most one IPv4 and one IPv6 address of this machine. If only one
        kind is given, receivers of the other can't be reached, since requests would leave from elsewhere.

        Raises OSError for files that are no PEM.
        """
        self._policy = policy
        self._sources = {_family(address): address for address in sources}
        self._contexts = Contexts(ca_file=ca_file)
        connector = aiohttp.TCPConnector(
            limit=MAX_SOCKETS,
            keepalive_timeout=idle_seconds,
            ttl_dns_cache=DNS_TTL_SECONDS,
            resolver=_GuardedResolver(policy),
            socket_factory=self._socket,
            ssl=self._contexts.common(certificate),
        )
        self._connector = connector
        self._exchanger = Exchanger(
            connector, connect_seconds=connect_seconds, response_bytes=response_bytes
        )
        self._deadlines: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._sweeping: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._connector.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
        body_seconds: float = 0.0,
        certificate: ClientCertificate | None = None,
    ) -> Answer:
        """Make one request and read the answer up to its cap. Never raises for what a server does."""
        trip = Trip()
        TRIP.set(trip)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._deadlines[task] = self._loop.time() + timeout_seconds
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        try:
            context = None if certificate is None else await self._contexts.of(certificate)
            return await self._exchanger.exchange(
                method,
                url,
                headers=headers,
                body=body,
                trip=trip,
                body_seconds=body_seconds,
                context=context,
            )
        except asyncio.CancelledError:
            if task not in self._late or task.uncancel() > 0:
                raise
            ended = Ended(Outcome.TIMEOUT, f"no complete answer within {timeout_seconds:g} s")
        # RuntimeError: what uvloop raises where a connection is lost while it is made.
        except (
            aiohttp.ClientError,
            HttpProcessingError,
            OSError,
            ValueError,
            RuntimeError,
        ) as error:
            ended = of_error(error)
            _let_go(error)
        finally:
            del self._deadlines[task]
            self._late.discard(task)
        return Answer(
            ended.outcome, None, (), b"", trip.address, ended.error, trip.connect, trip.tls
        )

    def _sweep(self) -> None:
        self._sweeping = None
        now = self._loop.time()
        for task, deadline in self._deadlines.items():
            if deadline <= now and task not in self._late:
                self._late.add(task)
                task.cancel()
        if self._deadlines:
            self._sweeping = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        refused = self._policy.refusal(address[0])
        if refused is not None:
            raise AddressRefusedError(refused)
        trip = TRIP.get()
        if trip is not None:
            trip.address = shown(address[0], address[1])
        made = socket.socket(family=family, type=kind, proto=protocol)
        if self._sources:
            try:
                _leave_from(made, self._sources[family])
            except (KeyError, OSError) as error:
                made.close()
                raise OSError(f"no address to send from reaches {address[0]}: {error}") from error
        return made


def _let_go(error: BaseException) -> None:
    """Clear the frames that *error* came through: they hold it and it holds them.

    Otherwise each connection that fails leaves 50 objects to the garbage collector, which stops the loop
    for a tenth of a second after a thousand of them.
    """
    raised: BaseException | None = error
    seen: set[int] = set()  # who raised it may have chained it in a ring
    while raised is not None and id(raised) not in seen:
        seen.add(id(raised))
        clear_frames(raised.__traceback__)
        raised = raised.__cause__ or raised.__context__


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _leave_from(made: socket.socket, address: str) -> None:
    # The port is chosen on connecting, when the peer is known: otherwise 28,000 sockets are the limit.
    if hasattr(socket, "IP_BIND_ADDRESS_NO_PORT"):
        made.setsockopt(socket.SOL_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
    made.bind((address, 0))


def check_sources(sources: Sequence[str]) -> None:
    """Raise OSError where one of *sources* is no address of this machine."""
    for address in sources:
        with socket.socket(_family(address)) as made:
            try:
                made.bind((address, 0))
            except OSError as error:
                raise OSError(f"{address}: {error.strerror}") from error


class _GuardedResolver(AbstractResolver):
    """Resolves a name once, and leaves out addresses that may not be called."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses that may be called. Raises AddressRefusedError if none may."""
        found = await self._resolver.resolve(host, port, family)
        refusals = [self._policy.refusal(result["host"]) for result in found]
        allowed = [
            result for result, refused in zip(found, refusals, strict=True) if refused is None
        ]
        if found and not allowed:
            raise AddressRefusedError(f"{host} resolves to {refusals[0]}")
        return allowed

    async def close(self) -> None:
        """Close the resolver beneath."""
        await self._resolver.close()


class NameChecker:
    """Tells, before a subscription is stored, whether a host's addresses may be called."""

    def __init__(self, *, policy: AddressPolicy, seconds: float) -> None:
        self._resolver = _GuardedResolver(policy)
        self._seconds = seconds

    async def refusal(self, host: str) -> str | None:
        """Say why *host* may not be called. A name that doesn't resolve yet is no refusal."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._resolver.resolve(host)
        except AddressRefusedError as error:
            return str(error)
        except (OSError, TimeoutError):
            return None
        return None
