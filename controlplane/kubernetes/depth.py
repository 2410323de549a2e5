"""JSON of any depth, read with what is too deep left out: one object of a list cannot make all of it unreadable. Pure.

Used for every answer of an API server (`responses.py`). The parser stops at 200 levels, and a server takes objects of
thousands; whoever may write one of them could otherwise hide all others of its kind from everybody who lists or
watches them. What is left out is nothing that a plan can hold: such a plan is refused, on its own object.
"""

from typing import Any

from pydantic_core import from_json

LEVELS = 200
"""Levels of lists and mappings that `from_json` reads; those below are empty then."""
_TOO_DEEP = "recursion limit exceeded"
_CHUNK = 1024 * 1024
"""Bytes that are looked at together, so that a long document needs little more memory than itself."""


def read(data: bytes) -> Any:
    """What the JSON says, with whatever lies below `LEVELS` levels left out. Raises `ValueError` for no JSON."""
    try:
        return from_json(data)  # shares names and short words among objects: half the memory
    except ValueError as error:
        if _TOO_DEEP not in str(error):
            raise
    return from_json(shallow(data))


def shallow(data: bytes) -> bytes:
    """The same JSON, with each list and mapping below `LEVELS` levels empty. Neither decodes nor checks anything."""
    import numpy as np  # seldom needed, and dear for a command that is over in a moment

    # Quotes that stand in a text would otherwise end it.
    plain = data.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    kept: list[bytes] = []
    quotes, level = 0, 0
    for start in range(0, len(data), _CHUNK):
        found = np.frombuffer(plain, np.uint8, min(_CHUNK, len(data) - start), start)
        before = np.cumsum(found == ord('"'), dtype=np.int32) + quotes
        outside = before % 2 == 0
        opens = ((found == ord("[")) | (found == ord("{"))) & outside
        closes = ((found == ord("]")) | (found == ord("}"))) & outside
        after = np.cumsum(opens.astype(np.int32) - closes.astype(np.int32)) + level
        inside = after + closes  # the level that a byte belongs to; a bracket belongs to what it opens or closes
        keep = (inside <= LEVELS) | ((opens | closes) & (inside == LEVELS + 1))
        kept.append(np.frombuffer(data, np.uint8, len(found), start)[keep].tobytes())
        quotes, level = int(before[-1]), int(after[-1])
    return b"".join(kept)
