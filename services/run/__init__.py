"""Composition roots: the only place that builds things, and that reads the settings.

    dispatch, record, geofence, api/   one for each role; dashboard: the pages that `api` serves
    migrate, reset, rotation, listen   commands that need Kafka, Postgres or the network themselves
    dev                                everything on this machine
    starting                           how a role starts, says what it waits for, and is told to stop
    parts                              what several of them build from the settings in the same way

    bench, bench_catchup, bench_history, bench_isolation, bench_pages   benchmarks
    chaos, chaos_crew, chaos_load, chaos_store   everything that can happen to processes
    stack, ground, month, probes                 what benchmarks and chaos run on

A role waits for Kafka and Postgres with a log line that says what for, runs until SIGTERM, drains, and
closes what it opened in reverse order.
"""
