"""Sessions end, forms belong to one session, and a proxy is believed from its own address alone."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from services.dashboard.guard import (
    ElsewhereError,
    OutdatedError,
    Proxy,
    check_origin,
    check_token,
)
from services.dashboard.session import COOKIE, EMBEDDED, Sessions
from services.kernel.ids import PortalLinkId
from services.kernel.portal import Look, PortalLink
from tests.support.rows import PROJECT
from tests.support.virtual_time import VirtualClock

HOST = "hooks.example.com"
MINUTES = 30


class Plain:
    """A box that anybody can open."""

    def seal(self, plain: bytes) -> str:
        return plain.hex()

    def open(self, sealed: str) -> bytes | None:
        return bytes.fromhex(sealed) or None


class At(VirtualClock):
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ = 1_800_000_000.0

    def time(self) -> float:
        return self.now_


@pytest.fixture
def clock() -> At:
    return At()


@pytest.fixture
def sessions(clock: At) -> Sessions:
    numbers = itertools.count()
    return Sessions(
        box=Plain(),
        clock=clock,
        entropy=lambda size: bytes((next(numbers) % 256,)) * size,
        minutes=MINUTES,
        secure=False,
    )


def a_request(**headers: str) -> web.Request:
    sent = {"Host": HOST, **{name.replace("_", "-"): text for name, text in headers.items()}}
    return make_mocked_request("POST", "/webhooks/x/pause", headers=sent)


def kept(sessions: Sessions, **fields: object) -> web.Request:
    """Return a request with the cookie that was written last."""
    response = web.Response()
    session = sessions.new(key_hash=b"k")._replace(**fields)  # type: ignore[arg-type]
    sessions.write(response, session, a_request())
    return a_request(Cookie=f"{COOKIE}={response.cookies[COOKIE].value}")


def test_a_session_lasts_while_it_is_used_and_ends_without_a_request(
    sessions: Sessions, clock: At
) -> None:
    request = kept(sessions)
    clock.now_ += timedelta(minutes=MINUTES - 1).total_seconds()
    found = sessions.read(request)
    assert found is not None
    assert sessions.is_due(found)
    clock.now_ += timedelta(minutes=1).total_seconds()
    assert sessions.read(request) is None


def test_a_session_ends_after_half_a_day_however_much_it_is_used(
    sessions: Sessions, clock: At
) -> None:
    began = clock.now_ - timedelta(hours=11, minutes=59).total_seconds()
    request = kept(sessions, began=began)
    clock.now_ += 61
    assert sessions.read(request) is None


def a_portal_link(clock: At, *, seconds: float, origins: tuple[str, ...] = ()) -> PortalLink:
    began = datetime.fromtimestamp(clock.time(), UTC)
    return PortalLink(
        id=PortalLinkId("61f0a446c97efa37d4831000"), project_id=PROJECT, subscriptions=None,
        scopes=("read",), origins=origins, look=Look(), hash=b"token", created_by="admin",
        created_at=began, expires_at=began + timedelta(seconds=seconds),
    )  # fmt: skip


def test_a_session_of_a_link_ends_with_it_and_not_before(sessions: Sessions, clock: At) -> None:
    hour = timedelta(hours=1).total_seconds()
    response = web.Response()
    sessions.write(response, sessions.of_link(a_portal_link(clock, seconds=hour)), a_request())
    cookie = response.cookies[COOKIE]
    assert (cookie["samesite"], cookie["max-age"]) == ("Lax", str(int(hour)))
    request = a_request(Cookie=f"{COOKIE}={cookie.value}")
    clock.now_ += hour - 1
    assert sessions.read(request) is not None
    clock.now_ += 1
    assert sessions.read(request) is None


def test_only_the_session_of_a_link_that_names_origins_goes_into_other_sites_pages(
    sessions: Sessions, clock: At
) -> None:
    link = a_portal_link(clock, seconds=3600, origins=("https://app.example.com",))
    response = web.Response()
    sessions.write(response, sessions.of_link(link), a_request(Cookie=f"{COOKIE}=00"))
    text = response.headers["Set-Cookie"]
    assert text.startswith(f"{EMBEDDED}=")
    for part in ("SameSite=None", "Secure", "Partitioned", "HttpOnly"):
        assert part in text
    assert response.cookies[COOKIE]["max-age"] == "0"  # it takes the place of the other
    plain = web.Response()
    sessions.write(plain, sessions.new(key_hash=b"k"), a_request())
    assert "SameSite=Lax" in plain.cookies[COOKIE].OutputString()
    assert "Partitioned" not in plain.cookies[COOKIE].OutputString()


def test_a_form_fits_its_own_session_alone_and_its_token_is_never_the_same(
    sessions: Sessions,
) -> None:
    mine, theirs = sessions.new(), sessions.new()
    tokens = [sessions.token(mine) for _ in range(3)]
    assert len(set(tokens)) == 3
    for token in tokens:
        check_token(mine, token)
        with pytest.raises(OutdatedError):
            check_token(theirs, token)


@pytest.mark.parametrize("token", [None, "", "AAAA", "not base64!", "é"])
def test_what_is_no_token_is_refused(sessions: Sessions, token: str | None) -> None:
    with pytest.raises(OutdatedError):
        check_token(sessions.new(), token)


@pytest.mark.parametrize(
    ("headers", "public_url"),
    [
        ({"Origin": f"https://{HOST}"}, None),
        ({"Origin": f"http://{HOST}"}, None),
        ({"Origin": "https://public.example"}, "https://public.example"),
        ({}, None),
        ({"Sec-Fetch-Site": "same-origin"}, None),
    ],
)
def test_a_form_of_ours_is_taken(headers: Mapping[str, str], public_url: str | None) -> None:
    check_origin(a_request(**headers), public_url)


@pytest.mark.parametrize(
    ("headers", "public_url"),
    [
        ({"Origin": "https://elsewhere.example"}, None),
        ({"Origin": "null"}, None),
        ({"Origin": f"https://{HOST}:8443"}, None),
        ({"Origin": f"https://{HOST}"}, "https://public.example"),
        ({"Sec-Fetch-Site": "cross-site"}, None),
        ({"Sec-Fetch-Site": "same-site"}, None),
    ],
)
def test_a_form_from_elsewhere_is_refused(
    headers: Mapping[str, str], public_url: str | None
) -> None:
    with pytest.raises(ElsewhereError):
        check_origin(a_request(**headers), public_url)


@pytest.mark.parametrize(
    ("name", "address", "believed"),
    [
        ("ana@example.com", "10.0.0.7", True),
        ("ana@example.com", "10.0.1.7", False),
        ("ana@example.com", "::1", False),
        ("ana@example.com", None, False),
        ("", "10.0.0.7", False),
        ("a\nb", "10.0.0.7", False),
    ],
)
def test_a_proxy_is_believed_from_its_own_address_alone(
    *, name: str, address: str | None, believed: bool
) -> None:
    proxy = Proxy(header="X-User", networks=("10.0.0.0/24",), scopes=("read",))
    caller = proxy.caller({"X-User": name}, address)
    assert (caller is not None) == believed
    if caller is not None:
        assert (caller.id, caller.project_id, caller.scopes) == (f"proxy:{name}", None, {"read"})
