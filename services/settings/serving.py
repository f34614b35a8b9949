"""The API, its pages, and the command line, which asks it."""

import re
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from services.settings.values import (
    PREFIX,
    Count,
    Positive,
    Section,
    Words,
    as_words,
    cidrs,
    host_and_port,
)

TILES = r"^https?://[A-Za-z0-9.:\[\]-]+/\S*$"


class Api(Section):
    """The REST API."""

    listen: str = "127.0.0.1:8080"
    """Address and port; port 0 takes a free one."""
    admin_key: SecretStr | None = None
    """Key of the operator; without one nobody has the scope `admin`."""
    max_body_bytes: Count = 5_242_880
    """Larger requests are refused with 413 before they are read whole."""
    idempotency_hours: Positive = 24.0
    key_requests_per_second: Positive = 100.0
    """What one API key may ask of one process, twice as much for a moment; else 429. Not the operator."""
    audit_days: Positive = 365.0
    """How long it is kept who changed what."""
    dry_run_events: Count = 20_000
    """Events of the project after which a dry run of a filter ends."""
    dry_run_seconds: Positive = 5.0
    """Seconds after which it ends; then it says how far it came."""

    _listen = field_validator("listen")(host_and_port)


class Dashboard(Section):
    """Pages for people, served by the API at `/`."""

    enabled: bool = True
    """Whether they are served."""
    session_minutes: Positive = 30.0
    """A session ends after so long without a request; at the latest after 12 hours."""
    public_url: str | None = None
    """Where people open it, `https://hooks.example.com`, if a proxy changes scheme or host."""
    trusted_header: str | None = None
    """Header in which a proxy says who has signed in there; none: people sign in with an API key."""
    trusted_proxies: Words = ()
    """Networks (CIDR) from which that header is believed."""
    trusted_scopes: Words = ("read",)
    """What whoever it names may do, in every project: read, manage, ingest, admin."""
    tile_url: Annotated[str, Field(pattern=TILES)] | None = None
    """Pictures under the map, `https://tiles.example.com/{z}/{x}/{y}.png`; none: it is drawn without."""
    tile_attribution: str = ""
    """What the tiles' owner wants to be said of them, below the map."""

    _split = field_validator("trusted_proxies", "trusted_scopes", mode="before")(as_words)
    _networks = field_validator("trusted_proxies")(cidrs)

    @field_validator("public_url")
    @classmethod
    def _origin(cls, text: str | None) -> str | None:
        if text is not None and not re.fullmatch(r"https?://[^/\s]+/?", text):
            raise ValueError(f"{text!r} is not a scheme and host like https://hooks.example.com")
        return text and text.rstrip("/")

    @field_validator("tile_url")
    @classmethod
    def _tiles(cls, text: str | None) -> str | None:
        missing = [name for name in ("{z}", "{x}", "{y}") if text is not None and name not in text]
        if missing:
            raise ValueError(f"{text!r} lacks {' and '.join(missing)}")
        return text

    @field_validator("trusted_scopes")
    @classmethod
    def _known(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            if word not in ("read", "manage", "ingest", "admin"):
                raise ValueError(f"{word!r} is not one of read, manage, ingest, admin")
        return words

    @model_validator(mode="after")
    def _believed(self) -> Self:
        if self.trusted_header and not self.trusted_proxies:
            raise ValueError(
                f"{PREFIX}DASHBOARD__TRUSTED_HEADER needs {PREFIX}DASHBOARD__TRUSTED_PROXIES:"
                " anybody else could send it too"
            )
        return self


class Cli(Section):
    """Defaults of the command line."""

    api: str = "http://127.0.0.1:8080"
    """Where the API is."""
    key: SecretStr | None = None
    """API key."""
