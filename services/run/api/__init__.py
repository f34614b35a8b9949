"""`planner-webhooks api`: the REST API and the pages, on real Kafka, real Postgres and the real network.

    Postgres ──▶ base ──▶ people ──▶ webhooks ──▶ events ──▶ again ───┐
    Kafka ─────▶  │                                  └─────▶ insight ─┴▶ serving ──▶ role: listens, drains
    network ───▶  └── stores ──▶ chores                                    └── pages, by run/dashboard

    base      what everything else stands on: connections, readers of the log, the sender
    stores    what the API keeps in Postgres
    people    who is calling, and the record of what they did
    webhooks  subscriptions and what belongs to them: filters, geofences, portal links, test calls
    events    events into the log, and the log as people read it
    again     sending once more: replays, resends, dead letters
    insight   what happened and what would: history, volumes, dry runs, who is behind
    serving   all of that behind one table of routes
    chores    what runs beside the requests

Each returns one value, which `role` hands on to those that need it.
"""
