"""Thousands of worked cases of the dialect, with the documented deviations and no others."""

from collections import Counter
from pathlib import Path

from services.kernel.event import Json
from services.match.filters import Filter, NotJsonError, load, matches
from services.match.filters.bitmap import build
from services.match.filters.places import Held
from tests.support.corpora import checked, corpus, has_duplicates, names


def both(tree: Filter, event: Json) -> bool:
    """Return the answer of both evaluators."""
    bitmap = build([tree.rows], Held())
    answer = matches(tree, event)
    assert (bitmap.match(event, bitmap.every) == [0]) == answer, event
    return answer


def test_each_published_case_is_answered_as_it_should_be(shared: Path) -> None:
    counts: Counter[bool] = Counter()
    for case in corpus(shared, "correctness-cases.expected.json"):
        tree = checked(case["rule"]).tree
        assert tree is not None, case
        assert both(tree, case["event"]) == case["expected"], case
        counts[case["expected"]] += 1
    assert counts == {True: 33, False: 18}


def test_the_cases_without_answers_are_the_same(shared: Path) -> None:
    plain = corpus(shared, "correctness-cases.json")
    answered = corpus(shared, "correctness-cases.expected.json")
    assert plain == [{k: v for k, v in case.items() if k != "expected"} for case in answered]


def test_each_harvested_match_is_answered_as_it_should_be(shared: Path) -> None:
    counts: Counter[object] = Counter()
    skipped: Counter[str] = Counter()
    for case in corpus(shared, "harvested-matches.json"):
        if '"cidr"' in case["rule"]:
            skipped["cidr"] += 1
            continue
        rule = load(case["rule"].encode())
        if has_duplicates(rule) and case["expected"] != "error":
            skipped["duplicate key"] += 1
            continue
        known = set(names(case["event"]))
        if case["expected"] is not False and any(
            "." in name and name not in known for name in names(rule)
        ):
            skipped["a dot that means nesting"] += 1
            continue
        tree = checked(case["rule"]).tree
        answer = "error" if tree is None else both(tree, case["event"])
        assert answer == case["expected"], case
        counts[answer] += 1
    assert skipped == {"cidr": 2406, "a dot that means nesting": 5, "duplicate key": 2}
    assert counts == {True: 259, False: 1017, "error": 4}


def test_each_harvested_check_is_as_valid_as_it_should_be(shared: Path) -> None:
    counts: Counter[bool] = Counter()
    skipped = 0
    for case in corpus(shared, "harvested-checks.json"):
        if '"cidr"' in case["rule"] or '"exactly"' in case["rule"]:
            skipped += 1
            continue
        try:
            valid = checked(case["rule"]).tree is not None
        except NotJsonError:
            valid = False
        assert valid == case["valid"], case
        counts[valid] += 1
    assert (skipped, counts) == (4, {True: 58, False: 90})
