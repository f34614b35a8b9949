"""The bounds of a worker, as plain values."""

from datetime import timedelta

from services.kernel.value import value


@value
class Limits:
    """Times in seconds. What each is for stands in the settings of the same name."""

    commit_interval: float = 0.1
    session: float = 10.0
    revoke: float = 2.0
    park_after: float = 2.0
    hold: float = 30.0
    store_lanes: float = 1.0
    retry_poll: float = 0.5
    reload: float = 60.0
    stuck: float = 60.0
    give_up_after: timedelta | None = None
    window_open: int = 1_000
    window_offsets: int = 50_000
    window_bytes: int = 64 << 20
    window_deliveries: int = 100_000
    budget_rows: int = 10_000
    budget_bytes: int = 16 << 20
    max_body_bytes: int = 256 << 10
    poll_records: int = 500
    poll_wait: float = 0.2
    slice_records: int = 200
    slice_deliveries: int = 2_000

    @property
    def ordered(self) -> float:
        """How long an ordered request may take, at most.

        It begins only while the session can't end before it; the group's heartbeats are a quarter of
        the session apart, so that there is always time for one.
        """
        return self.session * 0.6
