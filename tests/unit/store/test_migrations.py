"""A migration only adds: the version before runs on the new tables, so that going back needs no step."""

import re

import pytest

from services.store.migrate import Migration, migrations

TAKES_AWAY = {
    "drops": r"\bdrop\s+(table|column|view|function|trigger|type|constraint|not\s+null)\b",
    "renames": r"\brename\b",
    "changes a type": r"\balter\s+column\s+\w+\s+(set\s+data\s+)?type\b",
    "forbids null": r"\balter\s+column\s+\w+\s+set\s+not\s+null\b",
    "rewrites rows": r"(?:^|;)\s*(update|delete\s+from|truncate)\b",
    "demands what the version before doesn't write":
        r"\badd\s+column\s+(if\s+not\s+exists\s+)?\w+(?![^,;]*\bdefault\b)[^,;]*\bnot\s+null\b",
    "refuses what the version before writes": r"\badd\s+(constraint|check|unique)\b",
}  # fmt: skip

BEFORE_THE_FIRST_RELEASE = {"0011_attempts_smaller.sql"}
"""Nobody runs a version that would notice; there will be no more of them."""


def taken_away(sql: str) -> list[str]:
    """Return what a step does that the version before would notice."""
    text = re.sub(r"--[^\n]*", "", sql).lower()
    return [what for what, pattern in TAKES_AWAY.items() if re.search(pattern, text)]


@pytest.mark.parametrize("step", migrations(), ids=lambda step: step.name)
def test_a_step_only_adds(step: Migration) -> None:
    assert taken_away(step.sql) == [] or step.name in BEFORE_THE_FIRST_RELEASE


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("alter table a drop column b;", "drops"),
        ("alter table a rename column b to c;", "renames"),
        ("alter table a alter column b type bigint;", "changes a type"),
        ("alter table a alter column b set not null;", "forbids null"),
        ("create table x (a text);\nupdate a set b = 1;", "rewrites rows"),
        ("alter table a add column b text not null;",
         "demands what the version before doesn't write"),
        ("alter table a add constraint c check (b > 0);", "refuses what the version before writes"),
    ],
)  # fmt: skip
def test_what_takes_away_is_found(sql: str, found: str) -> None:
    assert taken_away(sql) == [found]


@pytest.mark.parametrize(
    "sql",
    ["alter table a add column b text not null default '';", "create table a (b text not null);",
     "create trigger t after insert or update or delete on a for each row execute function f();",
     "alter table a add column b text, add column c integer not null default 0;"],
)  # fmt: skip
def test_what_only_adds_is_let_through(sql: str) -> None:
    assert taken_away(sql) == []
