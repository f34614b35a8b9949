"""Keys of ordered subscriptions: what holds one is tried again, or given up, by hand."""

from services.control.access import Caller
from services.control.audit import Audit
from services.control.checks import Checker
from services.control.subscriptions import Subscriptions
from services.kernel.errors import NotFoundError
from services.kernel.event import Json
from services.kernel.ports.control import KeyStore
from services.kernel.subscription import Ordered

ACTIONS = ("retry", "skip")


class Keys:
    """What people do about a key whose event can't be delivered."""

    def __init__(self, *, store: KeyStore, subscriptions: Subscriptions, audit: Audit) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._audit = audit

    async def release(self, caller: Caller, id_: str, key: str, body: Json) -> Json:
        """Have the event that holds *key* tried again now, or given up.

        Its worker does it, within a second while the subscription is active. One that is in flight is
        given up when it fails. Raises NotFoundError where nothing of this key waits.
        """
        found = await self._subscriptions.get(caller, id_)
        check = Checker("The release is not valid", body, known=("action",))
        action = check.choice("action", ACTIONS)
        if action is None and not check.faults:
            check.fault("action", "required", "action is required: retry or skip")
        check.finish()
        if found.ordered is Ordered.NONE:
            raise NotFoundError("held key", key)
        async with self._audit.change(caller, "subscription") as change:
            held = await self._store.release(found.id, key, skip=action == "skip")
            if not held:
                raise NotFoundError("held key", key)
            events = [
                {
                    "event_id": row.event_id,
                    "topic": row.position.partition.topic,
                    "partition": row.position.partition.number,
                    "offset": row.position.offset,
                }
                for row in held
            ]
            after = {"key": key, "action": action, "events": events}
            change.note("release_key", found.id, project_id=found.project_id, after=after)
        return after
