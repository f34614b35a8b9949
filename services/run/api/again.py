"""What is sent once more: part of the log, chosen deliveries, what was given up."""

import os
from typing import NamedTuple

from services.control.dead_letters import DeadLetters
from services.control.from_log import FromLog
from services.control.replay_counts import Counts
from services.control.replays import Replays
from services.control.resending import Runner
from services.control.resends import Kept, Resends
from services.run.api.base import Base
from services.run.api.events import Events
from services.run.api.people import People
from services.run.api.webhooks import Webhooks


class Again(NamedTuple):
    """What is asked for, and what does it."""

    replays: Replays
    resends: Resends
    dead_letters: DeadLetters
    runner: Runner
    """Runs resends; replays are run by the dispatchers."""


def again_of(base: Base, people: People, webhooks: Webhooks, events: Events) -> Again:
    """Return what sends once more."""
    stores, clock, audit = base.stores, base.clock, people.audit
    return Again(
        replays=Replays(
            store=stores.replays,
            log=events.begins,
            subscriptions=webhooks.subscriptions,
            counts=Counts(
                log=events.begins,
                decoder=base.decoder(),
                clock=clock,
                max_body_bytes=base.max_body_bytes,
            ),
            audit=audit,
            clock=clock,
            entropy=os.urandom,
        ),
        resends=Resends(
            store=stores.resends,
            kept=Kept(
                letters=stores.dead_letters,
                history=stores.history,
                journal=events.journal,
                batches=events.batches,
                log=events.begins,
            ),
            subscriptions=webhooks.subscriptions,
            audit=audit,
            clock=clock,
            entropy=os.urandom,
        ),
        dead_letters=DeadLetters(store=stores.dead_letters, audit=audit),
        runner=_runner(base, events),
    )


def _runner(base: Base, events: Events) -> Runner:
    return Runner(
        store=base.stores.resends,
        history=base.stores.history,
        from_log=FromLog(
            readers=base.readers.jobs,
            offsets=base.offsets,
            registrations=base.stores.registrations,
            batches=events.batches,
            decoder=base.decoder(),
            max_body_bytes=base.max_body_bytes,
            clock=base.clock,
        ),
        clock=base.clock,
        name=base.name,
    )
