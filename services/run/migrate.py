"""`planner-webhooks migrate`: tables and topics."""

from services.broker.topics import create_missing, missing, wanted
from services.run import parts
from services.settings import Settings
from services.store import migrate as store


async def main(settings: Settings, *, check: bool) -> list[str]:
    """Make what is missing, or with *check* only say what is; a line for each.

    Raises StoreGoneError and BrokerGoneError.
    """
    dsn = settings.postgres.dsn.get_secret_value()
    steps = await (store.pending(dsn) if check else store.migrate(dsn))
    connection = parts.connection(settings)
    topics = wanted((*settings.kafka.topics, settings.kafka.quarantine_topic))
    if check:
        found = await missing(connection, topics)
    else:
        found = await create_missing(
            connection, topics, replication_factor=settings.kafka.replication_factor
        )
    verb = "is missing" if check else "done"
    return [f"table step {name} {verb}" for name in steps] + [
        f"topic {topic.name} ({topic.partitions} partitions) {verb}" for topic in found
    ]
