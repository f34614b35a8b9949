"""Who is calling, and what they may."""

import hashlib
import hmac
from typing import NamedTuple

from services.control.checks import kind
from services.control.rates import Rates
from services.kernel.clock import Clock
from services.kernel.errors import Fault, FaultsError, NotFoundError, WebhooksError
from services.kernel.ids import ApiKeyId, ProjectId, is_id
from services.kernel.portal import PortalLink
from services.kernel.ports.control import ApiKeyStore, PortalLinkStore, ProjectStore

SCOPES = ("ingest", "read", "manage")
ADMIN = "admin"
LINK = "portal"
"""Begins the id of whoever comes through a portal link, in the audit too."""
TOKEN_PREFIX = "portal_"  # noqa: S105 - of tokens, and none itself
MIN_LENGTH, MIN_DISTINCT = 16, 8
WORDS = (
    "administrator", "admin", "change", "default", "example", "hooks", "key", "master", "password",
    "planner", "please", "priv", "root", "secret", "test", "token", "web", "0123456789", "123456",
    "abcdef", "qwerty", "this", "me", "-", "_", " ",
)  # fmt: skip


class UnauthorizedError(WebhooksError):
    """No valid key: send `Authorization: Bearer <key>`."""


class ForbiddenError(WebhooksError):
    """This key may not do that."""


class Caller(NamedTuple):
    """Somebody with a valid key."""

    id: str
    """Of the API key; `admin` for the operator; `portal:…` of a portal link."""
    project_id: ProjectId | None
    """None for the operator, who may act for every project."""
    scopes: frozenset[str]
    address: str | None = None
    """Where the request came from."""
    link: PortalLink | None = None
    """Through which they came; None: with a key."""

    @property
    def webhooks(self) -> tuple[str, ...] | None:
        """The subscriptions that exist for this caller; None: all of the project."""
        return None if self.link is None else self.link.subscriptions

    def require(self, scope: str) -> None:
        """Raise ForbiddenError where *scope* is missing."""
        if scope not in self.scopes:
            what = "key" if self.link is None else "link"
            raise ForbiddenError(f"this {what} lacks the scope {scope!r}")

    def may_see(self, project_id: ProjectId) -> bool:
        """Tell whether objects of the project exist for this caller."""
        return self.project_id is None or self.project_id == project_id

    def may_see_of(self, project_id: str, subscription_id: str) -> bool:
        """Tell whether a subscription, and what belongs to it, exists for this caller."""
        among = self.webhooks
        return self.project_id in (None, project_id) and (among is None or subscription_id in among)

    def narrowed(self, subscription_id: str | None) -> tuple[str | None, ...]:
        """Return the subscriptions to ask for where one, or none, is named; (None,): whichever."""
        if self.webhooks is None:
            return (subscription_id,)
        return tuple(id_ for id_ in self.webhooks if subscription_id in (None, id_))

    def the_one(self, subscription_id: str | None, **place: str) -> str | None:
        """Return the subscription that is named, or the only one there is; None: whichever.

        Raises FaultsError at *place* where a link shows several, NotFoundError for another's.
        """
        among = self.narrowed(subscription_id)
        if not among:
            raise NotFoundError("subscription", subscription_id or "")
        if len(among) > 1:
            message = "this link shows several webhooks: name one of them"
            raise FaultsError("No webhook is named", [Fault("required", message, **place)])
        return among[0]


class Access:
    """Turns keys into callers."""

    def __init__(
        self,
        *,
        keys: ApiKeyStore,
        links: PortalLinkStore,
        projects: ProjectStore,
        admin_key: str | None,
        rates: Rates,
        clock: Clock,
    ) -> None:
        self._keys = keys
        self._links = links
        self._projects = projects
        self._admin_hash = hash_key(admin_key) if admin_key else None
        self._rates = rates
        self._clock = clock

    async def caller(self, key: str | None, *, address: str | None) -> Caller:
        """Return who shows *key*, calling from *address*.

        Raises UnauthorizedError, and TooManyRequestsError for all but the operator.
        """
        if not key:
            raise UnauthorizedError
        return await self.holder(hash_key(key), address=address)

    async def holder(self, hashed: bytes, *, address: str | None) -> Caller:
        """Return who holds the key with this hash: all that a session keeps of it.

        Raises as `caller` does, so that a revoked key ends its sessions too.
        """
        if self._admin_hash is not None and hmac.compare_digest(hashed, self._admin_hash):
            return Caller(ADMIN, None, frozenset({ADMIN, *SCOPES}), address)
        found = await self._keys.by_hash(hashed)
        now = self._clock.now()
        if found is None or (found.expires_at is not None and found.expires_at <= now):
            raise UnauthorizedError
        self._rates.take(found.id)
        await self._keys.used(found.id, at=now)
        return Caller(ApiKeyId(found.id), found.project_id, frozenset(found.scopes), address)

    async def visitor(self, hashed: bytes, *, address: str | None) -> Caller:
        """Return who came through the portal link with this hash. Raises as `caller` does."""
        link = await self._links.by_hash(hashed)
        now = self._clock.now()
        if link is None or link.expires_at <= now:
            raise UnauthorizedError
        id_ = f"{LINK}:{link.id}"
        self._rates.take(id_)
        await self._links.used(link.id, at=now)
        return Caller(id_, link.project_id, frozenset(link.scopes), address, link)

    async def anyone(self, shown: str | None, *, address: str | None) -> Caller:
        """Return who shows a key, or the token of a portal link. Raises as `caller` does."""
        if shown and shown.startswith(TOKEN_PREFIX):
            return await self.visitor(hash_key(shown), address=address)
        return await self.caller(shown, address=address)

    async def project_for(
        self, caller: Caller, named: object, *, pointer: str = "/project_id"
    ) -> ProjectId:
        """Return the project to act for: the key's own, or the one that the operator names.

        Raises FaultsError with the one fault at *pointer*; NotFoundError.
        """
        if named is not None and not isinstance(named, str):
            fault = Fault("type", f"expected a string, got {kind(named)}", pointer)
            raise FaultsError("No project is named", [fault])
        if caller.project_id is not None:
            if named is not None and named != caller.project_id:
                raise NotFoundError("project", named)
            return caller.project_id
        if named is None:
            fault = Fault("required", "an admin key must name a project", pointer)
            raise FaultsError("No project is named", [fault])
        if not is_id(named) or await self._projects.get(ProjectId(named)) is None:
            raise NotFoundError("project", named)
        return ProjectId(named)


def weakness(admin_key: str) -> str | None:
    """Say what is weak about the operator's key: it is chosen by a person, and opens everything."""
    if len(admin_key) < MIN_LENGTH:
        return f"is too short: use {MIN_LENGTH} characters or more"
    if len(set(admin_key)) < MIN_DISTINCT:
        return f"has fewer than {MIN_DISTINCT} different characters: use a random one"
    left = admin_key.lower()
    for word in WORDS:
        left = left.replace(word, "")
    if len(left) < MIN_DISTINCT:
        return "is made of words that anybody would try: use a random one"
    return None


def hash_key(key: str) -> bytes:
    """Return what is stored of a key. It has 256 random bits: a slow hash would add nothing."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
