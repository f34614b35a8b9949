"""What a seed stands for: how many of what, how bounded, and what goes wrong."""

import random
from dataclasses import dataclass, replace
from enum import StrEnum

from services.dispatch.limits import Limits
from tests.support.fake_receivers import Manner


class Kind(StrEnum):
    """Which faults there are; the fewer, the more can be promised."""

    GRACEFUL = "graceful"  #: stops, starts and rebalances: nothing repeats
    CRASHES = "crashes"  #: kill -9 as well: little repeats, and only what is young
    EVERYTHING = "everything"  #: all of it: nothing is lost


class Fault(StrEnum):
    """One thing that goes wrong, or that people do."""

    STOP = "stop"  #: SIGTERM; another process takes over the name, sooner or later
    SCALE = "scale"  #: one worker more, or one less
    KILL = "kill"  #: kill -9, between any two steps
    NAP = "nap"  #: SIGSTOP, for shorter or longer than a session, then SIGCONT
    TWIN = "twin"  #: as a nap, but meanwhile another process takes over the name
    EVICT = "evict"  #: the group forgets a member
    FAIL = "fail"  #: a member fails beyond repair
    STORE_DOWN = "store down"
    STORE_LOSES = "store loses"  #: what it is asked takes effect, its answers get lost
    KAFKA_DOWN = "kafka down"
    KAFKA_LOSES = "kafka loses"
    RETENTION = "retention"  #: the log begins further up, below what the feed has committed
    JUMP = "jump"  #: the clock on the wall, not the one that only runs forward
    REWIND = "rewind"  #: a person has a subscription go on elsewhere, or adds types to it
    RESET = "reset"  #: a person stops all workers and sets the group's offset of a partition
    RESTORE = "restore"  #: Postgres is put back to an older state while all workers are stopped
    RECREATE = "recreate"  #: at the end all is stopped, and the topic of the events is made anew
    PERSON = "person"  #: pauses, resumes, changes, deletes, adds a subscription


RARE = (Fault.RESET, Fault.RESTORE, Fault.RECREATE)
OFTEN = [fault for fault in Fault if fault not in RARE]
SHARE = 5
"""One in so many stories has them too: they take seconds."""
GRACEFUL = (Fault.STOP, Fault.SCALE, Fault.PERSON, Fault.REWIND)
CRASHES = (Fault.KILL, Fault.KILL, Fault.KILL, Fault.STOP)

PATIENT = [Manner.OK, Manner.SLOW, Manner.FAILING, Manner.FLAPPING, Manner.GONE]


@dataclass(frozen=True)
class Scenario:
    """All that is decided before anything happens."""

    seed: int
    kind: Kind
    workers: int
    partitions: int
    manners: tuple[Manner, ...]
    events: int
    seconds: float
    """Over which events are produced and things go wrong."""
    fault_seconds: float
    """Between faults, on average."""
    faults: tuple[Fault, ...]
    limits: Limits
    schedule: tuple[float, ...]
    max_in_flight: int
    drain_seconds: float
    rebalance_timeout: float
    session_timeout: float = 3.0

    @staticmethod
    def of(seed: int) -> "Scenario":
        """Decide by the *seed* alone."""
        chance = random.Random(f"{seed}/scenario")
        kind = chance.choice([Kind.GRACEFUL, Kind.CRASHES, Kind.EVERYTHING, Kind.EVERYTHING])
        manners = PATIENT if kind is not Kind.EVERYTHING else list(Manner)
        return Scenario(
            seed=seed,
            kind=kind,
            workers=chance.choice([1, 2, 2, 3]),
            partitions=chance.choice([1, 2, 4]),
            manners=(Manner.OK, *chance.choices(manners, k=chance.randrange(1, 5))),
            events=chance.randrange(20, 120),
            seconds=chance.uniform(4, 14),
            fault_seconds=chance.uniform(0.5, 4),
            faults=_faults(kind, chance, is_rare=seed % SHARE == 0),
            limits=_limits(kind, chance),
            schedule=chance.choice([(0.5,), (0.5, 1.0, 2.0), (0.2, 0.2, 0.5, 1.0, 1.0, 2.0)]),
            max_in_flight=chance.choice([1, 4, 64]),
            drain_seconds=chance.choice([2.5, 5.0]),
            rebalance_timeout=chance.choice([6.0, 20.0]),
        )


def _faults(kind: Kind, chance: random.Random, *, is_rare: bool) -> tuple[Fault, ...]:
    if kind is Kind.GRACEFUL:
        return GRACEFUL
    if kind is Kind.CRASHES:
        return CRASHES
    found = chance.sample(OFTEN, k=chance.randrange(1, len(OFTEN) + 1))
    return (*RARE, *found[:2]) if is_rare else tuple(found)


def _limits(kind: Kind, chance: random.Random) -> Limits:
    ample = kind is not Kind.EVERYTHING
    found = Limits(
        session=3.0,
        commit_interval=0.1,
        revoke=2.5 if kind is Kind.GRACEFUL else chance.choice([0.1, 2.0]),
        park_after=chance.choice([0.3, 2.0]),
        hold=chance.choice([0.5, 3.0]),
        store_lanes=chance.choice([0.2, 1.0]),
        retry_poll=chance.choice([0.2, 0.5]),
        reload=chance.choice([5.0, 60.0]),
        window_open=1000 if ample else chance.choice([5, 20, 1000]),
        window_offsets=chance.choice([100, 50_000]),
        budget_rows=10_000 if ample else chance.choice([1, 5, 10_000]),
        poll_records=chance.choice([3, 20, 500]),
        slice_records=chance.choice([1, 5, 200]),
    )
    return replace(
        found, window_deliveries=3 * found.window_open, slice_deliveries=2 * found.slice_records
    )
