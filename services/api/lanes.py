"""`/v1/lanes` and `/v1/partitions`: who is behind and who owns what, for operators."""

import base64
import binascii

import orjson

from services.api.call import Answer, Call
from services.control.access import ADMIN
from services.control.lanes import Lanes, LaneState, PartitionState
from services.kernel.backlog import LaneKey
from services.kernel.clock import rfc3339
from services.kernel.errors import Fault, FaultsError
from services.kernel.event import Json
from services.kernel.ids import SubscriptionId, is_id

QUERY = "The query is not valid"


class LaneRoutes:
    """The operator's own: both need the scope `admin`."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def list(self, call: Call) -> Answer:
        """List every subscription that is not fed live on some partition, and why."""
        call.caller.require(ADMIN)
        limit, faults = call.limit()
        faults += call.unknown("limit", "cursor", "subscription")
        named = call.query.get("subscription")
        if named is not None and not is_id(named):
            message = "an id has 24 characters, 0 to 9 and a to f"
            faults.append(Fault("id", message, parameter="subscription"))
        after = _key(call.query["cursor"], named) if "cursor" in call.query else None
        if after is None and "cursor" in call.query:
            message = "no cursor of this list: take the `next` of an answer, with the same filters"
            faults.append(Fault("cursor", message, parameter="cursor"))
        if faults:
            raise FaultsError(QUERY, faults)
        id_ = None if named is None else SubscriptionId(named)
        found = await self._lanes.page(id_, after=after, limit=limit)
        last = found[-1].seen.row if len(found) == limit else None
        cursor = None
        if last is not None:
            key = LaneKey(last.subscription_id, *last.partition)
            cursor = base64.urlsafe_b64encode(orjson.dumps([named, *key])).decode().rstrip("=")
        return Answer(200, {"data": [_lane(each) for each in found], "next": cursor})

    async def partitions(self, call: Call) -> Answer:
        """List every partition with its owner, its offsets and its headroom to retention."""
        call.caller.require(ADMIN)
        call.only()
        found = await self._lanes.partitions()
        return Answer(200, {"data": [_partition(each) for each in found], "next": None})


def _lane(state: LaneState) -> Json:
    row = state.seen.row
    return {
        "subscription_id": row.subscription_id,
        "topic": row.partition.topic,
        "partition": row.partition.number,
        "state": row.state,
        "reason": row.reason.value,
        "since": rfc3339(row.since),
        "cursor": row.cursor,
        "end": state.end,
        "lag": state.lag,
        "flips": row.flips,
        "speed": round(row.speed, 1),
        "headroom_seconds": state.headroom_seconds,
        "updated_at": rfc3339(state.seen.updated_at),
    }


def _partition(state: PartitionState) -> Json:
    owned = state.owned
    return {
        "topic": state.partition.topic,
        "partition": state.partition.number,
        "owner": None if owned is None else owned.worker,
        "epoch": None if owned is None else owned.epoch,
        "start": state.bounds.start,
        "committed": state.committed,
        "read": None if owned is None else owned.read_offset,
        "end": state.bounds.end,
        "open_offsets": None if owned is None else owned.open_offsets,
        "lag": state.lag,
        "lanes": state.lanes,
        "headroom_seconds": state.headroom_seconds,
        "updated_at": None if owned is None else rfc3339(owned.updated_at),
    }


def _key(cursor: str, named: str | None) -> LaneKey | None:
    """Return the lane that a list goes on after; None where *cursor* is none of this list."""
    try:
        found = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        of, id_, topic, number = found
    except (binascii.Error, ValueError, TypeError):
        return None
    kinds = isinstance(id_, str) and isinstance(topic, str) and type(number) is int
    return LaneKey(SubscriptionId(id_), topic, number) if kinds and of == named else None
