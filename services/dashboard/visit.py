"""One request as a page sees it."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Any, Protocol

from aiohttp import web

from services.control.access import ADMIN, Access, Caller
from services.dashboard.draft import AGAIN, ONCE, TOKEN, AgainError
from services.dashboard.forms import Form
from services.dashboard.navigation import navigation
from services.dashboard.session import Session, Sessions
from services.dashboard.templates import Templates
from services.dashboard.tiles import Source
from services.kernel.clock import Clock
from services.kernel.portal import PortalLink

FORM_SECONDS, WRITE_SECONDS = 30.0, 30.0
URLENCODED = "application/x-www-form-urlencoded"
THEME = "webhooks_theme"
THEMES = ("system", "light", "dark")


class Parameters(dict[str, str]):
    """Of the address; one that isn't there is empty."""

    def __missing__(self, name: str) -> str:
        return ""


class Reply(Protocol):
    """What a resource answered."""

    @property
    def status(self) -> int:
        """As over HTTP."""

    @property
    def headers(self) -> Mapping[str, str]:
        """`ETag`, `Location`."""

    @property
    def body(self) -> Any:  # noqa: ANN401 - JSON
        """Decoded."""


class Stream(Protocol):
    """What a resource answers piece by piece."""

    @property
    def pieces(self) -> AsyncGenerator[bytes, None]:
        """As they go over the wire."""

    @property
    def content_type(self) -> str:
        """Of all of it."""


