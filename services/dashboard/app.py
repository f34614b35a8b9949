"""Routes become handlers: who is here, is this form ours, which page; and errors as pages."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from services.control.access import ADMIN, Access, Caller, UnauthorizedError
from services.dashboard import draft
from services.dashboard.assets import assets
from services.dashboard.guard import OutdatedError, Proxy, check_origin, check_token
from services.dashboard.routes import ROUTES, Route
from services.dashboard.session import Sessions
from services.dashboard.templates import Templates
from services.dashboard.theme import sheet
from services.dashboard.tiles import Source
from services.dashboard.views.session import LEFT, LIVE, asking, sign_in_at
from services.dashboard.visit import Resources, Visit
from services.kernel.clock import Clock

SAME_ORIGIN = "same-origin"
"""Who is told whence somebody comes. Not `no-referrer`: browsers would send forms with `Origin: null`."""
FOR_GOOD = "public, max-age=31536000, immutable"
NOBODY = "'none'"
SIGN_IN, MAP = "/sign-in", "/map"
OVER = "Your session has ended: paste the key once more. What you sent is kept, but for secrets."
STALE = "This page was open for too long: paste the key once more."
SWITCHER = 200
"""Projects that the switcher offers."""

Serving: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
VISIT: web.RequestKey[Visit] = web.RequestKey("visit", Visit)


class Problem(Protocol):
    """Why something was refused, in the API's own words."""

    @property
    def status(self) -> int:
        """As over HTTP."""

    @property
    def title(self) -> str:
        """What is wrong, in a few words."""

    @property
    def detail(self) -> str:
        """A sentence."""


