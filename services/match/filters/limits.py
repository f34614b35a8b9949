"""How large a filter may be: so that none costs an event, a worker or its builder too much."""

FILTER_BYTES = 16 * 1024
"""Compact UTF-8."""
NESTING = 8
"""Objects within each other, branches of `$or` among them."""
FIELDS = 32
"""Of one object."""
LEAVES = 64
VALUES = 256
"""Of one leaf, or of one list in an operator."""
BRANCHES = 16
"""Of one `$or`."""
ROWS = 64
"""Conjunctions, once every `$or` is expanded."""
STARS = 3
"""Of one wildcard."""
WILDCARDS = 8
GEO_OPERATORS = 8
FENCES = 50
"""Of one operator."""
STRING = 512
FIELD_NAME = 128
POSITIONS = 256
"""Of an inline polygon."""
RINGS = 16
"""Of an inline polygon."""
RADIUS_M = (1, 200_000)
FAULTS = 50
"""Told at once."""
EXPLAINED = 200
"""Characters of an actual value in an explanation."""
