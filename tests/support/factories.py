"""Values for tests: what a test doesn't care about has a default."""

import copy

from services import catalogue
from services.kernel.event import Event, Json, Partition, Position, Record
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.subscription import SignatureScheme, SigningKey, Subscription

PROJECT = "5e208446c97efa37d4830b01"
PARTITION = Partition("planner.events", 3)
KNOWN = catalogue.event_types()  # read here: the loop of an async test is not to wait for a file
KEY = SigningKey(SignatureScheme.V1, bytes(range(1, 33)))


def a_record(
    value: bytes | None,
    *,
    offset: int = 7,
    partition: Partition = PARTITION,
    key: bytes | None = None,
    timestamp_ms: int = 1_647_510_067_195,
    **headers: bytes | None,
) -> Record:
    return Record(
        position=Position(partition, offset),
        timestamp_ms=timestamp_ms,
        key=key,
        value=value,
        headers=list(headers.items()),
    )


def a_body(type_: str = "plan.created", **fields: object) -> Json:
    return {
        "id": "61f0a446c97efa37d4831020",
        "type": type_,
        "created_at": "2022-03-17T09:40:51.000Z",
        "project_id": PROJECT,
        "data": {},
        **fields,
    }


def an_event(
    type_: str = "plan.created",
    *,
    key: str | None = None,
    project: str = PROJECT,
    offset: int = 7,
    **fields: object,
) -> Event:
    """Return an event as the decoder makes it; *fields* are those of its body."""
    return as_event(a_body(type_, project_id=project, **fields), key=key, offset=offset)


def an_example(type_: str) -> Event:
    """Return the catalogue's example of a type, with its key."""
    body = copy.deepcopy(catalogue.examples()[type_])
    return as_event(body, key=body["meta"]["ordering_key"])


def as_event(body: Json, *, key: str | None = None, offset: int = 7) -> Event:
    return Event(
        id=body["id"],
        type=body["type"],
        project_id=body["project_id"],
        created_at=body["created_at"],
        body=body,
        position=Position(PARTITION, offset),
        key=key,
        timestamp_ms=1_647_510_067_195,
        known=body["type"] in KNOWN,
    )


def a_subscription(
    *types: str,
    id_: str = "5e208446c97efa37d4830b0c",
    project: str = PROJECT,
    url: str = "https://example.com/hook",
    **fields: object,
) -> Subscription:
    return Subscription(
        id=SubscriptionId(id_),
        project_id=ProjectId(project),
        url=url,
        types=types,
        keys=fields.pop("keys", (KEY,)),
        **fields,
    )
