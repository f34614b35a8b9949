"""Filters and events by chance, over so tiny an alphabet that things collide."""

import random
from typing import Any

from hypothesis import strategies as st

from services.kernel.event import Json
from services.match.filters import Filter, check

KEYS = "abc"
TEXTS = ["", "x", "xy", "yx", "X", "xyx", "z", "1", "true"]
NUMBERS = [0, 1, 1.0, -1, 2.5, 10, 100]
SCALARS = [*TEXTS, *NUMBERS, True, False, None]
DEPTH = 2


def a_rule(chance: random.Random, event: Json | None = None) -> Json:
    """Return a filter; built from *event*, one that has a chance to match it."""
    while True:
        rule = _pattern(chance, event, DEPTH)
        if chance.random() < 0.3:
            rule["$or"] = [_pattern(chance, event, DEPTH) for _ in range(chance.randint(2, 3))]
        if parsed(rule) is not None:  # else it says something twice
            return rule


def parsed(rule: Json) -> Filter | None:
    return check(rule, types=[], geofences=None, schema=False).tree


def random_event(chance: random.Random, depth: int = DEPTH) -> Json:
    return {key: _value(chance, depth) for key in KEYS if chance.random() < 0.7}


def _value(chance: random.Random, depth: int) -> Any:  # noqa: ANN401 - JSON
    kind = chance.random()
    if kind < 0.25:
        return [_value(chance, max(depth - 1, 0)) for _ in range(chance.randint(0, 3))]
    if kind < 0.6 and depth:
        return random_event(chance, depth - 1)
    return chance.choice(SCALARS)


def _pattern(chance: random.Random, event: Any, depth: int) -> Json:  # noqa: ANN401 - JSON
    known = list(event) if isinstance(event, dict) else []
    found: Json = {}
    for _ in range(chance.randint(1, 2)):
        key = chance.choice(known or list(KEYS)) if chance.random() < 0.8 else chance.choice(KEYS)
        below = _first(event.get(key)) if isinstance(event, dict) else None
        if depth and (isinstance(below, dict) or chance.random() < 0.2):
            found[key] = _pattern(chance, below, depth - 1)
            if chance.random() < 0.15:
                found[key]["$or"] = [_pattern(chance, below, 0), _pattern(chance, below, 0)]
        else:
            found[key] = [_element(chance, below) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
    return found


def _first(value: Any) -> Any:  # noqa: ANN401 - JSON
    while isinstance(value, list) and value:
        value = value[-1]
    return value


def _element(chance: random.Random, value: Any) -> Any:  # noqa: ANN401 - JSON
    text = value if isinstance(value, str) and value else chance.choice(TEXTS[1:])
    number = value if type(value) in (int, float) else chance.choice(NUMBERS)
    stars = chance.choice(["*", f"{text[0]}*", f"*{text[-1]}", "x*x", "*y*", text, "\\*"])
    return chance.choice(
        [
            value if not isinstance(value, dict | list) else None,
            chance.choice(SCALARS),
            {"prefix": text[:1]},
            {"prefix": {"equals-ignore-case": text[:1].upper()}},
            {"suffix": text[-1:]},
            {"suffix": {"equals-ignore-case": text[-2:].upper()}},
            {"equals-ignore-case": text.upper()},
            {"wildcard": stars},
            {"numeric": [chance.choice(["=", "<", "<=", ">", ">="]), number]},
            {"numeric": [chance.choice([">", ">="]), -1, chance.choice(["<", "<="]), number + 2]},
            {"exists": chance.random() < 0.5},
            {"anything-but": text},
            {"anything-but": [number, 7]},
            {"anything-but": [text, "q"]},
            {"anything-but": {"prefix": [text[:1], "q"]}},
            {"anything-but": {"suffix": text[-1:]}},
            {"anything-but": {"equals-ignore-case": [text.upper()]}},
            {"anything-but": {"wildcard": stars}},
        ]
    )


# The same for Hypothesis, which shrinks what it finds.


def events() -> st.SearchStrategy[Json]:
    """Return events; nested arrays and objects included."""
    values: st.SearchStrategy[Any] = st.sampled_from(SCALARS)
    for _ in range(DEPTH):
        values = values | st.lists(values, max_size=3) | _objects(values)
    return _objects(values)


def rules() -> st.SearchStrategy[Json]:
    """Return filters; some say a thing twice, which `parsed` tells."""
    leaves: st.SearchStrategy[Any] = st.lists(_matchers(), min_size=1, max_size=3)
    below = leaves | _objects(leaves, least=1)
    patterns = _objects(below, least=1)
    either = st.lists(patterns, min_size=2, max_size=3).map(lambda branches: {"$or": branches})
    return patterns | either | st.builds(lambda one, other: one | other, patterns, either)


def _objects(inner: st.SearchStrategy[Any], *, least: int = 0) -> st.SearchStrategy[Json]:
    return st.dictionaries(st.sampled_from(KEYS), inner, min_size=least, max_size=2)


def _matchers() -> st.SearchStrategy[Any]:
    texts, numbers = st.sampled_from(TEXTS[1:]), st.sampled_from(NUMBERS)
    stars = st.sampled_from(["*", "x*", "*x", "x*x", "*y*", "x\\*"])
    tests = st.one_of(
        st.tuples(st.sampled_from(["prefix", "suffix", "equals-ignore-case"]), texts),
        st.tuples(st.just("wildcard"), stars),
    ).map(lambda pair: dict([pair]))
    folded = texts.map(lambda text: {"equals-ignore-case": text})
    return st.one_of(
        st.sampled_from(SCALARS),
        st.booleans().map(lambda there: {"exists": there}),
        tests,
        st.tuples(st.sampled_from(["prefix", "suffix"]), folded).map(lambda pair: dict([pair])),
        st.builds(
            lambda op, bound: {"numeric": [op, bound]},
            st.sampled_from(["=", "<", "<=", ">", ">="]),
            numbers,
        ),
        st.one_of(
            texts, numbers, st.lists(texts, min_size=1), st.lists(numbers, min_size=1), tests
        ).map(lambda than: {"anything-but": than}),
    )
