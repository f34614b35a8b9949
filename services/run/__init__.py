"""Composition roots: the only place that builds things, and that reads the settings.

    dispatch, record, geofence, api/   one for each role; dashboard, the pages of the last
    migrate, reset, rotation, listen   commands that need Kafka, Postgres or the network themselves
    dev                                everything on this machine
    starting                           how a role starts, says what it waits for, and is told to end
    parts                              what several build from the settings in the same way

    bench, bench_catchup, bench_history, bench_isolation, bench_pages   figures
    chaos, chaos_crew, chaos_load, chaos_store   everything that can happen to processes
    stack, ground, month, probes                 what both of these run on

A role waits for Kafka and Postgres with a log line that says what for, runs until SIGTERM, drains, and
closes in the reverse order.
"""
