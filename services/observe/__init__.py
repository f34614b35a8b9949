"""Seen from outside: logs as JSON lines, metrics declared once with their meaning, health.

Logs never hold a body, a secret or a query string. Labels come from closed sets, never an id or URL.
"""
