"""A runaway script slows itself alone; a weak key of the operator is told."""

import contextlib

import pytest

from services.control.access import weakness
from services.control.rates import MAX_KEYS, Rates, TooManyRequestsError


class Time:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def taken(rates: Rates, key: str, times: int) -> int:
    """Return how many of *times* requests were allowed."""
    allowed = 0
    for _ in range(times):
        with contextlib.suppress(TooManyRequestsError):
            rates.take(key)
            allowed += 1
    return allowed


def test_a_key_gets_its_rate_and_a_burst_and_others_are_not_slowed() -> None:
    time = Time()
    rates = Rates(per_second=10, monotonic=time)
    assert taken(rates, "script", 50) == 20
    assert taken(rates, "other", 5) == 5
    time.now += 1
    assert taken(rates, "script", 50) == 10
    time.now += 3_600
    assert taken(rates, "script", 50) == 20


def test_the_wait_that_is_told_is_enough() -> None:
    time = Time()
    rates = Rates(per_second=0.1, monotonic=time)
    rates.take("slow")
    with pytest.raises(TooManyRequestsError) as caught:
        rates.take("slow")
    assert caught.value.retry_after == 10
    time.now += caught.value.retry_after
    rates.take("slow")


def test_memory_is_bounded_by_forgetting_who_was_idle_for_longest() -> None:
    rates = Rates(per_second=1, monotonic=Time())
    for n in range(MAX_KEYS + 50):
        rates.take(str(n))
    assert len(rates._buckets) == MAX_KEYS


@pytest.mark.parametrize(
    "key",
    ["short", "a" * 40, "abababababababababab", "changeme-changeme-changeme",
     "planner-webhooks-admin-key", "priv_admin_password_1", "Please Change This Secret"],
)  # fmt: skip
def test_a_weak_key_of_the_operator_is_told(key: str) -> None:
    assert weakness(key)


@pytest.mark.parametrize(
    "key", ["priv_S9vqH2xk0PbnT4wL", "4b825dc642cb6eb9a060e54bf8d69288fbee4904"]
)
def test_a_random_one_is_taken(key: str) -> None:
    assert weakness(key) is None
