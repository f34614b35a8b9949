"""What a filter means: the worked lines of the language, in both evaluators."""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from services.kernel.event import Json
from services.match.filters import explain, matches
from services.match.filters.bitmap import build
from services.match.filters.places import Held
from tests.support.corpora import checked

# Of the language's own description, so that they hold where it isn't beside the repository.
LINES = """
{"a": [{"exists": false}]} ; {} => true ; {"a": []} => true ; {"a": {"b": 1}} => true ; {"a": null} => false
{"a": [{"anything-but": "x"}]} ; {} => false ; {"a": null} => true ; {"a": true} => true ; {"a": ["x", "y"]} => true
{"a": [{"anything-but": "x"}]} ; {"a": ["x", "x"]} => false ; {"a": [[], {"b": "y"}]} => false
{"a": ["x"]} ; {"a": [["y"], {"z": 1}, ["x"]]} => true ; {"a": [{"a": "x"}]} => false
{"a": {"b": [{"exists": false}]}} ; {"a": 7} => true ; {"a": []} => true ; {"a": [{"b": 1}]} => false
{"a": {"b": [{"exists": false}]}} ; {"a": [{"b": 1}, 7]} => true ; {} => true ; {"a": null} => true
{"a": {"b": [1], "c": [{"exists": false}]}} ; {"a": [{"b": 1, "c": 3}, {"b": 2}]} => false
{"a": {"b": [1]}, "$or": [{"a": {"c": [2]}}, {"z": [0]}]} ; {"a": [{"b": 1, "c": 3}, {"b": 0, "c": 2}]} => false
{"a": {"b": [1]}, "$or": [{"a": {"c": [2]}}, {"z": [0]}]} ; {"a": [{"b": 1, "c": 2}]} => true
{"a": [1, null]} ; {"a": 1.0} => true ; {"a": true} => false ; {"a": "1"} => false ; {} => false ; {"a": null} => true
{"a": [true]} ; {"a": true} => true ; {"a": 1} => false ; {"a": 1.0} => false ; {"a": "true"} => false
{"a": [{"anything-but": [1]}]} ; {"a": true} => true ; {"a": 1.0} => false ; {"a": "1"} => true
{"a": [{"numeric": ["=", 1]}]} ; {"a": true} => false ; {"a": 1} => true
{"a": [0]} ; {"a": -0.0} => true ; {"a": false} => false
{"a": [9007199254740993]} ; {"a": 9007199254740992.0} => false ; {"a": 9007199254740993} => true
{"a": [{"numeric": [">", 5]}, true]} ; {"a": "10"} => false ; {"a": true} => true ; {"a": 1} => false
{"a": [{"wildcard": "a\\\\*b*"}, {"equals-ignore-case": "STRASSE"}]} ; {"a": "a*bc"} => true ; {"a": "axbc"} => false
{"a": [{"equals-ignore-case": "STRASSE"}]} ; {"a": "stra\\u00dfe"} => true ; {"a": "strasse "} => false
{"a": [{"prefix": {"equals-ignore-case": "stra\\u00df"}}]} ; {"a": "STRASSE"} => true ; {"a": "STRAS"} => false
{"a": [{"suffix": {"equals-ignore-case": "\\u00dfe"}}]} ; {"a": "STRASSE"} => true
{"a": [{"wildcard": "*x"}, {"equals-ignore-case": "X"}]} ; {"a": "hello"} => false
{"a": [{"wildcard": "ab*ba"}]} ; {"a": "aba"} => false ; {"a": "abba"} => true
{"a": [{"anything-but": {"wildcard": "*y*"}}, {"equals-ignore-case": "z"}]} ; {"a": "xy"} => false ; {"a": "Z"} => true
{"a.b": [1]} ; {"a": {"b": 1}} => false ; {"a.b": 1} => true
"""  # noqa: E501 - one case a line


def cases(text: str) -> list[tuple[Json, Any, bool]]:
    found = []
    for line in text.strip().splitlines():
        rule, *answers = line.split(" ; ")
        for answer in answers:
            event, _, expected = answer.rpartition(" => ")
            found.append((json.loads(rule), json.loads(event), expected.strip() == "true"))
    return found


