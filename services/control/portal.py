"""Portal links: a way in for one customer, to their webhooks alone, for a while.

What a link may ask of the API at all, the table of routes says; which objects exist for it, `Caller`.
"""

import base64
import re
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from services.control.access import TOKEN_PREFIX, Access, Caller, hash_key
from services.control.audit import Audit
from services.control.checks import Checker, kind
from services.control.subscriptions import Subscriptions
from services.kernel.clock import Clock, rfc3339
from services.kernel.errors import NotFoundError
from services.kernel.event import Json
from services.kernel.ids import Entropy, PortalLinkId, ProjectId, is_id, new_id
from services.kernel.portal import LEAST_CONTRAST, Look, PortalLink, contrast, is_colour
from services.kernel.ports.control import PortalLinkStore
from services.kernel.registration import Page

NOUN = "portal_link"
FIELDS = ("project_id", "subscriptions", "scopes", "expires_in", "origins", "theme")
SCOPES = ("read", "manage")
TOKEN_BYTES = 32
MAX_SECONDS = 365 * 86_400
MAX_SUBSCRIPTIONS, MAX_ORIGINS, MAX_URL = 100, 20, 2_048
GROUND = "#ffffff"
"""What the accent must be read on; for dark pages it is made lighter."""
_HOST = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?::[0-9]{1,5})?"
_ORIGIN = re.compile(rf"https://{_HOST}|http://(?:localhost|127\.0\.0\.1)(?::[0-9]{{1,5}})?")
_LOGO = re.compile(rf"https://{_HOST}/[!-~]*")  # its host goes into a header, as it is


