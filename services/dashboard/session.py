"""A session is a sealed cookie: whose key, the project chosen, the secret of its forms.

Nothing is stored. It holds the hash of an API key or of a portal link's token, which is looked up at
every request: revoking it ends the session. Only the session of a link that names origins is sent
along from inside another site's page, and by browsers that keep it apart for each such site.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

import orjson
from aiohttp import web

from services.kernel.clock import Clock
from services.kernel.ids import Entropy
from services.kernel.portal import PortalLink

COOKIE = "webhooks_session"
EMBEDDED = "webhooks_portal"
"""Of a session that lives in another site's page: browsers keep it apart for each of those."""
LONGEST = timedelta(hours=12)
TOKEN_BYTES = 24
ONCE_BYTES = 15
RENEW = 0.75
"""Of its length that is left: then the cookie is written anew."""


class Box(Protocol):
    """Seals text with the installation's key."""

    def seal(self, plain: bytes) -> str:
        """Return what only `open` can read, of characters that a cookie may have."""

    def open(self, sealed: str) -> bytes | None:
        """Return what was sealed; None for what wasn't, or was with a key that is gone."""


class Session(NamedTuple):
    """Who is here, as their cookie says."""

    secret: str
    """Of its forms."""
    began: float
    ends: float
    key_hash: str | None = None
    """Hex, of an API key or a link's token; None before, or where a proxy says who it is."""
    project: str | None = None
    """That the operator has chosen; None: all of them."""
    note: str | None = None
    """Said once, on the next page."""
    until: float | None = None
    """Where it was begun by a portal link: the end of that."""
    origins: Sequence[str] = ()
    """Whose pages may embed it."""

    @property
    def is_of_link(self) -> bool:
        """Tell whether it was begun by a portal link."""
        return self.until is not None


class Sessions:
    """Reads and writes sessions."""

    def __init__(
        self, *, box: Box, clock: Clock, entropy: Entropy, minutes: float, secure: bool
    ) -> None:
        self._box = box
        self._clock = clock
        self._entropy = entropy
        self._idle = timedelta(minutes=minutes).total_seconds()
        self._secure = secure

    def new(self, *, key_hash: bytes | None = None) -> Session:
        """Return a fresh one: nobody's who hasn't shown a key."""
        secret = base64.b64encode(self._entropy(TOKEN_BYTES)).decode()
        now = self._clock.time()
        return Session(secret, now, now + self._idle, key_hash.hex() if key_hash else None)

    def of_link(self, link: PortalLink) -> Session:
        """Return a fresh one for who came through *link*: it ends as the link does."""
        session = self.new(key_hash=link.hash)
        return session._replace(until=link.expires_at.timestamp(), origins=link.origins)

    def read(self, request: web.Request) -> Session | None:
        """Return the one of a request; None where there is none, or it is over."""
        for name in (EMBEDDED, COOKIE):
            plain = self._box.open(request.cookies.get(name, ""))
            if plain is not None:
                session = Session(**orjson.loads(plain))
                if session.ends > self._clock.time():
                    return session
        return None

    def is_due(self, session: Session) -> bool:
        """Tell whether the end of a session that goes on should be moved: not at every request."""
        return session.ends - self._clock.time() < self._idle * RENEW

    def write(
        self, response: web.StreamResponse, session: Session, request: web.BaseRequest
    ) -> None:
        """Put *session* on the response to *request*, its end moved."""
        now = self._clock.time()
        ends = session.began + LONGEST.total_seconds()
        ends = min(ends, now + self._idle if session.until is None else session.until)
        sealed = self._box.seal(orjson.dumps(session._replace(ends=ends)._asdict()))
        name, other = (EMBEDDED, COOKIE) if session.origins else (COOKIE, EMBEDDED)
        self._set(response, name, sealed, seconds=max(0, int(ends - now)), request=request)
        if other in request.cookies:  # or there would be two sessions
            self._set(response, other, "", seconds=0, request=request)

    def _set(
        self,
        response: web.StreamResponse,
        name: str,
        text: str,
        *,
        seconds: int,
        request: web.BaseRequest,
    ) -> None:
        if name == EMBEDDED:
            # By hand: before Python 3.14 the library knows no partitions.
            attributes = f"Max-Age={seconds}; Path=/; HttpOnly; Secure; SameSite=None; Partitioned"
            response.headers.add("Set-Cookie", f"{name}={text}; {attributes}")
            return
        response.set_cookie(
            name,
            text,
            max_age=seconds,
            path="/",
            httponly=True,
            samesite="Lax",
            secure=request.secure or self._secure,
        )

    def token(self, session: Session) -> str:
        """Return what a form carries: another text each time, so that compression tells nothing."""
        secret = base64.b64decode(session.secret)
        pad = self._entropy(len(secret))
        masked = bytes(a ^ b for a, b in zip(pad, secret, strict=True))
        return base64.urlsafe_b64encode(pad + masked).decode()

    def once(self) -> str:
        """Return what tells the forms of one page from those of all others: sent twice, done once."""
        return base64.urlsafe_b64encode(self._entropy(ONCE_BYTES)).decode()


def is_token_of(session: Session, token: str) -> bool:
    """Tell whether a form that carries *token* was made for *session*."""
    secret = base64.b64decode(session.secret)
    try:
        both = base64.urlsafe_b64decode(token)
    except (binascii.Error, ValueError):
        return False
    if len(both) != 2 * len(secret):
        return False
    pad, masked = both[: len(secret)], both[len(secret) :]
    return hmac.compare_digest(secret, bytes(a ^ b for a, b in zip(pad, masked, strict=True)))
