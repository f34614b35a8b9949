"""What a worker is made from: its ports and its options."""

from collections.abc import Callable, Sequence

from services.kernel.clock import Clock
from services.kernel.event import Partition
from services.kernel.operation import OPS_TOPIC
from services.kernel.ports.broker import LogReader, Member, Offsets, Producer
from services.kernel.ports.history import AttemptLog
from services.kernel.ports.network import Sender
from services.kernel.ports.store.counts import MatchCountStore
from services.kernel.ports.store.health import HealthStore, TroubleStore
from services.kernel.ports.store.lanes import LaneStore
from services.kernel.ports.store.operations import OperationStore
from services.kernel.ports.store.partitions import PartitionStore
from services.kernel.ports.store.replays import ReplayStore
from services.kernel.ports.store.retries import RetryStore
from services.kernel.ports.store.sources import GeofenceSource, SubscriptionSource
from services.kernel.ports.trace import Tracer
from services.kernel.value import value


@value
class Ports:
    """What a worker needs from outside."""

    make_member: Callable[[], Member]
    offsets: Offsets
    make_reader: Callable[[], LogReader]
    producer: Producer
    partitions: PartitionStore
    retries: RetryStore
    lanes: LaneStore
    replays: ReplayStore
    subscriptions: SubscriptionSource
    geofences: GeofenceSource
    health: HealthStore
    trouble: TroubleStore
    operations: OperationStore
    counts: MatchCountStore
    sender: Sender
    attempts: AttemptLog
    clock: Clock
    chance: Callable[[], float]
    tracer: Tracer | None = None
    """None where no traces are wanted: then nothing on the way of an event costs anything for them."""


@value
class Options:
    """What a worker is told, besides its limits."""

    worker: str
    quarantine_topic: str
    schedule: Sequence[float]
    max_in_flight: int
    max_in_flight_per_subscription: int
    max_record_bytes: int
    drain_seconds: float
    tells: Partition = Partition(OPS_TOPIC, 0)
    """The owner of this partition writes the operational events that are stored in Postgres."""
