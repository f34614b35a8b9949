"""What we verify, and what we show: one SSL context for all, and one per certificate of a subscription.

A context holds the trusted authorities as well: 0.9 MB and 30 ms of CPU each, spent in a thread. Those
used last are kept. Connections belong to a context, so that none is used for another certificate.
"""

import asyncio
import os
import ssl
from collections import OrderedDict
from typing import Any

from services.deliver.exchange import TRIP
from services.kernel.subscription import ClientCertificate

MAX_CONTEXTS = 128


class Contexts:
    """Makes contexts and keeps some. *ca_file* has further authorities, PEM."""

    def __init__(self, *, ca_file: str | None, most: int = MAX_CONTEXTS) -> None:
        self._most = most
        self._ca_file = ca_file
        self._verify_flags = ssl.create_default_context().verify_flags  # stricter in newer Pythons
        self._kept: OrderedDict[ClientCertificate, ssl.SSLContext] = OrderedDict()
        self._making = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def common(self, certificate: tuple[str, str] | None) -> ssl.SSLContext:
        """Return the one for all; *certificate* are the files of our own and its key.

        Raises OSError for files that are no PEM.
        """
        made = self._made()
        if certificate is not None:
            made.load_cert_chain(*certificate)
        return made

    async def of(self, certificate: ClientCertificate) -> ssl.SSLContext:
        """Return that which shows *certificate*. Raises ssl.SSLError where OpenSSL takes it no more."""
        found = self._kept.get(certificate)
        if found is None:
            async with self._making:  # of many requests at once the first one makes it
                found = self._kept.get(certificate)
                if found is None:
                    found = await asyncio.to_thread(self._showing, certificate)
                    self._keep(certificate, found)
        else:
            self._kept.move_to_end(certificate)
        return found

    def _keep(self, certificate: ClientCertificate, context: ssl.SSLContext) -> None:
        self._kept[certificate] = context
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def _showing(self, certificate: ClientCertificate) -> ssl.SSLContext:
        made = self._made()
        show(made, certificate.certificate, certificate.key)
        return made

    def _made(self) -> ssl.SSLContext:
        made = _TimedContext(ssl.PROTOCOL_TLS_CLIENT)
        made.load_default_certs()
        made.verify_flags = self._verify_flags
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._ca_file is not None:
            made.load_verify_locations(self._ca_file)
        return made


def show(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Have *context* show a certificate, PEM. Blocks for some ms. Raises ssl.SSLError.

    OpenSSL's Python door takes files alone: this one is memory, and never on a disk.
    """
    file = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(file, f"{certificate}\n{key}".encode())
        context.load_cert_chain(f"/proc/self/fd/{file}", password=_no_password)
    finally:
        os.close(file)


def _no_password() -> str:
    """Answer in place of the terminal, where OpenSSL would ask otherwise."""
    return ""


class _TimedContext(ssl.SSLContext):
    """Notes when the connection stands and TLS begins: what a loop calls first is `wrap_bio`."""

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:  # noqa: ANN401 - as given
        trip = TRIP.get()
        if trip is not None:
            trip.tls_began = asyncio.get_running_loop().time()
        return super().wrap_bio(*arguments, **named)
