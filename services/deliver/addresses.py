"""Which addresses may be called, and which URLs accepted. Pure.

Everything that isn't public unicast is refused unless a setting allows it, so that nobody can make us
call our own network. Addresses that contain another (IPv4-mapped, NAT64, 6to4) are also judged by the
inner one. A host name is judged by what it resolves to at the time of connecting.
"""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TypeAlias
from urllib.parse import urlsplit

from services.kernel.errors import Fault

Address: TypeAlias = IPv4Address | IPv6Address

SETTING = "WEBHOOKS_DELIVER__ALLOW_NETWORKS"
HTTP_SETTING = "WEBHOOKS_DELIVER__ALLOW_HTTP"
MAX_JUDGED = 4_096
"""Addresses of which the answer is kept: one whose connections fail is asked for again and again."""
MAX_URL = 2048
MAX_HOST, MAX_LABEL = 253, 63
"""The limit of DNS: a longer name can't even be looked up."""

# IANA special-purpose registries, https://www.iana.org/assignments/iana-ipv4-special-registry and
# iana-ipv6-special-registry, beyond what the ipaddress module of Python 3.11 calls private.
_REFUSED: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "an unspecified"),
    ("127.0.0.0/8", "a loopback"),
    ("10.0.0.0/8", "a private"),
    ("172.16.0.0/12", "a private"),
    ("192.168.0.0/16", "a private"),
    ("100.64.0.0/10", "a carrier's shared (CGNAT)"),
    ("169.254.0.0/16", "a link-local (metadata)"),
    ("192.0.0.0/24", "a reserved"),
    ("192.0.2.0/24", "a documentation"),
    ("192.88.99.0/24", "a reserved"),
    ("198.18.0.0/15", "a benchmarking"),
    ("198.51.100.0/24", "a documentation"),
    ("203.0.113.0/24", "a documentation"),
    ("224.0.0.0/4", "a multicast"),
    ("240.0.0.0/4", "a reserved"),
    ("::/128", "an unspecified"),
    ("::1/128", "a loopback"),
    ("64:ff9b:1::/48", "a local NAT64"),
    ("100::/64", "a discard"),
    ("2001::/23", "a reserved"),
    ("2001:db8::/32", "a documentation"),
    ("3fff::/20", "a documentation"),
    ("fc00::/7", "a private"),
    ("fe80::/10", "a link-local"),
    ("fec0::/10", "a private"),
    ("ff00::/8", "a multicast"),
)
_NETWORKS = tuple((ipaddress.ip_network(text), what) for text, what in _REFUSED)
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*\.?\Z", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?\Z")


class AddressPolicy:
    """What this installation may call."""

    def __init__(self, *, allow_networks: Iterable[str] = (), allow_http: bool = False) -> None:
        self._allowed = tuple(ipaddress.ip_network(text) for text in allow_networks)
        self._allow_http = allow_http
        self._judged = lru_cache(MAX_JUDGED)(self._judge)

    def refusal(self, text: str) -> str | None:
        """Say why the address *text* may not be connected to; None if it may."""
        return self._judged(text)

    def _judge(self, text: str) -> str | None:
        address = ipaddress.ip_address(text.partition("%")[0])
        if self._is_allowed(address):
            return None
        for seen in (address, *_within(address)):
            what = _refused(seen)
            if what is not None and not self._is_allowed(seen):
                inside = "" if seen == address else f" ({seen} within)"
                return f"{address}{inside} is {what} address; allow it with {SETTING}"
        return None

    def url_faults(self, url: object, *, pointer: str) -> list[Fault]:
        """Return what is wrong with *url* as a receiver's, without resolving its name."""
        if not isinstance(url, str):
            return [Fault("type", "expected a string", pointer)]
        if len(url) > MAX_URL:
            return [Fault("limit", f"{len(url)} characters, {MAX_URL} are allowed", pointer)]
        if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            message = "a URL has printable ASCII characters alone: encode the others"
            return [Fault("url", message, pointer)]
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            return [Fault("url", f"not a URL: {error}", pointer)]
        found = []
        if parts.scheme == "http" and not self._allow_http:
            message = f"write https://; plain http is allowed only with {HTTP_SETTING}"
            found.append(Fault("scheme", message, pointer))
        elif parts.scheme not in ("http", "https"):
            found.append(Fault("scheme", "write https://…", pointer))
        if "@" in parts.netloc:
            message = "no user info in the URL: use a static header for credentials"
            found.append(Fault("userinfo", message, pointer))
        if "#" in url:
            found.append(Fault("fragment", "a fragment is never sent: leave it out", pointer))
        if port == 0:
            found.append(Fault("port", "port 0 can't be connected to", pointer))
        return found + self._host_faults(parts.hostname or "", pointer)

    def _host_faults(self, host: str, pointer: str) -> list[Fault]:
        if not host:
            return [Fault("host", "the URL has no host", pointer)]
        literal = _literal(host)
        if literal is not None:
            refused = self.refusal(literal)
            return [Fault("refused_address", refused, pointer)] if refused else []
        if _NUMERIC.match(host):
            message = f"{host} is a disguised address: write it as four decimal numbers"
            return [Fault("refused_address", message, pointer)]
        name = host.rstrip(".")
        if (
            not _HOST.match(host)
            or len(name) > MAX_HOST
            or len(max(name.split("."), key=len)) > MAX_LABEL
        ):
            return [Fault("host", f"{host!r} is not a host name", pointer)]
        if name == "localhost" or name.endswith(".localhost"):
            refused = self.refusal("127.0.0.1")
            return [Fault("refused_address", refused, pointer)] if refused else []
        return []

    def _is_allowed(self, address: Address) -> bool:
        return any(
            address.version == network.version and address in network for network in self._allowed
        )


def _literal(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host.partition("%")[0] if ":" in host else host))
    except ValueError:
        return None


def _refused(address: Address) -> str | None:
    """Return what kind of address this is if it isn't public unicast."""
    for network, what in _NETWORKS:
        if address.version == network.version and address in network:
            return what
    if address.version == 4 or address in _GLOBAL_UNICAST or _within(address):  # noqa: PLR2004
        return None
    return "a reserved"


def _within(address: Address) -> list[IPv4Address]:
    """Return the addresses that *address* contains. Teredo, which contains two, is refused anyway."""
    if isinstance(address, IPv4Address):
        return []
    found: list[IPv4Address] = []
    if address.ipv4_mapped is not None:
        found.append(address.ipv4_mapped)
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    packed = int(address) & 0xFFFF_FFFF
    if address in _NAT64 or (int(address) >> 32 == 0 and packed > 1):
        found.append(IPv4Address(packed))
    return found
