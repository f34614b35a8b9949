"""An entry of the audit says what it is about as people call it, and leads there."""

from typing import Any

from services.dashboard.noted import named, page_of

WEBHOOKS = {"a" * 24: {"description": "Order system", "url": "https://example.com/hook"}}


def an_entry(kind: str, action: str = "update", **documents: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    about = {"object_type": kind, "object_id": "a" * 24, "project_id": "b" * 24, "action": action}
    return {"before": None, "after": None, **about, **documents}


def test_a_webhook_is_called_what_it_is_called_today() -> None:
    changed = an_entry("subscription", before={"description": "ERP"}, after={"description": "X"})
    assert named(changed, WEBHOOKS) == "Order system"
    assert named(changed, {}) == "X"
    gone = an_entry(
        "subscription", "delete", before={"description": "", "url": "https://a.example"}
    )
    assert named(gone, {}) == "a.example"


def test_other_things_have_the_name_that_they_were_made_with() -> None:
    assert named(an_entry("api_key", "create", after={"name": "CI"}), WEBHOOKS) == "CI"
    assert (
        named(an_entry("geofence", before={"label": "Depot"}, after={"label": "Yard"}), {})
        == "Yard"
    )
    assert named(an_entry("resend", "cancel"), {}) == ""


def test_an_entry_leads_to_what_is_there_and_may_be_seen() -> None:
    assert page_of(an_entry("subscription"), is_operator=False) == f"/webhooks/{'a' * 24}"
    assert page_of(an_entry("subscription", "delete"), is_operator=True) is None
    assert page_of(an_entry("api_key"), is_operator=True) == f"/projects/{'b' * 24}"
    assert page_of(an_entry("api_key"), is_operator=False) is None
