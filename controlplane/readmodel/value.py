"""A number beside its text, and a badge: the smallest pieces of every picture that the API answers.

Used by all files that answer pictures. Formats with `canary.format`, so that values look alike everywhere.
"""

from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field

from canary import format as fmt
from canary.format import duration

TONES = {"green": "good", "red": "bad", "yellow": "open", "cyan": "busy", "dim": "quiet", "bold": "busy"}


class Value(BaseModel):
    """A number in its base unit (fractions, seconds, dollars) and as people read it."""

    model_config = ConfigDict(frozen=True)

    value: float | None
    text: str


class Badge(BaseModel):
    """A symbol, a word and a tone: nothing is told by colour alone."""

    model_config = ConfigDict(frozen=True)

    symbol: str
    word: str
    tone: str = Field(description="good, bad, open, busy or quiet")


# Hundreds of pages are told the same few numbers every second, so what is drawn of one is kept.
@lru_cache(maxsize=4096)
def share(value: float | None) -> Value:
    """A fraction as per cent."""
    return Value(value=value, text=fmt.share(value))


@lru_cache(maxsize=4096)
def seconds(value: float | None) -> Value:
    """A length of time; what is no number is a dash."""
    known = finite(value)
    return Value(value=known, text=fmt.DASH if known is None else duration(max(known, 0.0)))


def finite(value: float | None) -> float | None:
    """The value, or None for what JSON has no word for."""
    return value if value is not None and abs(value) < float("inf") else None
