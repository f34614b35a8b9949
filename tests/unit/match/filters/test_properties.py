"""Two evaluators and an explanation, one answer; whatever the order, whoever else is there."""

import json
import random
import time
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.event import Json
from services.match.filters import Filter, check, evaluator, explain, matches
from services.match.filters.bitmap import Bitmap, build
from services.match.filters.normal import normal
from services.match.filters.places import Held
from tests.conftest import LONG
from tests.support.rules import a_rule, events, parsed, random_event, rules

FILTERS = 40
EVENTS = 5


def bitmap(filters: list[Filter]) -> Bitmap:
    return build([each.rows for each in filters], Held())


def answers(tree: Bitmap, event: Json) -> list[int]:
    return tree.match(event, tree.every)


def a_filter(chance: random.Random, event: Json | None) -> Filter:
    tree = parsed(a_rule(chance, event))
    assert tree is not None
    return tree


def a_round(seed: int, rounds: int) -> int:
    """Compare forty filters on five events, so many times; return the evaluations."""
    chance = random.Random(seed)
    matched = 0
    for _ in range(rounds):
        events = [random_event(chance) for _ in range(EVENTS)]
        filters = [a_filter(chance, events[n % EVENTS] if n % 2 else None) for n in range(FILTERS)]
        tree = bitmap(filters)
        for event in events:
            expected = [n for n, each in enumerate(filters) if matches(each, event)]
            assert answers(tree, event) == expected, (seed, event)
            explained = [n for n, each in enumerate(filters) if explain(each, event).matched]
            assert explained == expected, (seed, event)
            matched += len(expected)
    assert matched > rounds * EVENTS, "the rules must have a chance"
    return rounds * EVENTS * FILTERS


def test_closures_bitmap_and_explanation_agree() -> None:
    assert a_round(seed=1, rounds=100) == 20_000


@settings(max_examples=20_000 if LONG else 200, deadline=None)
@given(rules=st.lists(rules(), max_size=8), events=st.lists(events(), max_size=4))
@pytest.mark.timeout(3_600 if LONG else 60)
def test_no_filters_and_events_can_be_found_on_which_they_differ(
    rules: list[Json], events: list[Json]
) -> None:
    filters = [tree for tree in map(parsed, rules) if tree is not None]
    tree = bitmap(filters)
    for event in (*events, *events):  # the second time from caches
        expected = [n for n, each in enumerate(filters) if matches(each, event)]
        assert answers(tree, event) == expected
        assert [n for n, each in enumerate(filters) if explain(each, event).matched] == expected


@pytest.mark.long
@pytest.mark.timeout(120)
def test_closures_bitmap_and_explanation_agree_at_length() -> None:
    began = time.process_time()
    assert sum(a_round(seed, 100) for seed in range(2, 12)) >= 200_000
    assert time.process_time() - began < 60


def test_many_events_meet_one_tree_and_its_caches() -> None:
    chance = random.Random(3)
    events = [random_event(chance) for _ in range(300)]
    filters = [a_filter(chance, chance.choice(events)) for _ in range(300)]
    tree, one_by_one = bitmap(filters), [evaluator(each) for each in filters]
    for event in (*events, *events):
        assert answers(tree, event) == [n for n, holds in enumerate(one_by_one) if holds(event)]


def test_above_two_thousand_rows_values_are_kept_otherwise_and_mean_the_same() -> None:
    chance = random.Random(4)
    events = [random_event(chance) for _ in range(60)]
    filters = [a_filter(chance, chance.choice(events)) for _ in range(2_200)]
    tree, one_by_one = bitmap(filters), [evaluator(each) for each in filters]
    for event in events:
        assert answers(tree, event) == [n for n, holds in enumerate(one_by_one) if holds(event)]


def test_the_order_of_filters_and_unrelated_ones_change_nothing() -> None:
    chance = random.Random(5)
    for _ in range(60):
        event = random_event(chance)
        filters = [a_filter(chance, event) for _ in range(FILTERS)]
        expected = {id(filters[n]) for n in answers(bitmap(filters), event)}
        others = [a_filter(chance, None) for _ in range(FILTERS)]
        mixed = [*filters, *others]
        chance.shuffle(mixed)
        wanted = {id(each) for each in filters}
        found = {id(mixed[n]) for n in answers(bitmap(mixed), event)} & wanted
        assert found == expected


def test_the_normal_form_means_the_same_and_is_its_own() -> None:
    chance = random.Random(6)
    for _ in range(400):
        event = random_event(chance)
        written = a_rule(chance, event)
        once = check(written, types=[], geofences=None, schema=False)
        assert once.tree is not None
        assert once.normal is not None
        again = check(json.loads(json.dumps(once.normal)), types=[], geofences=None, schema=False)
        assert again.tree is not None
        assert again.normal == normal(again.tree.pattern) == once.normal
        assert matches(again.tree, event) == matches(once.tree, event), written


def broken(chance: random.Random, rule: object) -> object:
    """Return *rule* with something wrong somewhere, most probably."""
    junk = [None, 5, "x", [], {}, [[]], {"prefix": "x"}, {"numeric": ["<"]}, True, [{"x": 1}]]
    if chance.random() < 0.25:
        return chance.choice(junk)
    if isinstance(rule, dict):
        key = chance.choice([*rule, "$and", "", "$or", "prefix"])
        return {**rule, key: broken(chance, rule.get(key))}
    if isinstance(rule, list) and rule:
        n = chance.randrange(len(rule))
        return [*rule[:n], broken(chance, rule[n]), *rule[n + 1 :]]
    return chance.choice(junk)


def test_what_the_schema_rejects_the_parser_rejects_and_each_pointer_resolves() -> None:
    schema = json.loads(Path("schemas/filter.schema.json").read_bytes())
    validator = jsonschema_rs.validator_for(schema)
    chance = random.Random(7)
    rejected = 0
    for _ in range(3_000):
        rule = a_rule(chance, random_event(chance))
        for _ in range(chance.randint(0, 2)):
            rule = broken(chance, rule)  # type: ignore[assignment]
        found = check(rule, types=[], geofences=None, schema=False)
        valid = validator.is_valid({"types": ["*"], "filter": rule}) and rule is not None
        assert valid or found.faults, rule
        rejected += bool(found.faults)
        for fault in found.faults:
            assert resolves({"filter": rule}, fault.pointer or ""), (rule, fault)
        assert len(set(found.faults)) == len(found.faults)
    assert 1_000 < rejected < 2_900


def resolves(document: object, pointer: str) -> bool:
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list):
            if not name.isdigit() or int(name) >= len(document):
                return False
            document = document[int(name)]
        elif isinstance(document, dict) and name in document:
            document = document[name]
        else:
            return False
    return True
