"""`value`: a class of plain data, cheap enough to be built per event."""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[T]) -> type[T]:
    """Make *cls* a keyword-only dataclass with slots, frozen to the type checker alone.

    `frozen=True` would build each instance through `object.__setattr__`, 2.5 times as slowly, and
    several of these are built per delivery.
    """
    return dataclass(slots=True, kw_only=True)(cls)
