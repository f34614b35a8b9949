"""The chaos bench: processes are killed, frozen and reset under load; all that is promised holds."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import orjson
import pytest

FAULTS = {
    "kill -9 of a worker",
    "graceful stop of a worker",
    "SIGSTOP of a worker",
    "kill -9 of Kafka",
    "kill -9 of Postgres",
    "reset of offsets",
}


async def chaos(folder: Path, *options: str) -> dict[str, Any]:
    """Run the bench, hold it to an exit code of 0, and return what it found."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "bench", "chaos", "--json", "--keep", str(folder)),
        *options,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode == 0, said.decode() + _what_workers_said(folder)
    found: dict[str, Any] = orjson.loads(out)
    return found


def _what_workers_said(folder: Path) -> str:
    """Return who had which partitions when, and what went wrong: it explains repeats."""
    lines = [
        f"{path.stem}: {line}"
        for path in sorted(folder.glob("*.log"))
        for line in path.read_text(errors="replace").splitlines()
        if not line.startswith("{")  # a traceback
        or '"partitions_' in line
        or '"level":"warning"' in line
        or '"level":"error"' in line
    ]
    return "\n" + "\n".join(line[:300] for line in lines[-400:])


def hold_to_what_is_promised(found: dict[str, Any]) -> None:
    assert found["lost"] == found["order_violations"] == found["still_waiting"] == 0
    assert found["repeats"]["unexplained"] == 0
    ends = ("delivered", "dead_letters", "gaps", "held_by_disabled")
    assert sum(found[end] for end in ends) >= found["due"] > 10 * found["events"]
    assert found["faults"].keys() == FAULTS, "each was tried"
    assert found["dead_letters"] > 0, "what is refused for ever is given up, and kept"
    assert found["held_by_disabled"] > 0, "410 disables, and its events wait"


@pytest.mark.timeout(400)
async def test_nothing_is_lost_out_of_order_or_repeated_for_no_reason(
    servers_folder: Path,
) -> None:
    options = ("--minutes", "0.4", "--seed", "1", "--rate", "30", "--drain", "200")
    hold_to_what_is_promised(await chaos(servers_folder / "chaos", *options))


@pytest.mark.long
@pytest.mark.timeout(1_800)
async def test_nor_in_ten_minutes_of_it(servers_folder: Path) -> None:
    options = ("--minutes", "10", "--seed", "7", "--drain", "300")
    found = await chaos(servers_folder / "long", *options)
    hold_to_what_is_promised(found)
    assert sum(found["faults"].values()) > 2 * len(FAULTS)
