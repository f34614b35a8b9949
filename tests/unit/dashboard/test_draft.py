"""What came too late is kept without secrets, and leads nowhere else."""

import pytest

from services.dashboard import draft
from services.kernel.errors import FaultsError


def test_a_draft_comes_back_as_it_was_but_for_secrets() -> None:
    typed = {
        "types": ["a", "b"],
        "secret": ["whsec_x"],
        "key": ["priv_x"],
        "headers": ["Authorization: x"],
        "name": [""],
    }
    kept = draft.kept("/webhooks", "/webhooks/new", typed)
    assert kept.fields == [("types", "a"), ("types", "b"), ("name", "")]
    assert draft.read(kept.written()) == kept


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{}",
        "[1, 2, 3]",
        '["/webhooks", "/webhooks"]',
        '["//evil.example/", "/webhooks", []]',
        '["https://evil.example/", "/webhooks", []]',
        '["/webhooks", "/webhooks", [1]]',
    ],
)
def test_what_is_no_draft_of_ours_is_none(text: str | None) -> None:
    assert draft.read(text) is None


@pytest.mark.parametrize(
    ("referer", "expected"),
    [
        ("https://hooks.example.com/webhooks/new?url=x", "/webhooks/new?url=x"),
        (None, draft.HOME),
        ("https://hooks.example.com", draft.HOME),
        ("https://hooks.example.com//evil.example", draft.HOME),
    ],
)
def test_where_a_form_was_is_a_path_of_ours(referer: str | None, expected: str) -> None:
    assert draft.origin_of(referer) == expected


def test_a_form_that_is_shown_again_says_why_as_a_fault_of_its_own() -> None:
    error = draft.AgainError("/webhooks/new")
    assert isinstance(error, FaultsError)
    assert [fault.code for fault in error.faults] == [draft.CODE]
