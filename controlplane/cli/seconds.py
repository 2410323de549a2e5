"""A length of time as an option: `30`, `30s`, `10m`. Used by the verbs that wait."""

from typing import Any

import click


class Seconds(click.ParamType[float]):
    """A length of time as kubectl's users write it: `30`, `30s`, `10m`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds; a usage error for anything else."""
        try:
            return max(float(value), 0.0)
        except ValueError:
            from canary.spec.units import UnreadableNumber, seconds
        try:
            return seconds(str(value))
        except UnreadableNumber:
            self.fail(f"expected a time such as 30s or 10m, got {value!r}", param, ctx)


SECONDS = Seconds()
