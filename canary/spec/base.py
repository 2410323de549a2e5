"""What every model of the spec is built on: frozen, camelCase in files, unknown keys refused."""

from typing import Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from canary.spec.units import UnreadableNumber


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


LONGEST_LIST = 30
"""Stages of a plan, gates of a stage and the like: more than anybody writes, few enough to check each with care."""


def length(least: int = 0, most: int = LONGEST_LIST) -> tuple[Any, ...]:
    """Annotations of a list that has so many items.

    Not pydantic's own lengths: these count only the items without faults, and after all of them were checked.
    """

    def short(items: Any) -> Any:
        if isinstance(items, list | tuple) and len(items) > most:
            raise UnreadableNumber(f"expected at most {most} items, found {len(items)}")
        return items

    def filled(items: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(items) < least:
            raise UnreadableNumber("expected at least one item, the list is empty")
        return items

    bounds = {"minItems": least, "maxItems": most} if least else {"maxItems": most}
    return Field(json_schema_extra={**bounds}), BeforeValidator(short), AfterValidator(filled)
