"""Patterns: what they select, and the name in which their owner is answered."""

import pytest

from services import catalogue
from services.kernel.subscription import Profile
from services.match.types import MAX_LENGTH, asked_name, faults, own_name, selected

P22 = Profile.PLANNER_2022
STREAMS = {"route.track", "vehicle.position"}
TYPES = list(catalogue.event_types())


def asked(type_: str, *patterns: str, profile: Profile = P22) -> str | None:
    return asked_name(patterns, type_, profile)


def codes(*patterns: object) -> list[tuple[str, str | None]]:
    return [(fault.code, fault.pointer) for fault in faults(patterns, pointer="/types")]


# What a pattern selects


@pytest.mark.parametrize("type_", TYPES)
def test_an_exact_name_selects_that_type_and_no_other(type_: str) -> None:
    assert selected(type_) == [type_]


@pytest.mark.parametrize("type_", TYPES)
def test_an_older_name_selects_todays_type(type_: str) -> None:
    for alias in catalogue.event_types()[type_].aliases:
        assert selected(alias) == [type_]
        assert selected(f"routal.planner.2.{alias}") == [type_]
    assert selected(f"routal.planner.2.{type_}") == [type_]


@pytest.mark.parametrize(
    "written", ["stop.report", "service.report", "routal.planner.2.stop.report"]
)
def test_an_umbrella_is_exactly_three_reports(written: str) -> None:
    assert sorted(selected(written)) == [
        "stop.report.canceled",
        "stop.report.completed",
        "stop.report.incomplete",
    ]


@pytest.mark.parametrize("written", ["stop.report.*", "service.report.*"])
def test_the_wildcard_of_an_umbrella_has_the_media_too(written: str) -> None:
    assert {*selected(written)} == {*selected("stop.report"), "stop.report.media_added"}


@pytest.mark.parametrize("written", ["*", "routal.planner.2.*"])
def test_a_star_selects_everything_but_streams(written: str) -> None:
    assert {*selected(written)} == {*TYPES} - STREAMS


@pytest.mark.parametrize(
    ("written", "prefix"),
    [
        ("plan.*", "plan."),
        ("route.*", "route."),
        ("driver.*", "route."),
        ("service.*", "stop."),
        ("client.*", "customer."),
        ("vehicle.*", "vehicle."),
        ("vehicle.geofence.*", "vehicle.geofence."),
        ("routal.planner.2.driver.*", "route."),
        ("webhook.*", "webhook."),
    ],
)
def test_a_wildcard_selects_its_family_but_no_stream(written: str, prefix: str) -> None:
    family = {type_ for type_ in TYPES if type_.startswith(prefix)}
    assert {*selected(written)} == family - STREAMS
    assert family


@pytest.mark.parametrize(
    ("written", "stream"),
    [
        ("vehicle.position", "vehicle.position"),
        ("route.track", "route.track"),
        ("driver.track", "route.track"),
    ],
)
def test_a_stream_is_selected_by_its_name_alone(written: str, stream: str) -> None:
    assert asked(stream, written) == written
    assert asked(stream, "*", "vehicle.*", "route.*", "driver.*", "routal.planner.2.*") is None


def test_a_wildcard_stands_for_one_or_more_further_segments() -> None:
    assert asked("stop.report.completed", "stop.*") == "stop.report.completed"
    assert asked("stop", "stop.*") is None
    assert asked("stop.", "stop.*") is None
    assert asked("stopwatch.started", "stop.*") is None


def test_types_added_later_are_delivered_to_wildcards_that_match_them() -> None:
    assert asked("stop.report.signed", "stop.report.*") == "stop.report.signed"
    assert asked("drone.launched", "*") == "drone.launched"
    assert asked("stop.report.signed", "stop.report") is None
    assert asked("route.paused", "driver.*") == "driver.paused"


def test_no_pattern_wants_nothing() -> None:
    assert asked("plan.created") is None
    assert asked("plan.created", "plan.updated", "route.*", "stop.report") is None


# The name asked for


