"""Calls to the Planner-compatible API as its public clients make them."""

from typing import Any

from tests.support.api import ServedApi

URL_ = "https://203.0.114.7/hook"  # public, and nobody is asked for its name
BASES = ("/v2", "/api/v1")
FIELDS = {
    "id", "url", "enabled", "enabled_events", "project_id", "organization_id", "failure_count",
    "deleted", "created_by", "created_at", "updated_at", "deleted_at", "profile",
}  # fmt: skip


class Client:
    """Calls as the public clients do: the key in the query, JSON bodies."""

    def __init__(self, api: ServedApi, base: str = "/v2") -> None:
        self.api, self.base, self.key = api, base, api.key

    async def __call__(
        self, method: str, path: str, body: object = None, *, status: int = 200
    ) -> Any:  # noqa: ANN401 - JSON
        separator = "&" if "?" in path else "?"
        answered = await self.api.ask(
            method,
            f"{self.base}/{path}{separator}private_key={self.key}",
            key=None,
            json=body,
        )
        assert answered.status == status, answered
        assert answered.headers["Content-Type"].startswith("application/json")
        if status >= 400:
            assert set(answered.json) == {"message", "messageId"}
        return answered.json

    async def make(self, *events: str, url: str = URL_, **fields: object) -> dict[str, Any]:
        body = {"url": url, "enabled_events": list(events or ("plan.created",)), **fields}
        found: dict[str, Any] = await self("POST", "webhook", body)
        return found


async def failing(api: ServedApi, id_: str, count: int) -> None:
    """A worker reports failures in a row."""
    await api.sql(
        "insert into health (worker, subscription_id, failure_count, outcome, since)"
        " values ('w0', $1, $2, 'http', now())"
        " on conflict (subscription_id, worker) do update set"
        " failure_count = excluded.failure_count, updated_at = now()",
        id_,
        count,
    )