class Dashboard:
    """Serves pages."""

    def __init__(
        self,
        *,
        resources: Resources,
        access: Access,
        sessions: Sessions,
        proxy: Proxy | None,
        public_url: str | None,
        clock: Clock,
        tiles: Source | None,
    ) -> None:
        self._tiles = tiles
        self._resources = resources
        self._access = access
        self._sessions = sessions
        self._proxy = proxy
        self._public_url = public_url
        self._clock = clock
        self._templates = Templates()

    def routes(self) -> Iterator[tuple[str, str, Serving]]:
        """Yield method, path and handler of everything."""
        yield "GET", "/static/{name}", self._static
        yield "GET", "/theme/{name}", self._theme
        for route in ROUTES:
            yield route.method, route.path, self._serving(route)

    def refused(self, request: web.Request, error: Exception, problem: Problem) -> web.Response:
        """Return the page of an error."""
        visit = request.get(VISIT) or self._visit(request, None)
        if isinstance(error, UnauthorizedError):
            response = self._let_in(visit)
        elif isinstance(error, OutdatedError):
            response = self._outdated(visit, problem)
        elif isinstance(error, draft.AgainError):
            response = visit.redirect(draft.safe(error.at), note=draft.NOTE)
        else:
            response = visit.render("error.html", status=problem.status, problem=problem)
        self._end(visit, response)
        return response

    def _let_in(self, visit: Visit) -> web.Response:
        """Say how to get in: with another link, where they had one; else with a key."""
        path = visit.request.path
        left = path == LEFT
        if left or path.startswith(f"{LEFT}/") or visit.session.is_of_link:
            return visit.render("portal_over.html", status=200 if left else 401, left=left)
        if path == LIVE:  # whoever listens follows no redirect to a page
            return asking(visit, draft.HOME, status=401)
        if visit.token is None:
            return visit.redirect(sign_in_at(visit))
        late = _late(visit)
        return asking(visit, late.at, late, fault=OVER, status=401)

    def _outdated(self, visit: Visit, problem: Problem) -> web.Response:
        """Show a form again that was made for another session of the same browser."""
        late = _late(visit)
        if visit.request.path == SIGN_IN:
            late_before = draft.read(visit.typed.get("draft"))
            goal = draft.safe(visit.typed.get("next"))
            return asking(visit, goal, late_before, fault=STALE, status=problem.status)
        if visit.known is None or not late.fields:
            return visit.render("error.html", status=problem.status, problem=problem)
        return visit.render("again.html", status=problem.status, draft=late)

    def _serving(self, route: Route) -> Serving:
        async def serve(request: web.Request) -> web.StreamResponse:
            visit = self._visit(request, None)
            request[VISIT] = visit
            with suppress(UnauthorizedError):
                visit.known = await self._caller(visit)
            if route.method == "POST":
                check_origin(request, self._public_url)
                await visit.read_form()
            if visit.known is None and not route.open:
                raise UnauthorizedError
            if route.method == "POST":
                check_token(visit.session, visit.token)
            if visit.known is not None and ADMIN in visit.known.scopes:
                found = await visit.ask("GET /v1/projects", query={"limit": str(SWITCHER)})
                visit.projects = found["data"]
            response = await route.page(visit)
            if not response.prepared:
                self._end(visit, response)
            return response

        return serve

    def _visit(self, request: web.Request, caller: Caller | None) -> Visit:
        return Visit(
            request,
            caller=caller,
            session=self._sessions.read(request),
            resources=self._resources,
            sessions=self._sessions,
            access=self._access,
            templates=self._templates,
            clock=self._clock,
            tiles=self._tiles,
        )

    async def _caller(self, visit: Visit) -> Caller | None:
        """Return who is here: whose link they opened, as the proxy says, whose key the session has."""
        request, session = visit.request, visit.session
        if session.is_of_link and session.key_hash is not None:
            hashed = bytes.fromhex(session.key_hash)
            return await self._access.visitor(hashed, address=request.remote)
        if self._proxy is not None:
            caller = self._proxy.caller(request.headers, request.remote)
            if caller is not None:
                return caller
        if session.key_hash is None:
            return None
        hashed = bytes.fromhex(session.key_hash)
        return await self._access.holder(hashed, address=request.remote)

    def _end(self, visit: Visit, response: web.StreamResponse) -> None:
        """Put on a response what all have."""
        link = visit.known.link if visit.known else None
        logo = link.look.logo_url if link else None
        tiles = self._tiles if visit.request.path == MAP else None
        response.headers["Content-Security-Policy"] = policy(visit.origins, logo, tiles)
        response.headers["Referrer-Policy"] = SAME_ORIGIN
        # Only what changed: an answer in the background must not undo what a form did meanwhile.
        if visit.session != visit.came_with or self._sessions.is_due(visit.session):
            self._sessions.write(response, visit.session, visit.request)

    async def _static(self, request: web.Request) -> web.Response:
        asset = assets().get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        fresh = request.query.get("v") == asset.version
        response = web.Response(body=asset.body, content_type=asset.content_type)
        response.headers["Cache-Control"] = FOR_GOOD if fresh else "no-cache"
        response.enable_compression()
        return response

    async def _theme(self, request: web.Request) -> web.Response:
        body = sheet(request.match_info["name"])
        if body is None:
            raise web.HTTPNotFound
        response = web.Response(body=body, content_type="text/css")
        response.headers["Cache-Control"] = FOR_GOOD
        return response


def _late(visit: Visit) -> draft.Draft:
    request = visit.request
    at = draft.origin_of(request.headers.get("Referer"))
    return draft.kept(request.path_qs, at, visit.several)


def policy(origins: Sequence[str], logo_url: str | None, tiles: Source | None = None) -> str:
    """Return the Content-Security-Policy: ourselves alone; a portal link's logo, a map's tiles.

    *origins* are those whose pages may embed the answer.
    """
    pictures = f" https://{urlsplit(logo_url).netloc}" if logo_url else ""
    pictures += f" {tiles.origin}" if tiles else ""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:{pictures};"
        " connect-src 'self'; form-action 'self';"
        f" frame-ancestors {' '.join(origins) or NOBODY}; base-uri 'none'"
    )
