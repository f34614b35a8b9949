"""Where a subscription begins, or begins anew: offsets that are taken before the API answers.

Whatever is produced after the answer lies at or above them, so it misses nothing. `start_from` may
lie in the past: then the log is read from there, as far as it goes back.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Start, StartKind
from services.kernel.ports.broker import Offsets
from services.kernel.registration import Registration


class Starts:
    """Asks Kafka where its logs end, begin, or were at a time."""

    def __init__(self, *, offsets: Offsets, topics: Sequence[str]) -> None:
        self._offsets = offsets
        self._topics = topics

    async def of(
        self, registrations: Sequence[Registration]
    ) -> Mapping[SubscriptionId, Sequence[Start]]:
        """Return where each of them begins on every partition. Raises BrokerGoneError."""
        partitions = await self._offsets.partitions(self._topics)
        found: dict[str, Mapping[Partition, int]] = {}
        for asked in dict.fromkeys(registration.start_from for registration in registrations):
            found[asked] = await self._from(asked, partitions)
        return {
            registration.id: [
                Start(
                    partition=partition,
                    subscription_id=registration.id,
                    offset=offset,
                    kind=StartKind.NEW,
                )
                for partition, offset in found[registration.start_from].items()
            ]
            for registration in registrations
        }

    async def anew(self, id_: SubscriptionId, asked: str, *, kind: StartKind) -> Sequence[Start]:
        """Return where one goes on, on every partition: at `now` or a time. Raises BrokerGoneError."""
        partitions = await self._offsets.partitions(self._topics)
        found = await self._from(asked, partitions)
        return [
            Start(partition=partition, subscription_id=id_, offset=offset, kind=kind)
            for partition, offset in found.items()
        ]

    async def _from(self, asked: str, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        if asked not in ("now", "earliest"):
            moment = int(datetime.fromisoformat(asked).timestamp() * 1000)
            return await self._offsets.at(partitions, moment)
        bounds = await self._offsets.bounds(partitions)
        return {p: at.start if asked == "earliest" else at.end for p, at in bounds.items()}
