"""Rows of a form become the pattern that the API takes."""

from services.dashboard.rows import Row, filter_of, rows_of


def test_rows_are_one_pattern_and_two_on_one_field_are_alternatives() -> None:
    rows = [
        Row("data.stop.external_id", "prefix", "ORD-"),
        Row("data.stop.external_id", "is", "7"),
        Row("data.stop.weight", ">=", "2.5"),
        Row("data.route_id", "missing", "whatever"),
        Row("type", "is-not", '"90"'),
    ]
    assert filter_of(rows) == (
        {
            "data": {
                "stop": {
                    "external_id": [{"prefix": "ORD-"}, 7],
                    "weight": [{"numeric": [">=", 2.5]}],
                },
                "route_id": [{"exists": False}],
            },
            "type": [{"anything-but": "90"}],
        },
        [],
    )


def test_a_row_inside_of_anothers_field_is_told_at_its_place() -> None:
    for rows in (
        [Row("data.stop", "is", "x"), Row("data.stop.id", "is", "y")],
        [Row("data.stop.id", "is", "y"), Row("data.stop", "is", "x")],
    ):
        _, faults = filter_of(rows)
        assert [(fault.code, fault.pointer) for fault in faults] == [("twice", rows[1].pointer)]


def test_rows_without_a_field_are_none_at_all() -> None:
    assert rows_of(["", " data.label ", "  "], ["is", "exists", "is"], ["x", "", "y"]) == [
        Row("data.label", "exists", "")
    ]
    assert filter_of([]) == (None, [])
