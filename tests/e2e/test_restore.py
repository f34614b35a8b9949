"""Postgres is restored from an older dump: nobody starts on it until the named command has run, and then
no event is lost."""

import re
from pathlib import Path

import pytest

from tests.support.backup import dump, restore
from tests.support.cluster import Cluster, Process, Receiver, a_cluster, receiving
from tests.support.commands import planner_webhooks
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)
QUICK = {"WEBHOOKS_KAFKA__SESSION_TIMEOUT_SECONDS": "2"}
NAMED = re.compile(r"`planner-webhooks (reset-offsets --to-datetime) <time of the dump - 10 min>`")


async def refuses(cluster: Cluster, name: str = "w0") -> list[str]:
    """Start a dispatcher, which ends by itself; return the command that it names."""
    return await ended(await cluster.start(name))


async def ended(worker: Process) -> list[str]:
    """Wait until *worker* ends by itself; return the command that it names."""
    await worker.process.wait()
    said = worker.log.read_text()
    assert worker.process.returncode == 3, said
    named = NAMED.search(said.replace("\n", " "))
    assert named is not None, said
    return named[1].split()


async def whole_again(cluster: Cluster, command: list[str]) -> None:
    """Run the *command* that was named, once the group has let go of its members."""

    async def done() -> bool:
        code, _, said = await planner_webhooks(cluster, *command, "2000-01-01T00:00:00Z")
        assert code == 0 or "has members" in said, said
        return code == 0

    await eventually(done, within=60)


def accepted(receiver: Receiver, broken: list[bool]) -> set[str]:
    """Answer 500 to every third event while *broken* holds; return the ids that got another answer."""
    found: set[str] = set()

    def answer(seen: object) -> int:
        id_ = seen.id  # type: ignore[attr-defined]
        if broken[0] and int(id_, 16) % 3 == 0:
            return 500
        found.add(id_)
        return 200

    receiver.answers["/flaky"] = answer
    return found


async def test_after_a_restore_nobody_starts_until_the_named_command_has_run_and_nothing_is_lost(
    kafka: str, database: str, tmp_path: Path
) -> None:
    async with (
        receiving() as receiver,
        a_cluster(kafka, database, tmp_path, settings=QUICK) as cluster,
    ):
        broken = [False]
        taken = accepted(receiver, broken)
        await cluster.subscribe(f"{receiver.url}/flaky", retry_schedule=[3600])
        worker = await cluster.start()
        first = set(await cluster.produce(1))
        await eventually(lambda: receiver.ids().keys() == first, within=30)
        await dump(database, tmp_path / "older")  # the epochs stay those of this worker
        broken[0] = True
        ids = first | set(await cluster.produce(30))
        await eventually(lambda: receiver.ids().keys() == ids, within=30)
        await cluster.all_committed()  # a third is nowhere but in rows that the dump lacks
        assert 0 < len(taken) < len(ids)
        assert await worker.terminate() == 0
        await cluster.processes[0].terminate()  # the API

        await restore(database, tmp_path / "older")
        command = await refuses(cluster)
        broken[0] = False
        await whole_again(cluster, command)
        await cluster.start()
        await eventually(lambda: taken == ids, within=30)


async def test_a_dispatcher_under_which_postgres_is_restored_stops_and_after_the_command_nothing_is_lost(
    kafka: str, database: str, tmp_path: Path
) -> None:
    """As by a failover to a copy that lacks writes, which nobody tells the workers of."""
    async with (
        receiving() as receiver,
        a_cluster(kafka, database, tmp_path, settings=QUICK) as cluster,
    ):
        broken = [False]
        taken = accepted(receiver, broken)
        await cluster.subscribe(f"{receiver.url}/flaky", retry_schedule=[3600])
        worker = await cluster.start()
        ids = set(await cluster.produce(1))
        await eventually(lambda: receiver.ids().keys() == ids, within=30)
        await dump(database, tmp_path / "older")
        broken[0] = True
        ids |= set(await cluster.produce(30))
        await eventually(lambda: receiver.ids().keys() == ids, within=30)
        await cluster.all_committed()

        await restore(database, tmp_path / "older")
        command = await ended(worker)  # its next write or report finds fewer than it knows of
        broken[0] = False
        await whole_again(cluster, command)
        await cluster.start()
        await eventually(lambda: taken == ids, within=30)
