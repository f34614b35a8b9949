"""How the service is seen from outside: logs as JSON lines, metrics, health, traces.

    logging   structlog, filtered at set-up: one line per event
    metrics   every metric, declared once with its meaning and its labels
    health    `/healthz`, `/readyz` and `/metrics`, on a port of its own in each role
    lag       how late the event loop gets to what is due
    attempts  a line for each request that failed, and for a share of the others
    tracing   spans for a collector, made after what they describe is over

Logs never hold a body, a secret or a query string. Labels come from closed sets, never from ids or URLs.
"""
