"""What is wrong with a filter is told when it is written: all of it, where, and what to write."""

import json
import random
import time
from typing import Any

import pytest

from services.kernel.event import Json
from services.match.filters import NotJsonError, check, load, stored
from tests.support.corpora import checked

POSITION = {"lat": 41.4, "lng": 2.17}


def faults(rule: object, *types: str) -> list[tuple[str, str]]:
    """Return the code and pointer of each fault."""
    found = check(rule, types=types, geofences=[], schema=bool(types))
    assert (found.tree is None) == bool(found.faults)
    return [(fault.code, (fault.pointer or "").removeprefix("/filter")) for fault in found.faults]


def within(area: Json) -> Json:
    return {"a": [{"geo-within": area}]}


def polygon(*rings: object) -> Json:
    return within({"polygon": {"type": "Polygon", "coordinates": list(rings)}})


AT = "/a/0/geo-within"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, [("empty", "")]),
        ([], [("type", "")]),
        ({"a": []}, [("empty", "/a")]),
        ({"a": {}}, [("empty", "/a")]),
        ({"a": "moving"}, [("array", "/a")]),
        ({"a": {"prefix": "x"}}, [("array", "/a")]),
        ({"": [1]}, [("empty", "/")]),
        ({"a": [{"prefix": ""}]}, [("empty", "/a/0/prefix")]),
        ({"a": [{"prefx": "x"}]}, [("op", "/a/0/prefx")]),
        ({"a": [{}]}, [("op", "/a/0")]),
        ({"a": [{"prefix": "x", "suffix": "y"}]}, [("op", "/a/0")]),
        ({"$and": [{"a": [1]}]}, [("reserved", "/$and")]),
        ({"$or": [{"a": [1]}]}, [("or", "/$or")]),
        ({"$or": [{"a": [1]}, 5]}, [("or", "/$or/1")]),
        ({"a": [1], "$or": [{"a": [2]}, {"b": [1]}]}, [("twice", "/$or/0/a")]),
        ({"a": [1], "$or": [{"a": {"b": [2]}}, {"b": [1]}]}, [("twice", "/$or/0/a/b")]),
        ({"a": {"b": [1]}, "$or": [{"a": [2]}, {"b": [1]}]}, [("twice", "/$or/0/a")]),
        ({"a": {"$or": [{"b": [1]}, {"c": [1]}]}, "$or": [{"a": {"b": [2]}}, {"d": [1]}]},
         [("twice", "/$or/0/a/b")]),
        ({"a": [{"numeric": [">"]}]}, [("numeric", "/a/0/numeric")]),
        ({"a": [{"numeric": ["<", 5, ">", 1]}]}, [("numeric", "/a/0/numeric")]),
        ({"a": [{"numeric": [">", 5, "<", 1]}]}, [("numeric", "/a/0/numeric")]),
        ({"a": [{"numeric": [">", "5"]}]}, [("type", "/a/0/numeric/1")]),
        ({"a": [{"numeric": [">", True]}]}, [("type", "/a/0/numeric/1")]),
        ({"a": [{"numeric": ["==", 5]}]}, [("numeric", "/a/0/numeric/0")]),
        ({"a": [{"wildcard": "a**b"}]}, [("wildcard", "/a/0/wildcard")]),
        ({"a": [{"wildcard": "a\\\\**"}]}, [("wildcard", "/a/0/wildcard")]),
        ({"a": [{"wildcard": "a\\x"}]}, [("wildcard", "/a/0/wildcard")]),
        ({"a": [{"anything-but": ["x", 1]}]}, [("type", "/a/0/anything-but")]),
        ({"a": [{"anything-but": [True]}]}, [("type", "/a/0/anything-but/0")]),
        ({"a": ["\ud800"]}, [("text", "/a/0")]),
        ({"a": ["x\0"]}, [("text", "/a/0")]),
        ({"a\0": [1]}, [("text", "/a\0")]),
        ({"a~/b": ["\0"]}, [("text", "/a~0~1b/0")]),
        (within({"circle": {"center": [41, 2], "radius_m": 5}}), [("geo", f"{AT}/circle/center")]),
        (within({"circle": {"center": POSITION, "radius_m": 0.5}}),
         [("limit", f"{AT}/circle/radius_m")]),
        (within({"geofence": ["nowhere"]}), [("geofence", f"{AT}/geofence")]),
        (within({"cirle": {}}), [("geo", AT)]),
        (polygon([[2, 41], [3, 41], [3, 42], [2, 42]]), [("geo", f"{AT}/polygon/coordinates/0/3")]),
        (polygon([[2, 41], [3, 41], [2, 41]]), [("geo", f"{AT}/polygon/coordinates/0")]),
        (polygon([[2, 41], [3, 42], [3, 41], [2, 43], [2, 41]]), [("geo", f"{AT}/polygon/coordinates")]),
        (polygon([[2, 41], [3, 141], [3, 42], [2, 41]]), [("geo", f"{AT}/polygon/coordinates/0/1")]),
        ({"a": [{"geo-within": {"circle": {"center": POSITION, "radius_m": 5}}}, "x"]}, [("geo", "/a")]),
        ({"a": [{}], "b": "x", "c": []}, [("op", "/a/0"), ("array", "/b"), ("empty", "/c")]),
    ],
    ids=str,
)  # fmt: skip
def test_each_fault_has_its_code_and_place(rule: object, expected: list[tuple[str, str]]) -> None:
    assert faults(rule) == [(code, place) for code, place in expected]


