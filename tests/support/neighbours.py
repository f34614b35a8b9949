"""Tables as the releases before and after this one may have left them.

Releases expand, and contract one release later. So while one is rolled out, in either direction, a
version meets columns and tables that the next one has added already, and some that the one before still
writes and it does not.
"""

from tests.support.databases import connected

TABLES = """
    select relname from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
"""


async def widen(dsn: str) -> None:
    """Add to each table a column of the next version and one of the version before, and a table."""
    async with connected(dsn) as connection:
        tables = [row["relname"] for row in await connection.fetch(TABLES)]
        assert {"subscriptions", "retries", "attempts"} <= set(tables)
        for table in tables:
            await connection.execute(
                f'alter table "{table}" add column of_the_next_version text,'
                " add column of_the_version_before text not null default ''"
            )
        await connection.execute("create table of_the_next_version (id text primary key)")
        await connection.execute(
            "insert into schema_migrations (number, name)"
            " values (9999, '9999_of_the_next_version.sql')"
        )
