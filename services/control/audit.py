"""Who changed what: written in the transaction of the change, or not at all.

Every noun that people can change does it so:

    async with self._audit.change(caller, "geofence") as change:
        await self._store.replace(after)
        change.note("update", after.id, project_id=after.project_id,
                    before=shown(before), after=shown(after))

What stores write inside of the block, in this task, is one transaction with the entries: after an
exception there is neither. So read, check and resolve names before it, and note only what was done.
Documents are what the API would show: never a secret, header values masked.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from services.control.access import Caller
from services.kernel.audit import Entry, EntryFilter
from services.kernel.clock import Clock
from services.kernel.event import Json
from services.kernel.ids import Entropy, new_id
from services.kernel.ports.control import AuditStore
from services.kernel.registration import Page


class Change:
    """What one caller changes in one transaction."""

    def __init__(self, caller: Caller, object_type: str, *, clock: Clock, entropy: Entropy) -> None:
        self._caller = caller
        self._object_type = object_type
        self._clock = clock
        self._entropy = entropy
        self.entries: list[Entry] = []

    def note(
        self,
        action: str,
        id_: str,
        *,
        project_id: str | None,
        before: Json | None = None,
        after: Json | None = None,
    ) -> None:
        """Say what was done to one object. Where it was and is there, what differs is kept."""
        if before is not None and after is not None:
            before, after = _differing(before, after)
        self.entries.append(
            Entry(
                id=new_id(now=self._clock.time(), entropy=self._entropy),
                at=self._clock.now(),
                actor=self._caller.id,
                address=self._caller.address,
                project_id=project_id,
                action=action,
                object_type=self._object_type,
                object_id=id_,
                before=before,
                after=after,
            )
        )


class Audit:
    """Writes entries with what they tell of, and shows them."""

    def __init__(self, *, store: AuditStore, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    @asynccontextmanager
    async def change(self, caller: Caller, object_type: str) -> AsyncIterator[Change]:
        """Hold a transaction that ends with the entries of what was noted in it."""
        async with self._store.together():
            change = Change(caller, object_type, clock=self._clock, entropy=self._entropy)
            yield change
            if change.entries:
                await self._store.add(change.entries)

    async def page(self, caller: Caller, asked: EntryFilter, page: Page) -> Sequence[Entry]:
        """Return those that the caller may see, newest first."""
        if caller.project_id is not None:
            if asked.project_id not in (None, caller.project_id):
                return []
            asked = asked._replace(project_id=caller.project_id)
        if caller.link is None:
            return await self._store.page(asked, page)
        found = [row for each in _each(caller, asked) for row in await self._store.page(each, page)]
        newest = sorted(found, key=lambda entry: entry.id, reverse=True)[: page.limit]
        # From where others came is not told to whom a link was given.
        return [e if e.actor == caller.id else replace(e, address=None) for e in newest]


def _each(caller: Caller, asked: EntryFilter) -> Sequence[EntryFilter]:
    """Return what a link's entries are found by: those of its subscriptions alone."""
    if asked.object_type not in (None, "subscription"):
        return []
    mine = asked._replace(object_type="subscription")
    return [mine._replace(object_id=id_) for id_ in caller.narrowed(asked.object_id)]


def _differing(before: Json, after: Json) -> tuple[Json, Json]:
    changed = {
        name
        for name in (*before, *after)
        if name not in before or name not in after or before[name] != after[name]
    }
    return (
        {name: before[name] for name in before if name in changed},
        {name: after[name] for name in after if name in changed},
    )
