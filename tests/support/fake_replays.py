"""Replays as workers and the API see them: a client of the fake database."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from services.kernel.errors import StoreGoneError
from services.kernel.event import Partition
from services.kernel.operation import replay_ended
from services.kernel.ports.store.replays import Advance
from services.kernel.replay import ENDED, Replay, ReplayState
from tests.support.fake_store import FakeDatabase
from tests.support.server import State

T = TypeVar("T")


class FakeReplays:
    """The `ReplayStore`."""

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    @property
    def _rows(self) -> dict[str, Replay]:
        return self._database.tables.replays

    async def add(self, replay: Replay) -> bool:
        """Store it; False where one over the same span is under way."""

        def add() -> bool:
            taken = any(_overlap(replay, other) for other in self._rows.values())
            if not taken:
                self._rows[replay.id] = replay
            return not taken

        return await self._ask(add)

    async def get(self, id_: str) -> Replay | None:
        """Return one."""
        return await self._ask(lambda: self._rows.get(id_))

    async def cancel(self, id_: str, *, at: datetime) -> bool:
        """Cancel it; False where it had ended."""
        return await self._ask(lambda: self._end(id_, ReplayState.CANCELLED, at) is not None)

    async def active(self, partitions: Collection[Partition]) -> Sequence[Replay]:
        """Return those that have something left to send on these partitions."""
        return await self._ask(
            lambda: [
                row
                for row in self._rows.values()
                if row.state not in ENDED
                and any(r.partition in partitions and r.cursor < r.end for r in row.ranges)
            ]
        )

    async def advance(self, advances: Sequence[Advance], *, at: datetime) -> Sequence[Replay]:
        """Keep how far ranges are, where the epoch stands; return the replays that are done now."""
        return await self._ask(lambda: self._advance(advances, at))

    async def fail(self, id_: str, *, error: str, at: datetime) -> Replay | None:
        """End one that can't go on, and return it; None where it had ended."""
        return await self._ask(lambda: self._end(id_, ReplayState.FAILED, at, error))

    def _end(
        self, id_: str, state: ReplayState, at: datetime, error: str | None = None
    ) -> Replay | None:
        row = self._rows[id_]
        if row.state in ENDED:
            return None
        started = row.started_at or (at if state is not ReplayState.CANCELLED else None)
        ended = replace(row, state=state, error=error, ended_at=at, started_at=started)
        self._rows[id_] = ended
        self._database.keep([replay_ended(ended)])
        return ended

    def _advance(self, advances: Sequence[Advance], at: datetime) -> list[Replay]:
        for told in advances:
            row = self._rows[told.replay_id]
            if not self._database.stands(told.partition, told.epoch):
                continue
            ranges = tuple(
                range_
                if range_.partition != told.partition
                else range_._replace(
                    cursor=told.cursor, sent=told.sent, dead=told.dead, waiting=told.waiting
                )
                for range_ in row.ranges
            )
            begins = row.state is ReplayState.QUEUED
            self._rows[row.id] = replace(
                row,
                ranges=ranges,
                state=ReplayState.RUNNING if begins else row.state,
                started_at=(row.started_at or at) if begins else row.started_at,
            )
        return [
            ended
            for id_ in {told.replay_id for told in advances}
            if all(range_.cursor >= range_.end for range_ in self._rows[id_].ranges)
            and (ended := self._end(id_, ReplayState.DONE, at)) is not None
        ]

    async def _ask(self, effect: Callable[[], T]) -> T:
        """Answer at once: a story without replays goes on as if nobody had asked."""
        if self._database.state is not State.UP:
            raise StoreGoneError("the database is down")
        return effect()


def _overlap(new: Replay, other: Replay) -> bool:
    return (
        other.subscription_id == new.subscription_id
        and other.state not in ENDED
        and other.from_at < new.to_at
        and other.to_at > new.from_at
        and other.wanted == new.wanted
    )
