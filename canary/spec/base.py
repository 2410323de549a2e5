"""What every model of the spec is built on: frozen, camelCase in files, unknown keys refused."""

from typing import Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from canary.spec.units import Unreadable


class Model(BaseModel):
    """Frozen, and unknown keys are faults."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        allow_inf_nan=False,
        # Built when first used: most commands read one plan, and some none.
        defer_build=True,
    )


def _filled(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if not items:
        raise Unreadable("expected at least one item, the list is empty")
    return items


NOT_EMPTY = AfterValidator(_filled)
"""A list with at least one item. Not pydantic's own `min_length`, which counts only the items without faults."""
AT_LEAST_ONE = Field(json_schema_extra={"minItems": 1})
"""The same for the JSON Schema."""
