"""`planner-webhooks filter`: what it says of a file, and how it ends."""

import asyncio
from pathlib import Path

import orjson
import pytest

from services import catalogue
from tests.support.api import ServedApi
from tests.support.cluster import free_port
from tests.support.commands import Ended, planner_webhooks

pytestmark = pytest.mark.timeout(60)

NO, USAGE, NOBODY, REFUSED = 1, 2, 3, 4
FAST = '{\n  "data": {\n    "position": {"speed": [{"numeric": [">", 100]}]}\n  }\n}\n'


async def run(*arguments: object, key: str, url: str) -> Ended:
    words = ("filter", *arguments, "--api", url, "--key", key)
    return await planner_webhooks(*words)


async def test_a_filter_is_checked_with_line_and_column_of_its_file(
    api: ServedApi, tmp_path: Path
) -> None:
    good, bad, broken, whole = (tmp_path / f"{name}.json" for name in ("g", "b", "x", "w"))
    good.write_text(FAST)
    bad.write_text(FAST.replace('[{"numeric": [">", 100]}]', '"fast"'))
    broken.write_text(FAST.replace("}]}", "}]"))
    head = '{"types": ["vehicle.position", "stop.repot"],\n "filter": '
    whole.write_text(head + FAST + "}")
    named = ("--types", "vehicle.position")
    ends = await asyncio.gather(
        *(
            run(*arguments, key=api.key, url=api.url)
            for arguments in (
                ("check", good, *named),
                ("check", bad, *named),
                ("check", broken, *named),
                ("check", whole, "--json"),
                ("check", good),
                ("check", good, *named, "--project", "0123456789abcdef01234567"),
            )
        ),
        run("check", good, *named, key=api.key, url=f"http://127.0.0.1:{free_port()}"),
    )
    assert [ended.code for ended in ends] == [0, NO, NO, NO, USAGE, REFUSED, NOBODY]
    assert ends[0].out == "valid\n"
    assert ends[1].out.startswith(f"{bad}:3:27: ")
    assert 'write ["fast"]' in ends[1].out
    assert ends[2].out.startswith(f"{broken}:6:1: not JSON: ")
    (fault,) = orjson.loads(ends[3].out)["errors"]
    assert (fault["line"], fault["column"], fault["code"]) == (1, 32, "unknown_type")
    assert "--types" in ends[4].err
    assert ends[5].out == ends[6].out == ""


async def test_an_event_is_explained_with_the_clause_that_failed(
    api: ServedApi, tmp_path: Path
) -> None:
    fast, slow, event = (tmp_path / f"{name}.json" for name in ("fast", "slow", "event"))
    example = catalogue.examples()["vehicle.position"]
    event.write_bytes(orjson.dumps(example))
    fast.write_text(FAST)
    slow.write_text(FAST.replace(">", "<"))
    asked = ("--types", "vehicle.position", "--event", event)
    no, yes = await asyncio.gather(
        *(run("explain", file, *asked, key=api.key, url=api.url) for file in (fast, slow))
    )
    assert (yes.code, yes.out) == (0, "matches\n")
    assert no.code == NO
    said = no.out.splitlines()
    speed = example["data"]["position"]["speed"]
    assert said[0] == "does not match"
    assert f"{fast}:3:27: data.position.speed is {speed}" in said[1]


async def test_what_a_file_has_wrong_is_told_with_its_line_whatever_was_asked(
    api: ServedApi, tmp_path: Path
) -> None:
    bad, event = tmp_path / "bad.json", tmp_path / "event.json"
    bad.write_text(FAST.replace('[{"numeric": [">", 100]}]', '"fast"'))
    event.write_bytes(orjson.dumps(catalogue.examples()["vehicle.position"]))
    named = ("--types", "vehicle.position")
    explained, tried = await asyncio.gather(
        run("explain", bad, *named, "--event", event, key=api.key, url=api.url),
        run("dry-run", bad, *named, "--from", "yesterday", key=api.key, url=api.url),
    )
    assert explained.code == tried.code == REFUSED
    assert f"{bad}:3:27: " in explained.err
    assert f"{bad}:3:27: " in tried.err
    assert "/from: " in tried.err, "what isn't in the file is told by its pointer"
