"""The way in for one customer: a link, that opens a session as wide as the link is."""

from aiohttp import web

from services.control.access import UnauthorizedError, hash_key
from services.dashboard.visit import Visit

HOME = "/webhooks"


async def enter(visit: Visit) -> web.StreamResponse:
    """Begin a session of a link; ask first where somebody has signed in otherwise."""
    token = visit.request.match_info["token"]
    link = await visit.link(hash_key(token))
    if visit.known is not None and visit.known.link is None:
        visit.origins = link.origins
        return visit.render("portal_confirm.html", offered=token)
    visit.begin_link(link)
    return visit.redirect(HOME)


async def entered(visit: Visit) -> web.StreamResponse:
    """Begin a session of a link in place of another."""
    visit.begin_link(await visit.link(hash_key(visit.typed.get("link", ""))))
    return visit.redirect(HOME)


async def left(visit: Visit) -> web.StreamResponse:
    """Say that a link is needed; whoever is in through one goes there."""
    if visit.known is not None and visit.known.link is not None:
        return visit.redirect(HOME)
    raise UnauthorizedError
