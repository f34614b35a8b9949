"""Numbers become the geometry of an SVG; what it looks like is the template's and the style sheet's."""

import math
from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 640, 160
"""Of a chart's view box; the picture scales to its place."""
STEPS = (1, 2, 4, 6, 8, 10)
"""Tops of scales: the half of each is a round number too."""
LEAST = 2
ALONE = 20
"""The length of a stroke for a value between gaps."""


class Bar(NamedTuple):
    """One rectangle."""

    x: float
    y: float
    width: float
    height: float


class Tick(NamedTuple):
    """A line across, and what it stands for."""

    y: float
    value: float


class Chart(NamedTuple):
    """Series over the same steps of time, as bars upon each other or as lines."""

    bars: Sequence[Sequence[Bar]]
    lines: Sequence[str]
    """Points of polylines; a gap where there is no value starts a new `M`."""
    ticks: Sequence[Tick]
    top: float


def sparkline(values: Sequence[float | None], *, width: float = 96, height: float = 24) -> str:
    """Return the path of a line through *values*, the highest at the top; empty where all are None."""
    top = max((value for value in values if value is not None), default=0)
    return _path(values, top or 1, width, height - 2, 1)


def stacked(series: Sequence[Sequence[float]]) -> Chart:
    """Return bars: for each step the values of all series upon each other, the first lowest."""
    count = max((len(values) for values in series), default=0)
    totals = [sum(values[n] for values in series) for n in range(count)]
    top = nice(max(totals, default=0))
    slot = WIDTH / max(count, 1)
    floor = [float(HEIGHT)] * count
    drawn = []
    for values in series:
        bars = []
        for n, value in enumerate(values):
            height = value / top * HEIGHT
            floor[n] -= height
            if value:
                bars.append(Bar(*_rounded(n * slot + slot * 0.1, floor[n], slot * 0.8, height)))
        drawn.append(bars)
    return Chart(drawn, [], _ticks(top), top)


def lines(series: Sequence[Sequence[float | None]]) -> Chart:
    """Return a line for each series, all to the same scale."""
    known = [value for values in series for value in values if value is not None]
    top = nice(max(known, default=0))
    return Chart([], [_path(values, top, WIDTH, HEIGHT, 0) for values in series], _ticks(top), top)


def nice(value: float) -> float:
    """Return a round number that is not below *value*, for the top of a scale."""
    if value <= LEAST:
        return float(LEAST)
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in STEPS if step * unit >= value * 0.999_999)


def _path(
    values: Sequence[float | None], top: float, width: float, height: float, margin: float
) -> str:
    """Return `M x y L x y …`; a single value among gaps is a short stroke, to be seen at all."""
    slot = width / max(len(values) - 1, 1)
    found, pen = [], "M"
    for n, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        x, y = n * slot, margin + height - value / top * height
        found.append(f"{pen}{x:.1f} {y:.1f}")
        alone = pen == "M" and (n + 1 == len(values) or values[n + 1] is None)
        if alone:
            found.append(f"l{ALONE if n + 1 < len(values) else -ALONE} 0")
        pen = "L"
    return "".join(found)


def _ticks(top: float) -> list[Tick]:
    return [Tick(HEIGHT - HEIGHT * part, top * part) for part in (0, 0.5, 1)]


def _rounded(*values: float) -> tuple[float, ...]:
    return tuple(round(value, 2) for value in values)
