"""What people did that others are told of, on `webhooks.ops`."""

import orjson
import structlog

from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError, BrokerRefusedError
from services.kernel.ids import Entropy, new_id
from services.kernel.operation import OPS_TOPIC, About, Operation
from services.kernel.ports.broker import Producer
from services.kernel.registration import Registration

log = structlog.get_logger()


class Announcer:
    """Writes operational events from the API."""

    def __init__(self, *, producer: Producer, clock: Clock, entropy: Entropy) -> None:
        self._producer = producer
        self._clock = clock
        self._entropy = entropy

    async def tell(self, operation: Operation) -> None:
        """Write *operation*, once what it tells of is done. Never fails for that.

        Without Kafka a secret must still be rotated; the audit has it, and the log says what nobody
        was told.
        """
        id_ = new_id(now=self._clock.time(), entropy=self._entropy)
        event = operation.event(id_=id_, now=self._clock.now())
        try:
            await self._producer.produce(OPS_TOPIC, key=operation.key, value=orjson.dumps(event))
        except (BrokerGoneError, BrokerRefusedError) as error:
            log.error(  # noqa: TRY400 - an outage, with its name
                "operation_not_told",
                type=operation.type,
                subscription_id=operation.subscription_id,
                error=str(error),
            )


def about(registration: Registration) -> About:
    """Return what operational events say of a subscription."""
    return About(
        project_id=registration.project_id,
        subscription_id=registration.id,
        url=registration.url,
    )
