"""How values are written: the types of fields, and what is said where one is written otherwise."""

import base64
import re
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import NoDecode

PREFIX = "WEBHOOKS_"
MAX_PORT = 65_535
KEY_BYTES = 32
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(gt=0)]
Words = Annotated[tuple[str, ...], NoDecode]
_BROKER = re.compile(r"(?:\[[0-9a-f:.]+\]|[^\s:\[\]]+)(?::([0-9]{1,5}))?\Z", re.IGNORECASE)


class Section(BaseModel):
    """Fields that belong together; frozen, each with a line of meaning."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


def as_words(text: object) -> object:
    """Return the words of *text*, apart by commas or blanks; what is no text as it is."""
    return tuple(text.replace(",", " ").split()) if isinstance(text, str) else text


def host_and_port(text: str | None) -> str | None:
    """Return *text*, which is where to listen. Raises ValueError."""
    host, _, port = (text or "").rpartition(":")
    if text is not None and not (host and port.isdecimal() and int(port) <= MAX_PORT):
        raise ValueError(f"{text!r} is not host:port, like 127.0.0.1:8080")
    return text


def hosts_and_ports(text: str) -> str:
    """Return *text*, which names brokers. Raises ValueError."""
    for address in text.split(","):
        match = _BROKER.match(address.strip())
        if match is None or int(match[1] or 1) > MAX_PORT:
            raise ValueError(f"{address!r} is not host:port, like kafka-1:9092")
    return text


def postgres_address(dsn: SecretStr) -> SecretStr:
    """Return *dsn*, which names a Postgres. Raises ValueError, which doesn't repeat the password."""
    scheme, found, _ = dsn.get_secret_value().partition("://")
    if not found or scheme not in ("postgresql", "postgres"):
        raise ValueError("not postgresql://user:password@host:port/database")
    return dsn


def check_key(text: str) -> None:
    """Raise ValueError where *text* is no key that secrets are encrypted with."""
    try:
        length = len(base64.b64decode(text, validate=True))
    except ValueError as error:  # binascii's, and that of characters beyond ASCII
        raise ValueError("not base64; `planner-webhooks settings --new-key` prints one") from error
    if length != KEY_BYTES:
        raise ValueError(f"{length} bytes instead of {KEY_BYTES}")


def cidrs(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return *words*, which are networks (CIDR). Raises ValueError."""
    for word in words:
        try:
            (IPv6Network if ":" in word else IPv4Network)(word)
        except ValueError as error:
            raise ValueError(f"{word!r} is not a network like 10.1.0.0/16: {error}") from error
    return words
