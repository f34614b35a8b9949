"""Part of the log once more, for one subscription, beside its live traffic. Pure.

    POST …/replays ──▶ plan: a request becomes ranges of partitions, or faults
                          │ rows `replays`, `replay_ranges`
                          ▼
    owner of a partition ──▶ pace: which event may go when; a cursor of its own
                          │
                          └──▶ the subscription's outbox, like every other delivery

A replay never moves a live cursor: it has its own per partition, written every second under the
partition's epoch, and reads by pointer outside the group. After a crash it resumes from there, so it
repeats at most what was sent in the second before. Its requests carry the event's own `webhook-id`, and
`planner-replay` with the replay's id. A failed one becomes a retry row like any other and the replay
goes on; while the receiver can't be reached at all, the replay waits.
"""
