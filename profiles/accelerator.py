"""What one GPU can do: memory, bandwidth, arithmetic, link, price.

Values come from `data/gpus.toml` or from the user's own YAML, through `profiles.catalogue`. Knows no model and no
quantization; which kernel runs on which GPU is in `profiles.support`.
"""

from dataclasses import dataclass

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars an hour for one GPU on demand, as a range with its date: prices move by a factor of two a year."""

    low: float
    typical: float
    high: float
    as_of: str
    """ISO date of the quotation."""
    source: str
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One GPU. Rates are dense peaks of the data sheet, in base units (bytes a second, operations a second)."""

    name: str
    memory_bytes: float
    """What a process can see, which is less than the label says."""
    bandwidth: float
    """Memory bandwidth in bytes a second."""
    fp16: float
    """Peak rate of 16-bit tensor arithmetic, FLOP a second, dense, accumulating in fp32."""
    fp8: float | None
    """Peak FP8 rate; None where the GPU has no FP8 units."""
    int8: float | None
    fp4: float | None
    capability: float
    """NVIDIA compute capability (8.9); for AMD the gfx number / 100 (9.42 is gfx942)."""
    link: str
    """`nvlink` or `pcie`: how GPUs of one server talk to each other."""
    link_rate: float
    """Bytes a second that one GPU can send to its neighbours, one way."""
    vendor: str = "nvidia"
    desktop: bool = False
    """Whether it sits in a desktop, whose CPU drives kernels faster than a server's."""
    price: Price | None = None
    aliases: tuple[str, ...] = ()

    @property
    def memory_gib(self) -> float:
        """Visible memory in GiB."""
        return self.memory_bytes / GIB
