"""Subscriptions, and what belongs to them."""

import os
from typing import NamedTuple

from services.control.drafts import Drafts
from services.control.fields import Bounds, Fields
from services.control.filters import Filters
from services.control.geofences import Geofences
from services.control.keys import Keys
from services.control.portal import PortalLinks
from services.control.secrets import Secrets
from services.control.starts import Starts
from services.control.subscriptions import Subscriptions
from services.control.test_calls import TestCalls
from services.deliver.http import NameChecker
from services.kernel.ports.history import Unrecorded
from services.run import parts
from services.run.api.base import Base
from services.run.api.people import People

RESOLVE_SECONDS = 3.0


class Webhooks(NamedTuple):
    """What owners do with their subscriptions."""

    subscriptions: Subscriptions
    secrets: Secrets
    filters: Filters
    geofences: Geofences
    keys: Keys
    portal_links: PortalLinks
    test_calls: TestCalls


def webhooks_of(base: Base, people: People) -> Webhooks:
    """Return what owners work with."""
    stores, clock = base.stores, base.clock
    access, audit = people.access, people.audit
    fields = _fields(base)
    filters = Filters(access=access, geofences=stores.geofences)
    subscriptions = _subscriptions(base, people, fields, filters)
    return Webhooks(
        subscriptions=subscriptions,
        secrets=Secrets(
            store=stores.registrations,
            subscriptions=subscriptions,
            audit=audit,
            clock=clock,
            entropy=os.urandom,
        ),
        filters=filters,
        geofences=Geofences(
            store=stores.geofences, access=access, audit=audit, clock=clock, entropy=os.urandom
        ),
        keys=Keys(store=stores.keys, subscriptions=subscriptions, audit=audit),
        portal_links=PortalLinks(
            store=stores.portal_links,
            access=access,
            subscriptions=subscriptions,
            audit=audit,
            clock=clock,
            entropy=os.urandom,
        ),
        test_calls=TestCalls(
            attempts=base.attempts or Unrecorded(),
            subscriptions=subscriptions,
            fields=fields,
            sender=base.sender,
            client=base.client,
            clock=clock,
            entropy=os.urandom,
            max_body_bytes=base.max_body_bytes,
            user_agent=parts.user_agent(base.settings),
        ),
    )


def _subscriptions(base: Base, people: People, fields: Fields, filters: Filters) -> Subscriptions:
    store, clock = base.stores.registrations, base.clock
    return Subscriptions(
        store=store,
        drafts=Drafts(
            store=store,
            access=people.access,
            fields=fields,
            filters=filters,
            clock=clock,
            entropy=os.urandom,
        ),
        filters=filters,
        starts=Starts(offsets=base.offsets, topics=base.topics),
        audit=people.audit,
        clock=clock,
    )


def _fields(base: Base) -> Fields:
    deliver = base.settings.deliver
    return Fields(
        Bounds(
            policy=base.policy,
            resolver=NameChecker(policy=base.policy, seconds=RESOLVE_SECONDS),
            max_in_flight=deliver.max_in_flight_per_subscription,
            timeout_seconds=deliver.timeout_seconds,
        ),
        clock=base.clock,
    )