class Resources(Protocol):
    """`/v1`, in this process. Calls raise what its handlers raise."""

    def admits(self, caller: Caller, route: str) -> bool:
        """Tell whether there is such a route, for *caller*."""

    async def ask(
        self,
        caller: Caller,
        route: str,
        *,
        path: Mapping[str, str],
        query: Mapping[str, str],
        body: object,
        headers: Mapping[str, str],
    ) -> Reply:
        """Return the answer."""

    async def stream(
        self, caller: Caller, route: str, *, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Stream:
        """Return what is answered piece by piece."""


class Visit:
    """Who is here, what they ask for, and how a page answers."""

    def __init__(
        self,
        request: web.Request,
        *,
        caller: Caller | None,
        session: Session | None,
        resources: Resources,
        sessions: Sessions,
        access: Access,
        templates: Templates,
        clock: Clock,
        tiles: Source | None,
    ) -> None:
        self.request = request
        self.tiles = tiles
        """What is drawn under maps."""
        self.session = session or sessions.new()
        """Replaced by what changes it; `app` writes the cookie."""
        self.came_with = session
        self.typed: Mapping[str, str] = {}
        """The form that was sent, once its token was checked; empty fields too, but none of ours."""
        self.several: Mapping[str, Sequence[str]] = {}
        """The same, for fields that come more than once."""
        self.projects: Sequence[Mapping[str, Any]] = ()
        """To choose from; only the operator has a choice."""
        self.known = caller
        self.origins: Sequence[str] = session.origins if session else ()
        """Whose pages may embed the answer."""
        self.token: str | None = None
        """That the form carries, which says whose it is."""
        self.again: str | None = None
        """Where a form was, that is shown again since its session had ended; None: it is to be done."""
        self._once: str | None = None
        self._resources = resources
        self._sessions = sessions
        self._access = access
        self._templates = templates
        self._clock = clock

    @property
    def caller(self) -> Caller:
        """Whoever has signed in; pages that are open have none."""
        assert self.known is not None  # noqa: S101 - `app` has seen to it
        return self.known

    @property
    def now(self) -> datetime:
        """The time."""
        return self._clock.now()

    @property
    def project(self) -> str | None:
        """The project to act for; None: the operator, looking at all of them."""
        if self.caller.project_id is not None:
            return self.caller.project_id
        chosen = self.request.query.get("project_id") or self.session.project
        if chosen is None and len(self.projects) == 1:
            return str(self.projects[0]["id"])  # nobody is asked for a choice that isn't one
        return chosen

    def name_of(self, project_id: str) -> str:
        """Return what the operator calls a project: its id where it has no name, or isn't among them."""
        names = {str(each["id"]): str(each["name"]) for each in self.projects}
        return names.get(project_id) or project_id

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the address, but those that were left empty in a form."""
        return {name: text for name, text in self.request.query.items() if text.strip()}

    @property
    def origin(self) -> str:
        """Scheme and host of this address, for what people copy."""
        return f"{self.request.scheme}://{self.request.host}"

    def may(self, scope: str) -> bool:
        """Tell whether to offer what needs *scope*; the API decides when it is asked for."""
        return scope in self.caller.scopes

    def has(self, route: str) -> bool:
        """Tell whether *route* is answered for who is here: what isn't, no page should offer."""
        return self._resources.admits(self.caller, route)

    async def reply(
        self,
        route: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        once: bool = False,
        **path: str,
    ) -> Reply:
        """Ask a resource; return its answer whole. Raises what the API refuses with.

        *once*: the same form sent twice does it once; the answer is the same again.
        """
        if self.again is not None and not route.startswith("GET "):
            error, self.again = AgainError(self.again), None
            raise error
        if once and self._once is not None:
            headers = {**(headers or {}), "Idempotency-Key": self._key(route, path, body)}
        return await self._resources.ask(
            self.caller,
            route,
            path=path,
            query=query or {},
            body={} if body is None else body,
            headers=headers or {},
        )

    async def ask(
        self,
        route: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        once: bool = False,
        **path: str,
    ) -> Any:  # noqa: ANN401 - JSON
        """Ask a resource; return the JSON that it answers. Raises what the API refuses with."""
        found = await self.reply(route, query=query, body=body, headers=None, once=once, **path)
        return found.body

    def _key(self, route: str, path: Mapping[str, str], body: object) -> str:
        """Return what names a form that was sent; what was changed in it since makes it another."""
        told = repr((route, sorted(path.items()), body)).encode()
        return f"form-{self._once}-{hashlib.sha256(told).hexdigest()[:32]}"

    def scoped(self, query: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return *query* for a list, of the project that was chosen."""
        found = dict(query or {})
        if self.caller.project_id is None and self.project is not None:
            found.setdefault("project_id", self.project)
        return found

    async def stream(
        self, route: str, *, accept: str = "", name: str | None = None
    ) -> web.StreamResponse:
        """Pass on what a resource streams for the parameters of this address, while somebody reads.

        *name* is that of a file to keep it as.
        """
        headers = {"Accept": accept}
        if "Last-Event-ID" in self.request.headers:
            headers["Last-Event-ID"] = self.request.headers["Last-Event-ID"]
        query = self.scoped(self.query)
        found = await self._resources.stream(self.caller, route, query=query, headers=headers)
        response = web.StreamResponse(headers={"Content-Type": found.content_type})
        if name is not None:
            response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        async with aclosing(found.pieces) as pieces:
            with suppress(ConnectionError, TimeoutError):
                await response.prepare(self.request)
                async for piece in pieces:
                    async with asyncio.timeout(WRITE_SECONDS):
                        await response.write(piece)
                await response.write_eof()
        return response

    async def read_form(self) -> None:
        """Take the form that was sent. Raises HTTPException."""
        if self.request.content_type != URLENCODED:
            raise web.HTTPUnsupportedMediaType(text=f"a form is sent as {URLENCODED}")
        async with asyncio.timeout(FORM_SECONDS):
            sent = await self.request.post()
        typed = {name: text for name, text in sent.items() if isinstance(text, str)}
        self.token = typed.pop(TOKEN, None)
        self._once = typed.pop(ONCE, None)
        self.again = typed.pop(AGAIN, None)
        self.typed = typed
        self.several = {name: [str(each) for each in sent.getall(name)] for name in typed}

    async def check_key(self, hashed: bytes) -> None:
        """Raise UnauthorizedError where nobody holds a key with this hash."""
        await self._access.holder(hashed, address=self.request.remote)

    async def link(self, hashed: bytes) -> PortalLink:
        """Return the portal link with this hash. Raises UnauthorizedError where it is over."""
        found = await self._access.visitor(hashed, address=self.request.remote)
        assert found.link is not None  # noqa: S101 - a visitor came through one
        return found.link

    def begin_link(self, link: PortalLink) -> None:
        """Begin a session for whoever has *link*."""
        self.session = self._sessions.of_link(link)
        self.origins = link.origins

    def begin(self, key_hash: bytes | None) -> None:
        """Begin another session, with forms of its own."""
        self.session = self._sessions.new(key_hash=key_hash)

    def render(
        self, template: str, *, status: int = 200, at: str | None = None, **values: object
    ) -> web.Response:
        """Draw a page. A `form` that a template names is empty unless given.

        *at* is where the page is, when it is drawn as the answer to a form that is sent elsewhere.
        """
        if at is not None:
            values |= {"path": at, "here": at}
        text = self._templates.draw(template, {"form": Form(), **self._frame(), **values})
        self.session = self.session._replace(note=None)
        response = web.Response(text=text, status=status, content_type="text/html")
        response.enable_compression()
        return response

    def redirect(self, path: str, *, note: str | None = None) -> web.Response:
        """Go to another page; *note* is said there, once."""
        self.session = self.session._replace(note=note)
        return web.Response(status=303, headers={"Location": path})

    def _frame(self) -> dict[str, Any]:
        """Return what every template may name."""
        theme = self.request.cookies.get(THEME, "system")
        signed_in = self.known is not None
        return {
            "visit": self,
            "path": self.request.path,
            "here": self.request.path_qs,
            "query": Parameters(self.query),
            "navigation": navigation(self.known) if self.known else (),
            "theme": theme if theme in THEMES else "system",
            "project": self.project if signed_in else None,
            "link": self.known.link if self.known else None,
            "is_operator": signed_in and ADMIN in self.caller.scopes,
            "note": self.session.note,
            "token": self._sessions.token(self.session),
            "once": self._sessions.once(),
            "now": self.now,
        }
