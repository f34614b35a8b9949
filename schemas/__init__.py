"""Data of the service: event catalogue, schemas and examples, OpenAPI, SQL.

Read with `importlib.resources`; nothing in it is repeated in code.
"""
