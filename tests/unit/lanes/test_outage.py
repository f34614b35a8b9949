"""Our own outage: nobody at all can be connected to, for ten seconds, over ten hosts."""

from services.lanes.outage import Outage


def tried(outage: Outage, hosts: int, *, until: float = 11.0) -> None:
    for second in range(int(until) + 1):
        for n in range(hosts):
            outage.failed(f"h{n}", float(second))


def test_nobody_reached_for_ten_seconds_over_ten_hosts_is_us() -> None:
    outage = Outage(now=0.0)
    tried(outage, 10)
    assert outage.is_ours(11.0)


def test_nine_hosts_are_them() -> None:
    outage = Outage(now=0.0)
    tried(outage, 9)
    assert not outage.is_ours(100.0)


def test_nine_seconds_are_too_early() -> None:
    outage = Outage(now=0.0)
    tried(outage, 12, until=9.0)
    assert not outage.is_ours(9.0)


def test_one_connection_ends_it() -> None:
    outage = Outage(now=0.0)
    tried(outage, 20)
    outage.reached(11.5)
    assert not outage.is_ours(11.5)
    outage.failed("h1", 12.0)
    assert not outage.is_ours(30.0)


def test_a_quiet_worker_has_no_outage() -> None:
    assert not Outage(now=0.0).is_ours(1000.0)


def test_it_remembers_no_more_hosts_than_it_needs() -> None:
    outage = Outage(now=0.0)
    for n in range(10_000):
        outage.failed(f"h{n}", 1.0)
    assert len(outage._failed) == 10
