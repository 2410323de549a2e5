"""The page says every number as the rest of Serinus does: units.js and canary/format.py, value by value."""

import math
import random
from pathlib import Path
from typing import get_args

from playwright.sync_api import Browser

from canary import format as fmt
from canary.spec.units import Unit

SOURCE = Path(fmt.__file__).parents[1] / "controlplane" / "dashboard" / "static" / "units.js"
UNITS: tuple[Unit, ...] = get_args(Unit)
EDGES = [
    *(0.0, 0.0123, 0.9994999, 0.9995, 0.9996, 0.9999999, 1.0, 1.005, 2.5, 9.95, 10.0, 59.96, 60.0, 90.0, 119.97),
    *(120.0, 3600.0, 5400.0, 7199.9, 86400.0, 0.05, 0.1, 0.125, 0.0625, 999.5, 999.995, 1234.5, 12345.678, 999_999.5),
    *(1e-12, 1e-9, 1.5e-9, 1e15, 9.99e14, 1e300, 5e-324),
]
ASKED = """async ([source, values, units]) => {
  const { measure, duration } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  return values.map((value) => [...units.map((unit) => measure(value, unit)), duration(Math.abs(value))]);
}"""


def test_the_page_says_each_value_as_every_other_face_does(browser: Browser) -> None:
    chance = random.Random(20)
    spread = [chance.choice((-1, 1, 1, 1)) * 10 ** chance.uniform(-10, 16) for _ in range(2000)]
    ties = [chance.randrange(100_000) / 2 ** chance.randrange(12) for _ in range(2000)]
    values = [*EDGES, *(-edge for edge in EDGES), *spread, *ties, math.inf, -math.inf]
    page = browser.new_page()
    shown = page.evaluate(ASKED, [SOURCE.read_text(encoding="utf-8"), values, list(UNITS)])
    page.close()
    assert len(shown) == len(values)
    for value, texts in zip(values, shown, strict=True):
        assert texts == [*(fmt.measure(value, unit) for unit in UNITS), fmt.duration(abs(value))], value
