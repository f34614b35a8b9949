"""Two people who each add a migration learn of it before it lands, not from a database."""

from importlib import resources


def test_migrations_are_numbered_one_after_the_other() -> None:
    folder = resources.files("schemas").joinpath("postgres", "migrations")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
