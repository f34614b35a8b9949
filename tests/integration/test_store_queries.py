"""Every statement has a name, a sentence and a use; Postgres takes each as it stands."""

import re
from importlib import resources
from pathlib import Path

import services
from services.store.pool import queries
from tests.support.databases import connected

USE = re.compile(
    r'(?:(?:_pool\.(?:fetch|fetchrow|execute)|_ended)\(\s*|sql\[|queries\(\)\[)"(\w+)"'
)
HEAD = re.compile(r"^-- name: (\w+)\n((?:-- .*\n)*)", re.MULTILINE)


def written() -> list[tuple[str, str]]:
    """Return name and sentence of each statement, in the order of the files."""
    folder = resources.files("services.store").joinpath("queries")
    return [head for file in folder.iterdir() for head in HEAD.findall(file.read_text())]


def used() -> set[str]:
    code = Path(services.__file__).parent.rglob("*.py")
    return {name for path in code for name in USE.findall(path.read_text())}


def test_every_statement_is_used_and_every_used_one_exists() -> None:
    assert used() == set(queries())


def test_no_two_statements_share_a_name() -> None:
    names = [name for name, _ in written()]
    assert sorted(names) == sorted(queries())


def test_every_statement_says_in_a_sentence_what_it_does() -> None:
    assert [
        name for name, sentence in written() if not sentence.rstrip().endswith((".", "?"))
    ] == []


async def test_postgres_takes_every_statement(database: str) -> None:
    async with connected(database) as connection:
        for name, sql in queries().items():
            assert (await connection.prepare(sql, name=name)).get_query() == sql
