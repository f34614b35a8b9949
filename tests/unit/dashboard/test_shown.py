"""Numbers, charts, words and filled forms, as people read them."""

from typing import Any

import pytest

from services.dashboard import charts, words
from services.dashboard.forms import Form, lines, moment, number
from services.dashboard.hints import hint
from services.dashboard.samples import samples, text
from services.dashboard.templates import Templates, ms, percent, size, with_query
from services.dashboard.views import webhook_form
from services.kernel.errors import Fault
from services.kernel.lane import Reason

NOTHING = {"delivered": 0, "failed": 0}
WEBHOOK: dict[str, Any] = {"status": "active", "status_reason": None, "failure_count": 0}


@pytest.mark.parametrize(
    ("share", "shown"), [(None, "—"), (1, "100 %"), (0.99999, "99.9 %"), (0.5, "50 %"), (0, "0 %")]
)
def test_all_is_said_only_of_all(share: float | None, shown: str) -> None:
    assert percent(share) == shown


def test_units_are_chosen_for_people() -> None:
    assert [ms(7.6), ms(1234.0)] == ["8 ms", "1.2 s"]
    assert [size(812), size(1_400_000)] == ["812 bytes", "1.4 MB"]
    assert [words.duration(s) for s in (45, 720, 12_000, 86_400, 200_000)] == [
        "45 s", "12 min", "3 h 20 min", "1 day", "2 days",
    ]  # fmt: skip


def test_a_cursor_is_left_behind_when_filters_change() -> None:
    query = {"status": "paused", "cursor": "abc"}
    assert with_query(query, status=None) == ""
    assert with_query(query, cursor="def") == "?status=paused&cursor=def"


def test_bars_stand_upon_each_other_and_fill_the_scale() -> None:
    drawn = charts.stacked([[6, 0], [2, 4]])
    assert drawn.top == 8
    (low,), (high, alone) = drawn.bars
    assert high.y + high.height == low.y
    assert alone.y + alone.height == charts.HEIGHT
    assert low.y + low.height == charts.HEIGHT


def test_a_line_breaks_where_nothing_is_known() -> None:
    (path,) = charts.lines([[1, 2, None, 4, None]]).lines
    assert path.count("M") == 2
    assert path.count("L") == 1
    assert charts.sparkline([None, None]) == ""


@pytest.mark.parametrize("value", [1.2, 2, 3, 7, 45, 99, 101, 12_345])
def test_a_scale_ends_not_far_above_and_its_half_is_round_too(value: float) -> None:
    top = charts.nice(value)
    assert value <= top <= max(2.0, value * 2)
    assert (top / 2).is_integer(), "what is written beside the line is where the line is"
    assert charts.nice(0) == charts.nice(0.003) == 2


def test_health_is_a_word() -> None:
    def of(delivered: int, failed: int, **webhook: object) -> str:
        return words.health({**WEBHOOK, **webhook}, {"delivered": delivered, "failed": failed}).word

    assert of(0, 0) == "Quiet"
    assert of(100, 0) == "Healthy"
    assert of(90, 10) == "Unsteady"
    assert of(100, 0, failure_count=3) == "Failing"
    assert of(100, 0, status="paused") == "Paused"


@pytest.mark.parametrize("reason", [each for each in Reason if each not in ("paused", "disabled")])
def test_every_reason_for_being_behind_is_said_in_words(reason: Reason) -> None:
    found = words.standing(WEBHOOK, {"reason": reason.value})
    assert found != words.standing(WEBHOOK, None)
    assert found.why.endswith(".")
    assert found.next.endswith(".")


def test_what_a_filter_let_pass_is_said_with_what_stopped_the_others() -> None:
    def of(matched: int, seen: int, explained: int = 0, **clauses: int) -> str:
        told = [
            {"pointer": f"/filter/data/{name}", "path": f"data.{name}", "count": count}
            for name, count in clauses.items()
        ]
        misses = {"explained": explained, "clauses": told}
        return words.matched({"last_day": {"seen": seen, "matched": matched}, "misses": misses})

    never = of(0, 100_000, 98, source=95, plan=12)
    assert never == "0 of the last 100,000 events, mostly for data.source"
    some = of(1_512, 100_000, 10, source=4, plan=3, speed=1)
    expected = (
        "1,512 of the last 100,000 events, the others mostly stopped at data.source and data.plan"
    )
    assert some == expected
    scattered = of(0, 9, 10, a=2, b=1, c=1, d=1)
    assert scattered == "0 of the last 9 events, mostly for data.a, data.b and data.c"
    assert of(7, 7) == "7 of the last 7 events"
    assert of(0, 0) == "No event of these types came in the last 24 hours"