def message(rule: object, *types: str) -> str:
    found = check(rule, types=types, geofences=[], schema=bool(types))
    assert len(found.faults) == 1, found.faults
    return found.faults[0].message


@pytest.mark.parametrize(
    ("rule", "types", "expected"),
    [
        ({"a": "moving"}, [], 'write ["moving"]'),
        ({"a": {"prefix": "x"}}, [], 'write [{"prefix": "x"}]'),
        ({"a": [{"prefx": "x"}]}, [], 'did you mean "prefix"?'),
        ({"a": [{"prefix": 5}]}, [], "expected a string, got number"),
        ({"a": []}, [], "empty array: nothing could ever match"),
        ({"a": [{"numeric": [">", 5, "<", 1]}]}, [], "empty range: 5 .. 1"),
        ({"a": [{"wildcard": "**"}]}, [], 'consecutive "*" at character 2'),
        ({"a": [{"wildcard": "\\x"}]}, [], "only \\* and \\\\ may be escaped"),
        (polygon([[2, 41], [3, 141], [3, 42], [2, 41]]), [], "are the two swapped?"),
        ({"data": {"speed": [5]}}, ["vehicle.position"], 'did you mean "data.position.speed"?'),
        ({"data.position.speed": [5]}, ["vehicle.position"],
         'write {"data": {"position": {"speed": […]}}}'),
        ({"data": {"position.sped": [5]}}, ["vehicle.position"],
         'did you mean "data.position.speed"?'),
        ({"type": ["stop.created"]}, ["vehicle.position"], 'never "stop.created"'),
        ({"data": {"position": {"speed": ["90"]}}}, ["vehicle.position"], "write 90"),
        ({"data": {"report": {"tasks": {"status": ["cancelled"]}}}}, ["stop.report"],
         'did you mean "canceled"?'),
        ({"data": {"position": [{"exists": True}]}}, ["vehicle.position"], "ask for a field of it"),
        ({"data": {"plan_id": [{"geo-within": {"circle": {"center": POSITION, "radius_m": 5}}}]}},
         ["vehicle.position"], "not a position"),
    ],
    ids=str,
)  # fmt: skip
def test_the_sentence_says_what_to_write(rule: object, types: list[str], expected: str) -> None:
    assert expected in message(rule, *types)


def test_what_only_some_of_the_types_have_is_a_warning() -> None:
    rule = {"data": {"report": {"type": ["service_report_completed"]}}}
    found = check(rule, types=["stop.report", "stop.created"], geofences=[])
    assert not found.faults
    assert [(w.code, w.pointer) for w in found.warnings] == [
        ("never_true", "/filter/data/report/type")
    ]
    assert "stop.created" in found.warnings[0].message


