"""`subscriptions apply` and `simulate`: what they change, what they say, and how they end."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support import commands
from tests.support.api import ADMIN_KEY, ServedApi

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("topics")]

NO, USAGE = 1, 2
URLS = ["https://example.com/a", "https://example.com/b"]
FAST = {"data": {"position": {"speed": [{"numeric": [">", 30]}]}}}


class Ended(commands.Ended):
    """How it ended."""

    @property
    def rows(self) -> list[Any]:
        return [orjson.loads(line) for line in self.out.splitlines()]


async def run(api: ServedApi, *arguments: object, key: str | None = None) -> Ended:
    options = ("--api", api.url, "--key", key or api.key, "--json")
    return Ended(*await commands.planner_webhooks(*arguments, *options))


async def there(api: ServedApi) -> dict[str, Any]:
    rows = await api.native("GET", "/v1/subscriptions")
    return {row["url"]: row for row in rows["data"]}


def written(path: Path, *subscriptions: dict[str, Any]) -> Path:
    path.write_bytes(orjson.dumps({"subscriptions": subscriptions}))
    return path


async def test_subscriptions_become_what_a_file_says(api: ServedApi, tmp_path: Path) -> None:
    one = {"url": URLS[0], "types": ["vehicle.position"], "filter": FAST, "description": "fast"}
    other = {"url": URLS[1], "types": ["plan.*"], "status": "paused"}
    file = written(tmp_path / "webhooks.json", one, other)
    seen = await run(api, "subscriptions", "apply", file, "--dry-run")
    assert (seen.code, [row["action"] for row in seen.rows]) == (0, ["create", "create"])
    assert await there(api) == {}, "a dry run changes nothing"

    made = await run(api, "subscriptions", "apply", file)
    assert made.code == 0, made.err
    assert all(row["secret"].startswith("whsec_") for row in made.rows)
    known = await there(api)
    assert [known[url]["status"] for url in URLS] == ["active", "paused"]

    file = written(tmp_path / "webhooks.json", {**one, "description": "very fast"})
    changed = await run(api, "subscriptions", "apply", file)
    (row,) = changed.rows
    assert (row["action"], row["changes"]) == ("update", {"description": ["fast", "very fast"]})
    assert "left alone" in changed.err
    again, pruned = await run(api, "subscriptions", "apply", file), None
    assert [row["action"] for row in again.rows] == ["keep"]
    pruned = await run(api, "subscriptions", "apply", file, "--prune")
    assert [row["action"] for row in pruned.rows] == ["keep", "delete"]
    assert list(await there(api)) == URLS[:1]


async def test_nothing_is_changed_where_a_filter_is_not_valid_or_the_file_is_none(
    api: ServedApi, tmp_path: Path
) -> None:
    wrong = {"url": URLS[0], "types": ["plan.*"], "filter": {"data": {"status": ["finishd"]}}}
    valid = {"url": URLS[1], "types": ["plan.*"]}
    files = [written(tmp_path / "wrong.json", valid, wrong), tmp_path / "none.json"]
    files[1].write_text('{"subscriptions": [\n  {"url": }]}')
    files.append(written(tmp_path / "twice.json", valid, valid))
    ends = await asyncio.gather(*(run(api, "subscriptions", "apply", file) for file in files))
    assert [end.code for end in ends] == [NO, USAGE, USAGE]
    assert "/filter/data/status" in ends[0].err
    assert "none.json:2:" in ends[1].err
    assert "twice" in ends[2].err
    assert await there(api) == {}


async def test_a_simulated_day_is_taken_in_whole_and_the_same_again(api: ServedApi) -> None:
    asked = ("simulate", "--vehicles", 1, "--seed", 7, "--speed", 1e6, "--day", "2026-03-17")
    asked = (*asked, "--project", api.project)
    first, second = [await run(api, *asked, key=ADMIN_KEY) for _ in range(2)]
    assert first.code == second.code == 0, first.err
    assert first.rows == second.rows
    assert {"plan.created", "vehicle.offline", "stop.report.canceled"} <= {
        event["type"] for event in first.rows
    }
    assert f"{len(first.rows)} events; again with --seed 7" in first.err