def answer(rule: Json, event: Json) -> bool:
    """Return what both evaluators and the explanation say."""
    tree = checked(rule).tree
    assert tree is not None, checked(rule).faults
    bitmap = build([tree.rows], Held())
    said = {
        matches(tree, event),
        bitmap.match(event, bitmap.every) == [0],
        explain(tree, event).matched,
    }
    assert len(said) == 1, (rule, event)
    return said.pop()


@pytest.mark.parametrize(("rule", "event", "expected"), cases(LINES), ids=json.dumps)
def test_a_filter_means_what_its_language_says(rule: Json, event: Json, expected: bool) -> None:  # noqa: FBT001
    assert answer(rule, event) is expected


def test_the_lines_of_the_description_hold(shared: Path) -> None:
    text = (shared / "filters" / "README.md").read_text()
    block = text.split("Tests read these lines")[1].split("```")[1]
    found = cases(block)
    assert len(found) == 33
    for rule, event, expected in found:
        assert answer(rule, event) is expected, (rule, event)


NEAR = {"lat": 41.40338, "lng": 2.17403}
CIRCLE = {"circle": {"center": NEAR, "radius_m": 500}}


@pytest.mark.parametrize(
    ("position", "within", "outside"),
    [
        (NEAR, True, False),
        ({"type": "Point", "coordinates": [2.17403, 41.40338]}, True, False),
        ({"lat": 41.5, "lng": 2.17403}, False, True),
        ([{"lat": 41.5, "lng": 2.17403}, NEAR], True, True),
        ([], False, False),
        (None, False, False),
        ([2.17403, 41.40338], False, False),
        ({"lat": "41.4", "lng": 2.17}, False, False),
        ({"lat": True, "lng": 1}, False, False),
        ({"lat": 91, "lng": 2}, False, False),
        ({"lat": 41.4}, False, False),
    ],
)
def test_what_is_no_position_is_neither_within_nor_outside(
    position: object,
    within: bool,  # noqa: FBT001
    outside: bool,  # noqa: FBT001
) -> None:
    event = {"p": position}
    assert answer({"p": [{"geo-within": CIRCLE}]}, event) is within
    assert answer({"p": [{"geo-outside": CIRCLE}]}, event) is outside


@pytest.mark.parametrize(
    "event",
    [
        {"a": "x" * 1_000_000},
        {"a": ["x" * 10] * 100_000},
        {"a": [{"b": n} for n in range(100_000)]},
        {"a": [[[]] * 10] * 10_000},
        {"a": list(range(100_000))},
    ],
    ids=["a long string", "many strings", "many objects", "many arrays", "many numbers"],
)
def test_a_hostile_event_takes_bounded_time(event: Json) -> None:
    chance = random.Random(1)
    texts = ["".join(chance.choices("xyz", k=8)) for _ in range(40)]
    rules: list[Json] = [{"a": [{"wildcard": f"*{text}*x"}, {"prefix": text}]} for text in texts]
    rules += [{"a": {"b": [{"numeric": [">", n * 1e9]}]}} for n in range(1, 40)]
    rules += [{"a": [{"suffix": {"equals-ignore-case": text}}]} for text in texts]
    trees = [tree for rule in rules if (tree := checked(rule).tree) is not None]
    bitmap = build([tree.rows for tree in trees], Held())
    began = time.process_time()
    assert bitmap.match(event, bitmap.every) == []
    assert time.process_time() - began < 2


def test_a_thousand_arrays_in_each_other_are_no_recursion() -> None:
    value: Any = "x"
    for _ in range(1_000):
        value = [value]
    event = {"a": value}
    assert answer({"a": ["x"]}, event)
    assert answer({"a": {"b": [{"exists": False}]}}, event)
    assert not answer({"a": ["y"]}, event)
    tree = checked({"a": ["y"]}).tree
    assert tree is not None
    (miss,) = explain(tree, event).branches[0].misses
    assert miss.actual == "[" * 200 + "…"
