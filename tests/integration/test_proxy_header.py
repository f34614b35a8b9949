"""Behind a proxy: whoever it names is in, as far as configured; from anywhere else nobody is."""

from contextlib import AbstractAsyncContextManager

import pytest

from services.settings.serving import Dashboard
from tests.support.api import ServedApi, an_api

HEADER = "X-Forwarded-User"
LOOPBACK, ELSEWHERE = "127.0.0.0/8", "192.0.2.0/24"
FORM = "application/x-www-form-urlencoded"


def behind(
    kafka: str, database: str, *, proxies: str, scopes: tuple[str, ...] = ("read",)
) -> AbstractAsyncContextManager[ServedApi]:
    """Serve pages whose proxy is in *proxies*; the test itself calls from loopback."""
    chosen = Dashboard(trusted_header=HEADER, trusted_proxies=(proxies,), trusted_scopes=scopes)
    return an_api(kafka, database, dashboard=chosen)


async def test_whoever_the_proxy_names_is_in_and_may_what_is_configured(
    kafka: str, database: str
) -> None:
    async with behind(kafka, database, proxies=LOOPBACK, scopes=("read", "manage")) as api:
        made = await api.native(
            "POST",
            "/v1/subscriptions",
            {"project_id": api.project, "url": "https://example.com/hook", "types": ["*"]},
        )
        path, alice = f"/webhooks/{made['id']}", {HEADER: "alice@example.com"}
        page = await api.ask("GET", path, key=None, headers=alice)
        assert page.status == 200
        assert "Sign out" not in page.text  # it is the proxy's business
        cookie = page.headers["Set-Cookie"].partition(";")[0]
        token = page.text.partition('name="token" value="')[2].partition('"')[0]
        sent = {**alice, "Cookie": cookie, "Content-Type": FORM, "Origin": api.url}
        paused = await api.ask(
            "POST", f"{path}/pause", key=None, headers=sent, data={"token": token}
        )
        assert paused.status == 303, paused.text
        (entry, _) = (await api.native("GET", f"/v1/audit?object={made['id']}"))["data"]
        assert (entry["action"], entry["actor"]) == ("pause", "proxy:alice@example.com")
        # Nobody is named; and the API itself takes keys alone.
        assert (await api.ask("GET", path, key=None)).status == 303
        assert (await api.ask("GET", "/v1/subscriptions", key=None, headers=alice)).status == 401
        # It names people for pages, and opens nothing that is the operator's.
        assert (await api.ask("GET", "/projects", key=None, headers=alice)).status in (403, 404)


@pytest.mark.parametrize("name", ["alice", "admin"])
async def test_from_elsewhere_the_header_says_nothing(kafka: str, database: str, name: str) -> None:
    async with behind(kafka, database, proxies=ELSEWHERE) as api:
        answered = await api.ask("GET", "/webhooks", key=None, headers={HEADER: name})
        assert (answered.status, answered.headers["Location"]) == (303, "/sign-in")
