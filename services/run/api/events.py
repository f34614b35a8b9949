"""Events into the log, and the log as people read it."""

import os
from typing import NamedTuple

from services.control.batches import Batches
from services.control.ingest import Ingest
from services.control.journal import Journal
from services.control.log_begins import Log
from services.control.matches import Matches
from services.control.tail import Tail
from services.record import codec
from services.run.api.base import Base
from services.run.api.people import People
from services.run.api.webhooks import Webhooks


class Events(NamedTuple):
    """What writes to the log and reads it."""

    ingest: Ingest
    journal: Journal
    tail: Tail
    matches: Matches
    begins: Log
    batches: Batches


def events_of(base: Base, people: People, webhooks: Webhooks) -> Events:
    """Return what writes to the log and reads it."""
    settings, clock = base.settings, base.clock
    journal = Journal(
        readers=base.readers.pages,
        offsets=base.offsets,
        topics=base.topics,
        subscriptions=webhooks.subscriptions,
        geofences=base.stores.geofences,
        decoder=base.decoder(),
        max_body_bytes=base.max_body_bytes,
        clock=clock,
    )
    return Events(
        ingest=Ingest(
            producer=base.producer,
            access=people.access,
            clock=clock,
            entropy=os.urandom,
            max_record_bytes=settings.kafka.max_record_bytes,
        ),
        journal=journal,
        tail=Tail(
            make_reader=base.readers.make,
            offsets=base.offsets,
            journal=journal,
            attempts_topic=settings.record.topic if settings.record.enabled else None,
            decode=codec.decode,
            clock=clock,
        ),
        matches=Matches(
            journal=journal, subscriptions=webhooks.subscriptions, filters=webhooks.filters
        ),
        begins=Log(topics=base.topics, offsets=base.offsets, reader=base.readers.make),
        batches=Batches(journal=journal, max_body_bytes=base.max_body_bytes),
    )