@pytest.mark.parametrize(
    ("type_", "patterns", "answer"),
    [
        # exact before umbrella before wildcard, wherever they stand in the list
        (
            "stop.report.completed",
            ("*", "stop.*", "stop.report", "service.report.completed"),
            "service.report.completed",
        ),
        ("stop.report.completed", ("*", "stop.report.*", "service.report"), "service.report"),
        ("stop.report.completed", ("service.*", "stop.report.*"), "stop.report.completed"),
        ("stop.report.completed", ("service.report.*", "stop.*"), "service.report.completed"),
        ("stop.report.completed", ("*", "service.*"), "service.report.completed"),
        # of equals the first listed
        ("route.started", ("driver.started", "route.started"), "driver.started"),
        ("route.started", ("route.started", "driver.started"), "route.started"),
        ("route.started", ("driver.*", "route.*"), "driver.started"),
        ("route.started", ("route.*", "driver.*"), "route.started"),
        ("stop.report.canceled", ("stop.report", "service.report"), "stop.report"),
        ("stop.report.canceled", ("service.report", "stop.report"), "service.report"),
        ("plan.created", ("routal.planner.2.*", "*"), "routal.planner.2.plan.created"),
        ("plan.created", ("*", "routal.planner.2.*"), "plan.created"),
        # in the generation it was written in
        ("route.started", ("driver.*",), "driver.started"),
        ("customer.created", ("client.*",), "client.created"),
        ("route.started", ("routal.planner.2.driver.*",), "routal.planner.2.driver.started"),
        ("route.started", ("routal.planner.2.driver.started",), "routal.planner.2.driver.started"),
        # what doesn't match has no say
        ("stop.report.media_added", ("stop.report", "service.*"), "service.report.media_added"),
    ],
)
def test_the_most_specific_pattern_decides_in_which_name_is_answered(
    type_: str, patterns: tuple[str, ...], answer: str
) -> None:
    assert asked(type_, *patterns) == answer


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        (Profile.PLANNER_2022, ("route.started", "stop.created", "customer.created")),
        (Profile.PLANNER_V2, ("driver.started", "stop.created", "client.created")),
        (Profile.HIGHWAY_V1, ("route.started", "service.created", "client.created")),
        (Profile.ROUTAL_2, ("route.started", "stop.created", "customer.created")),
        (Profile.CLOUDEVENTS, ("route.started", "stop.created", "customer.created")),
        (Profile.STANDARD_WEBHOOKS, ("route.started", "stop.created", "customer.created")),
    ],
)
def test_a_star_is_answered_in_the_profiles_own_names(
    profile: Profile, names: tuple[str, ...]
) -> None:
    today = ("route.started", "stop.created", "customer.created")
    assert tuple(asked(type_, "*", profile=profile) for type_ in today) == names
    assert tuple(own_name(type_, profile) for type_ in today) == names


@pytest.mark.parametrize("profile", Profile)
def test_whatever_is_asked_by_name_is_answered_as_written_with_every_profile(
    profile: Profile,
) -> None:
    assert asked("route.started", "driver.started", profile=profile) == "driver.started"
    assert asked("route.started", "route.*", profile=profile) == "route.started"


# What is wrong with a pattern


@pytest.mark.parametrize("type_", [*TYPES, "*", "plan.*", "service.report", "driver.survey.*"])
def test_what_selects_something_is_accepted(type_: str) -> None:
    assert faults([type_], pointer="/types") == []


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (5, "type"),
        (None, "type"),
        (True, "type"),
        (["plan.created"], "type"),
        ({}, "type"),
        ("", "unknown_type"),
        ("plan", "unknown_type"),
        ("plan.", "unknown_type"),
        ("Plan.created", "unknown_type"),
        (" plan.created", "unknown_type"),
        ("stop.complete", "unknown_type"),
        ("plans.*", "unknown_type"),
        (".*", "unknown_type"),
        ("**", "unknown_type"),
        ("stop*", "unknown_type"),
        ("*.created", "unknown_type"),
        ("stop.*.completed", "unknown_type"),
        ("stop.**", "unknown_type"),
        ("billing.*", "unknown_type"),
        ("billing.invoice.created", "unknown_type"),
        ("vehicle.position.*", "unknown_type"),
        ("x" * (MAX_LENGTH + 1), "limit"),
    ],
)
def test_what_selects_nothing_is_refused_at_its_place(written: object, code: str) -> None:
    assert codes("plan.created", written) == [(code, "/types/1")]


def test_all_faults_are_told_at_once() -> None:
    assert codes("plan.*", "nothing", 5, "plan.*") == [
        ("unknown_type", "/types/1"),
        ("type", "/types/2"),
        ("duplicate", "/types/3"),
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("stop.report.complete", "stop.report.completed"),
        ("servce.report", "service.report"),
        ("driver.startd", "driver.started"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(written: str, meant: str) -> None:
    (fault,) = faults([written], pointer="/types")
    assert f"did you mean {meant!r}" in fault.message


@pytest.mark.parametrize("written", ["stop*", "*.created"])
def test_a_misplaced_star_is_answered_with_where_it_may_stand(written: str) -> None:
    (fault,) = faults([written], pointer="/types")
    assert '"stop.*"' in fault.message


def test_the_reserved_prefix_is_called_so() -> None:
    (fault,) = faults(["billing.*"], pointer="/types")
    assert "reserved" in fault.message


def test_the_same_events_by_two_names_are_no_duplicate() -> None:
    assert codes("driver.started", "route.started") == []
