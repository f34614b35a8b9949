"""Builds the pages that the `api` role serves at `/`."""

import base64
import binascii
import os
from collections.abc import Sequence

from aiohttp import web

from services.api.app import PAGES, shown_by
from services.api.inside import Inside
from services.api.once import Once
from services.api.routes import Route
from services.control.access import Access
from services.dashboard.app import Dashboard
from services.dashboard.guard import Proxy
from services.dashboard.session import Sessions
from services.dashboard.tiles import Source
from services.kernel.clock import Clock
from services.settings import Settings
from services.store.cipher import Cipher, CipherError, Encrypted

CONTEXT = "dashboard session"
"""What is sealed for cookies is nothing else's, whatever uses the same key."""


class SealedText:
    """Seals with the key that secrets are stored with; older keys open too."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    def seal(self, plain: bytes) -> str:
        """Return what only `open` can read."""
        sealed = self._cipher.encrypt(plain, context=CONTEXT)
        return f"{sealed.key_id}.{base64.urlsafe_b64encode(sealed.ciphertext).decode()}"

    def open(self, sealed: str) -> bytes | None:
        """Return what was sealed; None for what wasn't, or was with a key that is gone."""
        key_id, _, text = sealed.partition(".")
        try:
            ciphertext = base64.urlsafe_b64decode(text)
            return self._cipher.decrypt(Encrypted(key_id, ciphertext), context=CONTEXT)
        except (binascii.Error, ValueError, CipherError):
            return None


def add_dashboard(
    app: web.Application,
    settings: Settings,
    routes: Sequence[Route],
    *,
    once: Once,
    access: Access,
    cipher: Cipher,
    clock: Clock,
) -> None:
    """Add the pages over *routes* to *app*, unless they are switched off."""
    chosen = settings.dashboard
    if not chosen.enabled:
        return
    proxy = None
    if chosen.trusted_header is not None:
        proxy = Proxy(
            header=chosen.trusted_header,
            networks=chosen.trusted_proxies,
            scopes=chosen.trusted_scopes,
        )
    pages = Dashboard(
        resources=Inside(routes, once),
        access=access,
        sessions=Sessions(
            box=SealedText(cipher),
            clock=clock,
            entropy=os.urandom,
            minutes=chosen.session_minutes,
            secure=(chosen.public_url or "").startswith("https:"),
        ),
        proxy=proxy,
        public_url=chosen.public_url,
        clock=clock,
        tiles=Source(chosen.tile_url, chosen.tile_attribution) if chosen.tile_url else None,
    )
    app[PAGES] = pages.refused
    for method, path, handler in pages.routes():
        app.router.add_route(method, path, shown_by(handler, pages.refused))
