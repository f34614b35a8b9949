"""`trigger`: the example of a type, with fields changed by their paths."""

import pytest

from services import catalogue
from services.cli.command import UsageError
from services.cli.console import Console
from services.cli.trigger import an_example, apply, trigger
from services.control.bench import Misbehaviour


@pytest.mark.parametrize("type_", catalogue.event_types())
def test_every_type_has_an_example_that_happens_now_and_is_a_new_event(type_: str) -> None:
    one, other = an_example(type_), an_example(type_)
    assert one["type"] == type_
    assert one["id"] != other["id"]
    assert "project_id" not in one
    assert one["data"] == catalogue.examples()[type_]["data"]


def test_older_names_are_known() -> None:
    assert an_example("client.created")["type"] == "customer.created"


@pytest.mark.parametrize(
    ("written", "said"),
    [("stop.reprt.completed", "'stop.report.completed'"), ("service.report", "name one of")],
)
def test_an_unknown_type_is_answered_with_what_was_meant(written: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        an_example(written)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("a.b=1", {"a": {"b": 1, "c": [1, 2]}}),
        ("a.c.1=x=y", {"a": {"b": 0, "c": [1, "x=y"]}}),
        ("n.m=null", {"a": {"b": 0, "c": [1, 2]}, "n": {"m": None}}),
        ("a=true", {"a": True}),
        ('a="1"', {"a": "1"}),
        ("a=", {"a": ""}),
    ],
)
def test_a_field_is_set_by_its_path(change: str, expected: object) -> None:
    event = {"a": {"b": 0, "c": [1, 2]}}
    apply(event, change)
    assert event == expected


@pytest.mark.parametrize("change", ["a", "=1", "", "a.b.x=1", "a.c.2=1", "a.c.x=1", "a.c.2.y=1"])
def test_a_path_that_leads_nowhere_is_wrong_usage(change: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        apply({"a": {"b": 0, "c": [1, 2]}}, change)


def test_an_example_is_changed_without_changing_the_catalogue() -> None:
    event = an_example("plan.created")
    apply(event, "data.label=Tuesday")
    assert catalogue.examples()["plan.created"]["data"]["label"] != "Tuesday"


async def test_what_misbehaves_needs_a_receiver_to_try() -> None:
    console = Console(api=None, key=None, as_json=False, no_color=True)
    with pytest.raises(UsageError, match="name its subscription with --to"):
        await trigger(console, type_="plan.created", misbehave=Misbehaviour.TWICE)
