"""Whatever JSON is given as a filter: every fault has a place that is there, and what is taken never
fails on an event."""

import os
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.match.filters import check, explain, matches
from services.match.filters.operators import OPERATORS
from tests.unit.match.filters.test_properties import resolves

EXAMPLES = 5_000 if os.environ.get("WEBHOOKS_TEST_LONG") else 100

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False)
    | st.text(max_size=8) | st.sampled_from(["<", "2026-03-17T09:40:51Z", "10.0.0.0/8", "*a*", "data"])
)  # fmt: skip
names = st.sampled_from([*OPERATORS, "$and", "$or", "data", "status", ""]) | st.text(
    string.ascii_letters + "$.~/*\0", max_size=6
)
json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip

likely = st.dictionaries(
    st.sampled_from(["data", "status", "type"]),
    st.lists(
        scalars | st.fixed_dictionaries({}, optional=dict.fromkeys(OPERATORS, json)),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=3,
)
"""Patterns of the right outline."""


@pytest.mark.timeout(600)
@settings(max_examples=EXAMPLES)
@given(written=json | likely, event=st.dictionaries(names, json, max_size=4))
def test_whatever_is_written_is_refused_with_places_or_never_fails(
    written: object, event: dict[str, Any]
) -> None:
    found = check(written, types=[], geofences=None, schema=False)
    for fault in found.faults:
        assert resolves({"filter": written}, fault.pointer or ""), fault
    if found.tree is not None:
        assert matches(found.tree, event) is explain(found.tree, event).matched