class PortalLinks:
    """Make, list and revoke links."""

    def __init__(
        self,
        *,
        store: PortalLinkStore,
        access: Access,
        subscriptions: Subscriptions,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._access = access
        self._subscriptions = subscriptions
        self._audit = audit
        self._clock = clock
        self._entropy = entropy

    async def create(self, caller: Caller, body: object) -> tuple[PortalLink, str]:
        """Make a link; return it with its token, which is never shown again.

        Raises FaultsError, NotFoundError.
        """
        check = Checker("The portal link is not valid", body, known=FIELDS)
        project_id = await self._access.project_for(caller, check.body.get("project_id"))
        among = await self._among(caller, check, project_id)
        scopes = check.choices("scopes", SCOPES, default=SCOPES)
        seconds = check.number("expires_in", least=1, most=MAX_SECONDS)
        if check.body.get("expires_in") is None:
            check.fault("expires_in", "required", "expires_in is required: seconds")
        origins, look = _origins(check), _look(check)
        check.finish()
        secret = base64.urlsafe_b64encode(self._entropy(TOKEN_BYTES)).decode().rstrip("=")
        token, now = TOKEN_PREFIX + secret, self._clock.now()
        link = PortalLink(
            id=PortalLinkId(new_id(now=self._clock.time(), entropy=self._entropy)),
            project_id=project_id,
            subscriptions=among,
            scopes=tuple(dict.fromkeys(("read", *scopes))),
            origins=origins,
            look=look,
            hash=hash_key(token),
            created_by=caller.id,
            created_at=now,
            expires_at=now + timedelta(seconds=seconds or 0),
        )
        async with self._audit.change(caller, NOUN) as change:
            await self._store.add(link)
            change.note("create", link.id, project_id=project_id, after=shown(link))
        return link, token

    async def page(
        self, caller: Caller, *, project_id: str | None, page: Page
    ) -> Sequence[PortalLink]:
        """Return those that the caller may see, newest first; those that are revoked no more."""
        project = caller.project_id
        if project is None and project_id is not None:
            project = ProjectId(project_id)
        elif project_id not in (None, project):
            return []
        return await self._store.page(project, page)

    async def revoke(self, caller: Caller, id_: str) -> None:
        """End a link, and who is in through it, at once. Raises NotFoundError."""
        if not is_id(id_):
            raise NotFoundError("portal link", id_)
        async with self._audit.change(caller, NOUN) as change:
            revoked = await self._store.revoke(
                caller.project_id, PortalLinkId(id_), at=self._clock.now()
            )
            if revoked is None:
                raise NotFoundError("portal link", id_)
            change.note("revoke", id_, project_id=revoked.project_id, before=shown(revoked))

    async def _among(
        self, caller: Caller, check: Checker, project_id: ProjectId
    ) -> tuple[str, ...] | None:
        """Return the subscriptions of a link; None: all. Each must be there, in its project."""
        named = _texts(check, "subscriptions", most=MAX_SUBSCRIPTIONS)
        if named is None:
            return None
        if check.body["subscriptions"] == []:
            message = "name one or more; without the field the link shows all of the project"
            check.fault("subscriptions", "empty", message)
        for n, id_ in named:
            try:
                found = await self._subscriptions.get(caller, id_)
            except NotFoundError as error:
                check.fault(f"subscriptions/{n}", "unknown_subscription", str(error))
                continue
            if found.project_id != project_id:
                message = f"no subscription {id_} in project {project_id}"
                check.fault(f"subscriptions/{n}", "unknown_subscription", message)
        return tuple(dict.fromkeys(id_ for _, id_ in named))


def shown(link: PortalLink) -> Json:
    """Return the link as the API shows it: never its token."""
    return {
        "id": link.id,
        "project_id": link.project_id,
        "subscriptions": None if link.subscriptions is None else list(link.subscriptions),
        "scopes": list(link.scopes),
        "origins": list(link.origins),
        "theme": link.look._asdict(),
        "created_by": link.created_by,
        "created_at": rfc3339(link.created_at),
        "expires_at": rfc3339(link.expires_at),
        "last_used_at": rfc3339(link.last_used_at) if link.last_used_at else None,
    }


def _origins(check: Checker) -> tuple[str, ...]:
    found = _texts(check, "origins", most=MAX_ORIGINS) or []
    for n, text in found:
        if not _ORIGIN.fullmatch(text):
            message = "write an origin as https://app.example.com: no path, no wildcard"
            check.fault(f"origins/{n}", "origin", message)
    return tuple(dict.fromkeys(text for _, text in found))


def _look(check: Checker) -> Look:
    theme = check.body.get("theme")
    if theme is None:
        return Look()
    inner = Checker("", theme, known=Look._fields, pointer="/theme")
    accent = inner.text("accent", longest=7)
    if accent is not None:
        accent = accent.lower()
        if not is_colour(accent):
            inner.fault("accent", "colour", "write a colour as #3451c6")
        elif (ratio := contrast(accent, GROUND)) < LEAST_CONTRAST:
            message = (
                f"on white its contrast is {ratio:.1f} to 1, and text needs"
                f" {LEAST_CONTRAST} to 1: take a darker one"
            )
            inner.fault("accent", "contrast", message)
    logo = inner.text("logo_url", longest=MAX_URL)
    if logo is not None and not _is_logo(logo):
        message = "write the address of a picture as https://cdn.example.com/logo.svg"
        inner.fault("logo_url", "url", message)
    check.faults += inner.faults
    return Look(accent, logo)


def _is_logo(text: str) -> bool:
    return _LOGO.fullmatch(text) is not None and not urlsplit(text).fragment


def _texts(check: Checker, field: str, *, most: int) -> list[tuple[int, str]] | None:
    """Return the strings of an array, each with where it stands; None where there is no array."""
    value = check.body.get(field)
    if value is None:
        return None
    if not isinstance(value, list):
        check.fault(field, "type", f"expected an array, got {kind(value)}")
        return []
    if len(value) > most:
        check.fault(field, "limit", f"{len(value)} entries, {most} are allowed")
    for n, item in enumerate(value):
        if not isinstance(item, str):
            check.fault(f"{field}/{n}", "type", f"expected a string, got {kind(item)}")
    return [(n, item) for n, item in enumerate(value[:most]) if isinstance(item, str)]
