"""A fake and the real thing are held to the same claims: each test runs twice."""

import pytest


@pytest.fixture(params=["fake", "postgres"])
def dsn(request: pytest.FixtureRequest, template_database: str) -> str | None:  # noqa: ARG001 - started before the guards
    """None for the fake."""
    return None if request.param == "fake" else request.getfixturevalue("database")