def test_one_field_in_two_branches_is_named_once() -> None:
    told = [
        {"pointer": f"/filter/$or/{n}/data/speed", "path": "data.speed", "count": 3} for n in (0, 1)
    ]
    matches = {
        "last_day": {"seen": 5, "matched": 0},
        "misses": {"explained": 10, "clauses": told},
    }
    assert words.matched(matches) == "0 of the last 5 events, mostly for data.speed"


def test_a_hint_names_what_to_do() -> None:
    assert "rotated" in hint({"outcome": "http", "status": 401})
    assert "deployment" in hint({"outcome": "http", "status": 404})
    assert "expired" in hint({"outcome": "tls", "status": None})
    assert "redirect" in hint({"outcome": "http", "status": 308})
    assert hint({"outcome": "ok", "status": 200}) == ""


def test_a_fault_stands_at_its_field_or_above_all() -> None:
    faults = [
        Fault("a", "at types", "/types/3"),
        Fault("b", "at none", "/project_id"),
        Fault("c", "of the query", parameter="limit"),
    ]
    form = Form({"types": "x"}, faults)
    assert form.of("/types") == ["at types"]
    assert form.of("limit") == ["of the query"]
    assert form.elsewhere(["/types", "limit"]) == ["at none"]
    assert (form.value("types", "y"), form.value("url", "z")) == ("x", "z")


def test_what_is_typed_is_a_number_or_the_apis_to_refuse() -> None:
    assert [number(each) for each in ("", " 5 ", "0.5", "many")] == [None, 5, 0.5, "many"]
    assert lines("a, b\n\nc") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("2026-03-17", "2026-03-17T00:00:00Z"),
        (" 2026-03-17 09:40 ", "2026-03-17T09:40:00Z"),
        ("2026-03-17T09:40:51", "2026-03-17T09:40:51Z"),
        ("2026-03-17T09:40:51.000Z", "2026-03-17T09:40:51.000Z"),
        ("2026-03-17T09:40:51+01:00", "2026-03-17T09:40:51+01:00"),
        ("yesterday", "yesterday"),
    ],
)
def test_a_day_or_a_minute_is_a_time_and_all_else_is_the_apis_to_judge(
    typed: str, read: str
) -> None:
    assert moment(typed) == read


def test_only_what_was_changed_is_sent() -> None:
    webhook = {
        "description": "", "url": "https://example.com", "types": ["*"], "filter": {"type": ["a"]},
        "retry_schedule": None, "rate_limit": None, "max_in_flight": 8, "timeout_seconds": 15.0,
        "profile": "planner-2022", "ordered": "none", "order_by": "key", "on_exhausted": "skip",
        "expand": [], "delivery": {"mode": "batch", "max_events": 100, "max_wait_ms": 1000},
        "max_age_seconds": {"vehicle.position": 30},
    }  # fmt: skip
    same = webhook_form.values_of(webhook)
    crlf = {name: text.replace("\n", "\r\n") for name, text in same.items()}
    assert webhook_form.body_of(crlf, {}, webhook) == ({}, [])
    changed = {**same, "rate_limit": "2.5", "filter": "", "retry_schedule": "5 x"}
    changed |= {"delivery": "each", "age_vehicle.position": "", "age_route.track": "60"}
    body, faults = webhook_form.body_of(changed, {"expand": ["stops"]}, webhook)
    assert faults == []
    assert body == {
        "rate_limit": 2.5, "filter": None, "retry_schedule": [5, "x"], "expand": ["stops"],
        "delivery": {"mode": "each"},
        "max_age_seconds": {"vehicle.position": None, "route.track": 60},
    }  # fmt: skip


def test_every_sample_is_there() -> None:
    assert all("WEBHOOK_SECRET" in text(sample.file) for sample in samples())


def test_every_template_compiles_and_escapes() -> None:
    problem = {"status": 404, "title": "<b>", "detail": "x"}
    templates = Templates()
    assert "macros.html" in templates._environment.list_templates()
    drawn = templates._environment.from_string("{{ title }}").render(problem)
    assert drawn == "&lt;b&gt;"
