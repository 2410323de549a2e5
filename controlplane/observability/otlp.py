"""Spans over OTLP/HTTP, by OpenTelemetry's own exporter: the extra `otel`.

Used by `tracer.py`, on a thread. Addresses, headers, compression and certificates are those of OpenTelemetry's own
environment variables (`OTEL_EXPORTER_OTLP_…`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`).
"""

import logging
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from canary.errors import BadInput
from controlplane.observability.redact import redacted
from controlplane.observability.trace import Span, span_id

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

ADDRESSES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
TIMEOUT = 8
"""Seconds of one delivery, below the tracer's own patience."""


def wanted(environment: Mapping[str, str] | None = None) -> bool:
    """Whether somebody asked for traces."""
    variables = os.environ if environment is None else environment
    return variables.get("OTEL_SDK_DISABLED", "").lower() != "true" and any(variables.get(name) for name in ADDRESSES)


class Otlp:
    """Implements `tracer.Exporter`."""

    def __init__(self) -> None:
        """Raises `BadInput` where the extra is not installed."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ModuleNotFoundError as error:
            raise BadInput(
                f"Traces need the extra `otel`: pip install 'serinus[otel]' ({error}). Nothing was started."
            ) from error
        # What fails is told by the tracer, once and in our words.
        logging.getLogger("opentelemetry.exporter.otlp").disabled = True
        logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").disabled = True
        self._exporter = OTLPSpanExporter(timeout=TIMEOUT)

    def export(self, trace: str, finished: Sequence[Span], resource: Mapping[str, str]) -> None:
        """See `Exporter`; raises `OSError` where the collector did not take them."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import SpanExportResult

        about = Resource.create({"service.name": "serinus", "service.version": version("serinus"), **resource})
        if self._exporter.export([_readable(trace, span, about) for span in finished]) is not SpanExportResult.SUCCESS:
            raise OSError("the collector did not take the spans")


def _readable(trace: str, span: Span, resource: "Resource") -> "ReadableSpan":
    """A span as OpenTelemetry's exporter wants it."""
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context(key: str) -> SpanContext:
        return SpanContext(int(trace, 16), int(span_id(trace, key), 16), False, TraceFlags(TraceFlags.SAMPLED))

    return ReadableSpan(
        name=span.name,
        context=context(span.key),
        parent=context(span.parent) if span.parent else None,
        resource=resource,
        attributes=_clean(span.attributes),
        events=[Event(point.name, _clean(point.attributes), _nanoseconds(point.at)) for point in span.points],
        kind=SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, redacted(span.failed)) if span.failed else Status(StatusCode.OK),
        start_time=_nanoseconds(span.began),
        end_time=_nanoseconds(span.ended or span.began),
    )


def _clean(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: redacted(value) if isinstance(value, str) else value for name, value in attributes.items()}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
