"""Whose form it is, and who a proxy says is here."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from aiohttp import web

from services.control.access import Caller, ForbiddenError
from services.dashboard.session import Session, is_token_of

MAX_NAME = 200


class ElsewhereError(ForbiddenError):
    """This form was sent from another site, and changed nothing."""


class OutdatedError(ForbiddenError):
    """This form belongs to a session that is over, and changed nothing. Go back, reload, send again."""


def check_origin(request: web.Request, public_url: str | None) -> None:
    """Raise ElsewhereError for a form of another site's page. Browsers say where each comes from."""
    origin = request.headers.get("Origin")
    if origin is None:
        # Only where nothing else is said: the token still has to fit.
        if request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none"):
            return
        raise ElsewhereError
    ours = urlsplit(public_url).netloc if public_url else request.host
    if urlsplit(origin).netloc != ours:
        raise ElsewhereError


def check_token(session: Session, token: str | None) -> None:
    """Raise OutdatedError for a form that was not made for this session."""
    if token is None or not is_token_of(session, token):
        raise OutdatedError


class Proxy:
    """A proxy in front of us, where people sign in, and the header in which it says who they are."""

    def __init__(self, *, header: str, networks: Sequence[str], scopes: Sequence[str]) -> None:
        self._header = header
        self._networks = [ip_network(network) for network in networks]
        self._scopes = frozenset(scopes)

    def caller(self, headers: Mapping[str, str], address: str | None) -> Caller | None:
        """Return who it says is here; None where it says nothing, or somebody else does."""
        name = headers.get(self._header, "").strip()
        if not name or not name.isprintable() or len(name) > MAX_NAME or address is None:
            return None
        at = ip_address(address)
        if not any(at in network for network in self._networks if network.version == at.version):
            return None
        return Caller(f"proxy:{name}", None, self._scopes, address)
