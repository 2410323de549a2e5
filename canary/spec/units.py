"""Human units as pydantic types: `5 %`, `200ms`, `7d`, `$100` in, base units out.

Used by `models.py` for whole fields and by the gate grammar for the number in a line.
"""

from typing import Annotated

from pydantic import Field

Share = Annotated[float, Field(ge=0, le=1)]
"""A fraction; `5%` and `5 %` are 0.05."""
Seconds = Annotated[float, Field(ge=0)]
"""A duration in seconds; `200ms`, `2.5s`, `4h`, `7d`."""
Dollars = Annotated[float, Field(ge=0)]
"""Money; `$100`."""
Positive = Annotated[int, Field(ge=1)]
"""A whole number from 1."""
Switch = bool
"""`true` or `false`, nothing else."""
Text = str
"""Text as it stands in the file: `1.10` stays `1.10`."""
