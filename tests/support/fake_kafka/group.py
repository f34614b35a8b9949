"""The consumer group as its coordinator keeps it."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.kernel.event import Partition
from services.kernel.ports.broker import Commit
from tests.support.processes import Process, later
from tests.support.server import GoneError


class UnknownMemberError(Exception):
    """The group doesn't know this member, or its generation is over."""


class RebalancingError(Exception):
    """The group rebalances: let go, and join again."""


class Joined(NamedTuple):
    """What a member is told at the end of a rebalance."""

    generation: int
    member_id: str
    partitions: tuple[Partition, ...]


@dataclass
class GroupMember:
    """A member as the group knows it."""

    id: str
    instance: str
    topics: Sequence[str]
    process: Process | None
    alive_until: float = 0.0
    watched: bool = False
    """Whether a timer looks after its session."""
    partitions: tuple[Partition, ...] = ()
    joining: asyncio.Future[Joined] | None = None

    def refuse(self, error: Exception) -> None:
        """End its wait for the others."""
        joining, self.joining = self.joining, None
        if joining is not None and not joining.done():
            joining.set_exception(error)
            joining.exception()  # the member may be dead


class CommitWatcher:
    """Told of each commit and sign of life that the group took, at that instant.

    A test overrides what it needs.
    """

    def heard_of(self, process: Process | None) -> None:
        """A member gave a sign of life: it was in the group still."""

    def committed(
        self, process: Process | None, commits: Mapping[Partition, Commit], owned: set[Partition]
    ) -> None:
        """Commits were taken from a member that the group says owns *owned*."""


@dataclass
class Group:
    """The one consumer group."""

    session_timeout: float
    rebalance_timeout: float
    partitions: Callable[[Sequence[str]], list[Partition]]
    watcher: CommitWatcher = field(default_factory=CommitWatcher)
    generation: int = 0
    rebalancing: bool = False
    members: dict[str, GroupMember] = field(default_factory=dict)
    stored: list[GroupMember] = field(default_factory=list)
    """Of the present generation: what a restart of the broker finds again."""
    offsets: dict[Partition, Commit] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def join(
        self, member_id: str, instance: str, topics: Sequence[str], process: Process | None
    ) -> asyncio.Future[Joined]:
        """Join, or join again; the answer comes when all others have."""
        answer: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        if member_id:
            member = self._known(member_id)
        else:
            member = GroupMember(f"{instance}-{next(self.numbers)}", instance, topics, process)
            before = next((m for m in self.members.values() if m.instance == instance), None)
            if before is not None:
                self._replace(before, member)
            self.members[member.id] = member
            if before is None and not self.rebalancing:
                self._rebalance()
        self._touch(member)
        if self.rebalancing:
            member.joining = answer
            self._complete_if_all_joined()
        else:
            answer.set_result(Joined(self.generation, member.id, member.partitions))
        return answer

    def heartbeat(self, member_id: str, generation: int) -> None:
        """Take a sign of life."""
        member = self._known(member_id, generation)
        self._touch(member)
        self.watcher.heard_of(member.process)
        if self.rebalancing:
            raise RebalancingError

    def commit(
        self,
        process: Process | None,
        member_id: str,
        generation: int,
        commits: Mapping[Partition, Commit],
    ) -> None:
        """Take commits of a member in its generation, whichever partitions they are of."""
        member = self._known(member_id, generation)
        self._touch(member)
        self.watcher.heard_of(member.process)
        self.offsets.update(commits)
        self.watcher.committed(process, commits, set(member.partitions))

    def evict(self, member_id: str) -> None:
        """Forget a member, as if its session had ended."""
        if self.members.pop(member_id, None) is not None:
            self._rebalance()

    def restart(self) -> None:
        """Go back to what is stored, as a restarted broker does: sessions begin anew."""
        self.rebalancing = False
        for member in self.members.values():
            member.refuse(GoneError("the broker restarts"))
        self.members = {member.id: member for member in self.stored}
        for member in self.stored:
            self._touch(member)

    def owner(self, partition: Partition) -> Process | None:
        """Return who owns *partition* as the group sees it."""
        return next((m.process for m in self.members.values() if partition in m.partitions), None)

    def _known(self, member_id: str, generation: int | None = None) -> GroupMember:
        member = self.members.get(member_id)
        if member is None or (generation is not None and generation != self.generation):
            raise UnknownMemberError(member_id)
        return member

    def _replace(self, before: GroupMember, member: GroupMember) -> None:
        del self.members[before.id]
        before.refuse(UnknownMemberError(before.id))
        member.partitions = before.partitions
        self.stored = [member if one is before else one for one in self.stored]

    def _touch(self, member: GroupMember) -> None:
        member.alive_until = asyncio.get_running_loop().time() + self.session_timeout
        if not member.watched:
            member.watched = True
            later(self.session_timeout, self._check, member)

    def _check(self, member: GroupMember) -> None:
        now = asyncio.get_running_loop().time()
        if self.members.get(member.id) is not member:
            member.watched = False
        elif member.joining is not None:  # it is waited for by us, not we for it
            later(self.session_timeout, self._check, member)
        elif now < member.alive_until:
            later(member.alive_until - now, self._check, member)
        else:
            member.watched = False
            self.evict(member.id)

    def _rebalance(self) -> None:
        if not self.rebalancing:
            self.rebalancing = True
            later(self.rebalance_timeout, self._complete_after_all, self.generation)
        self._complete_if_all_joined()

    def _complete_after_all(self, generation: int) -> None:
        if self.rebalancing and self.generation == generation:
            self._complete()

    def _complete_if_all_joined(self) -> None:
        if self.rebalancing and all(m.joining is not None for m in self.members.values()):
            self._complete()

    def _complete(self) -> None:
        self.rebalancing = False
        self.generation += 1
        self.members = {id_: m for id_, m in self.members.items() if m.joining is not None}
        members = sorted(self.members.values(), key=lambda m: m.instance)
        for member in members:
            member.partitions = ()
        for topic in sorted({topic for member in members for topic in member.topics}):
            takers = [member for member in members if topic in member.topics]
            self._share_out(self.partitions([topic]), takers)
        self.stored = members
        for member in members:
            self._touch(member)
            joining, member.joining = member.joining, None
            if joining is not None and not joining.done():
                joining.set_result(Joined(self.generation, member.id, member.partitions))

    def _share_out(self, partitions: list[Partition], takers: list[GroupMember]) -> None:
        each, rest = divmod(len(partitions), len(takers))
        begin = 0
        for n, member in enumerate(takers):
            size = each + (n < rest)
            member.partitions += tuple(partitions[begin : begin + size])
            begin += size
