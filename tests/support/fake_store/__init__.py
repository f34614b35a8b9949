"""Postgres as workers see it, without Postgres; `tests/contract` has one suite for both."""

from tests.support.fake_store.client import FakeStore
from tests.support.fake_store.database import FakeDatabase
from tests.support.fake_store.tables import Tables, Watcher

__all__ = ["FakeDatabase", "FakeStore", "Tables", "Watcher"]
