"""Seen from outside: logs as JSON lines, metrics declared once with their meaning, health, traces.

    logging   structlog, filtered at set-up: one line an event
    metrics   every metric, with its meaning and its labels
    health    `/healthz`, `/readyz`, `/metrics`, on a port of each role's own
    attempts  a line for each request that failed, and for a share of the others
    tracing   spans for a collector, made when what they tell of is over

Logs never hold a body, a secret or a query string. Labels come from closed sets, never an id or URL.
"""
