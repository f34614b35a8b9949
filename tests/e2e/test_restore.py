"""Postgres is restored from an older dump: nobody starts on it until the named command has run, and then
no event is lost."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.backup import dump, restore
from tests.support.cluster import Cluster, Process, Receiver, a_cluster, receiving
from tests.support.commands import planner_webhooks
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)
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
        code, _, said = await planner_webhooks(
            *command, "2000-01-01T00:00:00Z", environment=cluster.environment
        )
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


@dataclass
class Restored:
    """A dispatcher has worked since a dump, under the epoch that the dump has."""

    cluster: Cluster
    worker: Process
    taken: set[str]
    """Ids that the receiver has acknowledged."""
    ids: set[str]
    """What was produced; a third of it is nowhere but in rows that the dump lacks."""
    broken: list[bool]
    database: str
    dump: Path

    async def restore(self) -> None:
        """Put Postgres back."""
        await restore(self.database, self.dump)

    async def is_made_whole(self, command: list[str]) -> None:
        """Do what the refusal named: nothing is lost."""
        self.broken[0] = False
        await whole_again(self.cluster, command)
        await self.cluster.start()
        await eventually(lambda: self.taken == self.ids, within=30)


@pytest.fixture
async def restored(kafka: str, database: str, tmp_path: Path) -> AsyncIterator[Restored]:
    async with (
        receiving() as receiver,
        a_cluster(kafka, database, tmp_path) as cluster,
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
        assert 0 < len(taken) < len(ids)
        yield Restored(cluster, worker, taken, ids, broken, database, tmp_path / "older")


async def test_after_a_restore_nobody_starts_until_the_named_command_has_run_and_nothing_is_lost(
    restored: Restored,
) -> None:
    assert await restored.worker.terminate() == 0
    await restored.cluster.processes[0].terminate()  # the API
    await restored.restore()
    await restored.is_made_whole(await refuses(restored.cluster))


async def test_a_dispatcher_under_which_postgres_is_restored_stops_and_after_the_command_nothing_is_lost(
    restored: Restored,
) -> None:
    """As by a failover to a copy that lacks writes, which nobody tells the workers of."""
    await restored.restore()
    # Its next write or report finds fewer than it knows of.
    await restored.is_made_whole(await ended(restored.worker))