@pytest.mark.parametrize(
    ("rule", "type_"),
    [
        ({"data": {"position": {"lat": [{"numeric": [">", 90]}]}}}, "vehicle.position"),
        ({"data": {"position": {"battery": [{"numeric": ["<", 0]}, 101]}}}, "vehicle.position"),
        ({"data": {"status": [{"anything-but": ["planning", "in_progress", "finished"]}]}},
         "plan.created"),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_schema_of_today_rules_out_is_a_warning(rule: Json, type_: str) -> None:
    found = check(rule, types=[type_], geofences=[])
    assert not found.faults
    (odd,) = found.warnings
    assert odd.code == "never_true"
    assert "never true for any selected type" in odd.message


@pytest.mark.parametrize(
    "rule",
    [
        {"data": {"position": {"lat": [{"numeric": [">=", 90]}]}}},
        {"data": {"position": {"battery": [{"numeric": ["<", 0]}, 100]}}},
        {"data": {"position": {"speed": [{"numeric": ["<", -1000]}]}}},
        {"data": {"position": {"source": [{"anything-but": ["api", "device"]}]}}},
        {"type": ["vehicle.position"]},
    ],
    ids=str,
)
def test_what_can_be_is_no_warning(rule: Json) -> None:
    found = check(rule, types=["vehicle.position"], geofences=[])
    assert (found.faults, found.warnings) == ([], [])


def test_a_type_in_the_filter_is_one_of_those_beside_it() -> None:
    found = check({"type": ["stop.created"]}, types=["stop.created", "stop.moved"], geofences=[])
    assert not found.faults
    assert [odd.message for odd in found.warnings] == [
        "never true for stop.moved: type can't be so there"
    ]


def test_custom_fields_are_anybodys() -> None:
    rule = {
        "data": {"report": {"custom_fields": {"temperature": {"max": [{"numeric": [">", 5]}]}}}}
    }
    assert check(rule, types=["stop.report"], geofences=[]).faults == []


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [('{"a": [1,]}', 1, 10), ('{\n "a": x}', 2, 7), ("", 1, 1), ("{" * 300, 1, 201)],
)
def test_what_is_not_json_is_told_with_line_and_column(text: str, line: int, column: int) -> None:
    with pytest.raises(NotJsonError) as told:
        load(text.encode())
    assert (told.value.line, told.value.column) == (line, column)


def test_an_event_that_is_not_utf8_is_told_with_its_place() -> None:
    with pytest.raises(NotJsonError, match="not UTF-8, in line 2, column 3"):
        load(b'{\n"a\xff": 1}')


@pytest.mark.parametrize(
    ("text", "code", "pointer"),
    [
        ('{"a": [1], "a": [2]}', "duplicate_key", "/filter/a"),
        ('{"a": {"b": [1], "b": [1]}}', "duplicate_key", "/filter/a/b"),
        ('{"a": [{"prefix": "x", "prefix": "x"}]}', "duplicate_key", "/filter/a/0/prefix"),
        ('{"a": [NaN]}', "number", "/filter/a/0"),
        ('{"a": [{"numeric": [">", -Infinity]}]}', "number", "/filter/a/0/numeric/1"),
        ('{"a": [1e309]}', "number", "/filter/a/0"),
        ('{"a": [1e-325]}', "number", "/filter/a/0"),
        ('{"a": [18446744073709551616]}', "number", "/filter/a/0"),
        ('{"a": [-9223372036854775809]}', "number", "/filter/a/0"),
        ('{"a": [' + "9" * 5_000 + "]}", "number", "/filter/a/0"),
        ('{"a": 1e309}', "number", "/filter/a"),
        ('{"a": ["\\ud800"]}', "text", "/filter/a/0"),
        ('{"a": [{"anything-but": [1e400]}]}', "number", "/filter/a/0/anything-but/0"),
    ],
    ids=lambda text: text[:40],
)
def test_what_json_lets_pass_is_told_where_it_stands(text: str, code: str, pointer: str) -> None:
    found = checked(text).faults
    assert [(fault.code, fault.pointer) for fault in found] == [(code, pointer)]


def test_numbers_at_the_very_edge_are_taken() -> None:
    text = '{"a": [18446744073709551615, -9223372036854775808, 1e308, 5e-324, 0e5, -0.0]}'
    assert checked(text).faults == []


def leaves(count: int) -> Json:
    """Return a pattern of so many leaves, thirty an object."""
    return {f"o{n}": {f"f{m}": [1] for m in range(min(30, count - n))} for n in range(0, count, 30)}


def nested(depth: int) -> Json:
    rule: Any = [1]
    for _ in range(depth):
        rule = {"a": rule}
    return rule  # type: ignore[no-any-return]


def either(*counts: int) -> Json:
    """Return `$or`s of so many branches, each in a field of its own: rows multiply."""
    return {
        f"o{n}": {"$or": [{f"f{m}": [1]} for m in range(count)]} for n, count in enumerate(counts)
    }


def circles(count: int) -> Json:
    return {
        "a": [
            {"geo-within": {"circle": {"center": POSITION, "radius_m": n + 1}}}
            for n in range(count)
        ]
    }


LIMITS = {
    "nesting": (nested, 8),
    "leaves": (leaves, 64),
    "fields": (lambda n: {f"f{m}": [1] for m in range(n)}, 32),
    "values": (lambda n: {"a": list(range(n))}, 256),
    "branches": (lambda n: {"$or": [{"a": [m]} for m in range(n)]}, 16),
    "string": (lambda n: {"a": ["x" * n]}, 512),
    "field name": (lambda n: {"x" * n: [1]}, 128),
    "stars": (lambda n: {"a": [{"wildcard": "*".join("x" * (n + 1))}]}, 3),
    "wildcards": (lambda n: {"a": [{"wildcard": f"*{m}"} for m in range(n)]}, 8),
    "geo operators": (circles, 8),
    "fences": (lambda n: within({"geofence": [str(m) for m in range(n)]}), 50),
    "rows": (lambda n: either(8, 8) if n == 64 else either(8, 9), 64),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_holds_to_the_one(name: str) -> None:
    make, most = LIMITS[name]
    exact = check(make(most), types=[], geofences=None, schema=False)
    assert exact.faults == []
    over = check(make(most + 1), types=[], geofences=None, schema=False)
    assert [fault.code for fault in over.faults] == ["limit"]
    assert str(most) in over.faults[0].message


def test_a_filter_of_16_kib_is_taken_and_a_byte_more_is_not() -> None:
    fields = {f"field{n}": ["x" * 500] for n in range(31)}
    rest = 16 * 1024 - len(json.dumps(fields, separators=(",", ":"))) - len(',"z":[""]')
    assert 0 < rest < 512
    exact = {**fields, "z": ["y" * rest]}
    assert len(json.dumps(exact, separators=(",", ":"))) == 16 * 1024
    assert faults(exact) == []
    assert faults({**fields, "z": ["y" * (rest + 1)]}) == [("limit", "")]


def test_fifty_faults_are_told_in_the_order_of_the_document() -> None:
    rule = {f"f{n}": {f"g{m}": "x" for m in range(10)} for n in range(10)}
    found = faults(rule)
    assert found == [("array", f"/f{n}/g{m}") for n in range(5) for m in range(10)]


def hostile() -> list[bytes]:
    big = {"a": {"$or": [{f"f{n}": [1]} for n in range(16)]}}
    product = {f"o{n}": big["a"] for n in range(30)}
    zigzag = [[n / 100, n % 2 + n / 1e6] for n in range(254)]
    spiral = {"polygon": {"type": "Polygon", "coordinates": [[*zigzag, [3, 9], zigzag[0]]]}}
    return [
        b"[" * 16_384,
        b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
        b'{"$or":[' * 190 + b"1",
        b'{"a":["' + b'\\"' * 8_000,
        json.dumps(product).encode(),
        json.dumps({"a": [{"geo-within": spiral}] * 8}).encode(),
        json.dumps({"a": "x" * 1_000_000}).encode(),
        json.dumps({f"k{n}": 1 for n in range(2_000)}).encode(),
        b'{"a":[' + b"9" * 5_000 + b"]}",
        b'{"a":[1],"a":[1],"$or":[1],"$or":[2]}',
        json.dumps({"data": {f"sped{n}": [1] for n in range(32)}}).encode(),
    ]


@pytest.mark.parametrize("raw", hostile(), ids=lambda raw: raw[:24].decode())
def test_a_hostile_filter_is_refused_at_once(raw: bytes) -> None:
    check({"data": {"sped": [1]}}, types=["*"], geofences=[])  # the schemas are read once
    took = []
    for _ in range(3):  # what else is collected or scheduled meanwhile is no part of it
        began = time.process_time()
        try:
            found = check(load(raw), types=["*"], geofences=[])
        except NotJsonError:
            found = None
        took.append(time.process_time() - began)
        assert found is None or found.faults
    assert min(took) < 0.5  # 50 ms; several times that where cores are shared


def test_the_loader_raises_nothing_but_its_own_error() -> None:
    chance = random.Random(1)
    text = b'{"a": [{"prefix": "\\u00e9x"}, 1.5e3, null], "$or": [{"b": [true]}, {"c": [-1]}]}'
    for _ in range(5_000):
        raw = bytearray(text)
        for _ in range(chance.randint(1, 4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        try:
            rule = load(bytes(raw))
        except NotJsonError:
            continue
        assert isinstance(check(rule, types=["*"], geofences=[]).faults, list)


def test_a_stored_filter_that_cant_be_read_is_none() -> None:
    assert stored('{"a":[{"newer-operator":1}]}') is None
    assert stored('{"a":["x"]}') is not None
