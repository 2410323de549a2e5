"""Values that are nested as deep as a test wants."""

from typing import Any


def nested(levels: int) -> Any:
    """So many mappings, one in the other."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def depth_of(value: Any) -> int:
    """How many mappings are one in the other."""
    levels = 0
    while isinstance(value, dict):
        value, levels = value.get("a"), levels + 1
    return levels
