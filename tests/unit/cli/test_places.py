"""Where in a file a value stands."""

import json

import pytest

from services.cli.places import Place, nearest, places

TEXT = """{
  "types": ["stop.*"],
  "filter": {
    "a/b~": [1, {"prefix": "x, ]}"}],
\t"é": {"nested": [true, null, -1.5e3]}
  }
}
"""


@pytest.mark.parametrize(
    ("pointer", "line", "column"),
    [
        ("", 1, 1),
        ("/types", 2, 12),
        ("/types/0", 2, 13),
        ("/filter", 3, 13),
        ("/filter/a~1b~0", 4, 13),
        ("/filter/a~1b~0/0", 4, 14),
        ("/filter/a~1b~0/1/prefix", 4, 28),
        ("/filter/é/nested/2", 5, 31),
    ],
)
def test_each_value_has_a_place(pointer: str, line: int, column: int) -> None:
    assert places(TEXT)[pointer] == Place(line, column)


def test_what_is_not_there_is_where_it_should_be() -> None:
    assert nearest(places(TEXT), "/filter/missing/0") == Place(3, 13)


def test_every_value_of_a_document_is_found() -> None:
    document = {"a": [[], {}, [[1]], {"b": ""}], "": 'q"\\', "c": [1, 2.5, None]}
    for indent in (None, 1, 4):
        found = places(json.dumps(document, indent=indent))
        assert {"", "/a/0", "/a/2/0/0", "/a/3/b", "/", "/c/2"} <= found.keys()
        assert len(found) == 14
