"""Composition roots: the only place that builds things, and that reads the settings.

One module per role: `dispatch`, `api`, `dev`, and `migrate`. Each waits for Kafka and Postgres with a
log line that says what for, runs until SIGTERM, drains, and closes in the reverse order.
"""
