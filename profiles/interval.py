"""How wrong a prediction may be: factors that hold 80 % of points the constants had not seen.

Measured by `benchmarks/profile_fit.py --folds --labs` on deployments and labs that were left out of the fit. An
interval is the value divided and multiplied by its factor, because errors of speed are shares, not seconds.
"""

from dataclasses import dataclass
from typing import Literal

Basis = Literal["measured", "calibrated", "predicted", "extrapolated"]
UNCALIBRATED = {"ttft": 1.65, "itl": 1.31, "throughput": 1.37}
"""Factor by class: between the five-fold errors and those on labs never seen."""
CALIBRATED = {"ttft": 1.40, "itl": 1.13, "throughput": 1.12}
"""With two own points; the errors that are left on the other points of the same deployment."""
ONE_POINT = 0.5
"""With one own point: this far (in log) from the calibrated factor to the uncalibrated one."""
EXTRAPOLATED = 1.5
"""Exponent of the factor where no public point was measured on such hardware or such a kernel."""
THIN = {"w4a16", "gguf", "int8", "bnb-nf4", "bnb-int8"}
"""Kernels that fewer than a dozen public points, or those of a single lab, speak to."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the bounds that hold it with 80 %."""

    value: float
    low: float
    high: float

    @classmethod
    def within(cls, value: float, factor: float) -> "Estimate":
        """The value, up and down by a factor."""
        return cls(value, value / factor, value * factor)


def factor(kind: str, basis: Basis, points: int = 0) -> float:
    """The factor of a class (`ttft`, `itl`, `throughput`) on this basis; `points`: own measurements behind it."""
    if basis in {"measured", "calibrated"}:
        narrow, wide = CALIBRATED[kind], UNCALIBRATED[kind]
        return narrow if points > 1 else float(narrow ** (1 - ONE_POINT) * wide**ONE_POINT)
    if basis == "extrapolated":
        return float(UNCALIBRATED[kind] ** EXTRAPOLATED)
    return UNCALIBRATED[kind]
