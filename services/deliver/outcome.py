"""How a request ended, from what the client raised. One table; pure."""

import asyncio
import ssl
from typing import NamedTuple

import aiohttp
from aiohttp.http import HttpProcessingError

from services.kernel.attempt import Outcome


class AddressRefusedError(OSError):
    """The address may not be called."""


class Ended(NamedTuple):
    """An outcome, and what happened in a sentence."""

    outcome: Outcome
    error: str


def of_error(error: BaseException) -> Ended:  # noqa: C901, PLR0911, PLR0912 - a table
    """Judge what aiohttp raised. The most specific class comes first."""
    cause = getattr(error, "os_error", None)
    if isinstance(cause, AddressRefusedError) or isinstance(error, AddressRefusedError):
        return Ended(Outcome.BLOCKED, str(cause or error))
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Ended(Outcome.DNS, f"{error.host} has no address: {error.os_error}")
        case aiohttp.ClientConnectorCertificateError():
            return Ended(Outcome.TLS, f"the certificate doesn't verify: {error.certificate_error}")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Ended(Outcome.TLS, f"TLS failed: {error}")
        case aiohttp.ConnectionTimeoutError() | aiohttp.ServerTimeoutError():
            return Ended(Outcome.TIMEOUT, "connecting took too long")
        case asyncio.TimeoutError():
            return Ended(Outcome.TIMEOUT, "took too long")
        case aiohttp.ClientConnectorError(os_error=ConnectionResetError()):
            # Who refuses a connection refuses it; it is reset once it stands, in the handshake.
            return Ended(Outcome.TLS, "the connection was closed during the TLS handshake")
        case aiohttp.ClientConnectorError():
            return Ended(Outcome.CONNECT, f"could not connect: {error.os_error}")
        case aiohttp.ServerDisconnectedError():
            return Ended(Outcome.RESET, "the connection was closed without an answer")
        case HttpProcessingError():
            return Ended(Outcome.RESET, f"the answer is not HTTP: {_first_line(error.message)}")
        case OSError(__cause__=ssl.SSLError() as alert):
            # TLS 1.3: who wants another certificate says so once the connection stands.
            return Ended(Outcome.TLS, f"TLS failed: {_words(alert)}")
        case OSError():
            return Ended(Outcome.RESET, f"the connection broke: {error.strerror or error}")
        case aiohttp.ClientPayloadError():
            return Ended(Outcome.RESET, "the answer broke off")
        case aiohttp.InvalidURL():  # its text would be the URL, query and all
            what = error.description or "it is not a URL"
            return Ended(Outcome.BLOCKED, f"the URL can't be called: {what}")
        case aiohttp.NonHttpUrlClientError():
            return Ended(Outcome.BLOCKED, "the URL can't be called: it isn't http:// or https://")
        case ValueError():
            return Ended(Outcome.BLOCKED, f"the URL can't be called: {error}")
        case _:
            return Ended(Outcome.RESET, f"{type(error).__name__}: {error}")


def _words(alert: ssl.SSLError) -> str:
    """Return what the other side gave as its reason: `certificate required`, `unknown ca`."""
    return (alert.reason or str(alert)).rpartition("ALERT_")[2].replace("_", " ").lower()


def _first_line(message: str) -> str:
    """Return what is said before the excerpt with its pointing caret."""
    return message.partition("\n")[0].rstrip(":")
