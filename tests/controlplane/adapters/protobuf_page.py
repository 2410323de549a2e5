"""A metrics page with native histograms, written by hand in Prometheus' protobuf format, the only one that has them.

The numbers of fields and types are those of `io.prometheus.client` (metrics.proto).
"""

import math
import struct
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

CONTENT_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
COUNTER, HISTOGRAM = 0, 4
SCHEMA = 3


def page(counters: dict[str, float], histograms: dict[str, list[float]]) -> bytes:
    """Counters by name, and the values that each native histogram has observed."""
    families = [_family(name, COUNTER, _text(3, _double(1, value))) for name, value in counters.items()]
    families += [_family(name, HISTOGRAM, _text(7, _histogram(values))) for name, values in histograms.items()]
    return b"".join(_varint(len(each)) + each for each in families)


def _family(name: str, kind: int, metric: bytes) -> bytes:
    return _text(1, name.encode()) + _number(3, kind) + _text(4, metric)


def _histogram(values: list[float]) -> bytes:
    """Count, sum, schema, zero threshold and the buckets, as spans of places and differences of counts."""
    held = Counter(math.ceil(math.log2(value) * 2**SCHEMA - 1e-12) for value in values)
    places = sorted(held)
    gaps = [places[0], *(later - earlier - 1 for earlier, later in pairwise(places))] if places else []
    spans = b"".join(_text(12, _number(1, _zigzag(gap)) + _number(2, 1)) for gap in gaps)
    counts = [0, *(held[place] for place in places)]
    deltas = b"".join(_number(13, _zigzag(later - earlier)) for earlier, later in pairwise(counts))
    head = _number(1, len(values)) + _double(2, math.fsum(values)) + _number(5, _zigzag(SCHEMA))
    return head + _double(6, 1e-9) + _number(7, 0) + spans + deltas


def _varint(number: int) -> bytes:
    found: list[int] = []
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _zigzag(number: int) -> int:
    return number * 2 if number >= 0 else -number * 2 - 1


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _text(field: int, value: bytes | Iterable[int]) -> bytes:
    value = bytes(value)
    return _varint(field << 3 | 2) + _varint(len(value)) + value
