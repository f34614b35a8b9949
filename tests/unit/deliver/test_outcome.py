"""How a request ended: one row for each thing that a client may raise."""

import socket
import ssl
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp.http import HttpProcessingError
from yarl import URL

from services.deliver.outcome import AddressRefusedError, of_error
from services.kernel.attempt import Outcome

KEY = SimpleNamespace(host="hooks.example.com", port=443, is_ssl=True, ssl=True)
REFUSED = AddressRefusedError("10.0.0.7 is a private address")
NO_NAME = socket.gaierror(-2, "Name or service not known")
NOBODY = ConnectionRefusedError(111, "Connect call failed")
EXPIRED = ssl.SSLCertVerificationError(1, "certificate has expired")
HANDSHAKE = ssl.SSLError(1, "WRONG_VERSION_NUMBER")
NO_HTTP = HttpProcessingError(
    message="Bad status line:\n  Expected HTTP/, RTSP/ or ICE/:\n\n  b'SSH-2.0'\n    ^",
)


@pytest.mark.parametrize(
    ("error", "outcome", "told"),
    [
        # an address we refuse, wherever it was found out
        (REFUSED, Outcome.BLOCKED, "10.0.0.7 is a private"),
        (aiohttp.ClientConnectorError(KEY, REFUSED), Outcome.BLOCKED, "10.0.0.7 is a private"),
        (aiohttp.ClientConnectorDNSError(KEY, REFUSED), Outcome.BLOCKED, "10.0.0.7 is a private"),
        # the name
        (aiohttp.ClientConnectorDNSError(KEY, NO_NAME), Outcome.DNS, "hooks.example.com has no"),
        # TLS
        (aiohttp.ClientConnectorCertificateError(KEY, EXPIRED), Outcome.TLS, "doesn't verify"),
        (aiohttp.ClientConnectorSSLError(KEY, HANDSHAKE), Outcome.TLS, "WRONG_VERSION"),
        (aiohttp.ClientSSLError(KEY, HANDSHAKE), Outcome.TLS, "WRONG_VERSION"),
        (HANDSHAKE, Outcome.TLS, "WRONG_VERSION"),
        (EXPIRED, Outcome.TLS, "has expired"),
        # time
        (aiohttp.ConnectionTimeoutError("…"), Outcome.TIMEOUT, "connecting took too long"),
        (aiohttp.ServerTimeoutError(), Outcome.TIMEOUT, "took too long"),
        (aiohttp.SocketTimeoutError("…"), Outcome.TIMEOUT, "took too long"),
        (TimeoutError(), Outcome.TIMEOUT, "took too long"),
        # no connection
        (aiohttp.ClientConnectorError(KEY, NOBODY), Outcome.CONNECT, "Connect call failed"),
        (aiohttp.ClientConnectorError(KEY, ConnectionResetError()), Outcome.TLS, "handshake"),
        (
            aiohttp.ClientConnectorError(KEY, OSError(113, "No route to host")),
            Outcome.CONNECT,
            "No route",
        ),
        (
            aiohttp.ClientConnectorError(KEY, TimeoutError(110, "Connection timed out")),
            Outcome.CONNECT,
            "timed out",
        ),
        # a connection that broke
        (aiohttp.ServerDisconnectedError(), Outcome.RESET, "closed without an answer"),
        (aiohttp.ClientOSError(104, "Reset by peer"), Outcome.RESET, "connection broke: Reset"),
        (aiohttp.ClientConnectionResetError("closing transport"), Outcome.RESET, "closing"),
        (ConnectionResetError(104, "Reset by peer"), Outcome.RESET, "connection broke: Reset"),
        (BrokenPipeError(32, "Broken pipe"), Outcome.RESET, "Broken pipe"),
        (aiohttp.ClientPayloadError("…"), Outcome.RESET, "the answer broke off"),
        # an answer that is no HTTP
        (NO_HTTP, Outcome.RESET, "the answer is not HTTP: Bad status line"),
        # a URL that can't be called
        (aiohttp.InvalidURL("https://x:99999/"), Outcome.BLOCKED, "not a URL"),
        (
            aiohttp.InvalidUrlClientError("2130706433", "is not a canonical IPv4 address"),
            Outcome.BLOCKED,
            "not a canonical",
        ),
        (aiohttp.NonHttpUrlClientError(URL("ftp://x/")), Outcome.BLOCKED, "http:// or https://"),
        (UnicodeError("label empty or too long"), Outcome.BLOCKED, "label empty"),
        # what nobody thought of
        (aiohttp.ClientError("odd"), Outcome.RESET, "ClientError: odd"),
        (aiohttp.ClientConnectionError("Connector is closed."), Outcome.RESET, "is closed"),
        (OSError(24, "Too many open files"), Outcome.RESET, "Too many open files"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_way_to_end_has_its_outcome_and_a_sentence(
    error: Exception, outcome: Outcome, told: str
) -> None:
    ended = of_error(error)
    assert (ended.outcome, told in ended.error) == (outcome, True), ended.error
    assert "\n" not in ended.error


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.InvalidURL("https://example.com:99999/?token=hunter2"),
        aiohttp.NonHttpUrlClientError(URL("ftp://example.com/?token=hunter2")),
        aiohttp.ClientConnectorError(KEY, NOBODY),
    ],
)
def test_no_sentence_has_a_query_string(error: Exception) -> None:
    assert "hunter2" not in of_error(error).error
