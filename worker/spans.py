"""Spans by OpenTelemetry, sent by OTLP over HTTP. Imported only where traces are switched on.

A stage that works on one trace is a span of that trace. Where a batch joins several, the stage is a trace of its own
with a link to each; then every event's own trace still has its `dispatch`, linked to the batch, and each `send`.
What the producer did not sample is not traced here either. OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES and OTEL_EXPORTER_OTLP_HEADERS hold as OpenTelemetry defines them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TypeAlias

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Keys: TypeAlias = Mapping[str, str | int]
Item: TypeAlias = tuple[str | None, Keys]
"""The traceparent of an event or delivery, and the keys by which logs name it."""

_MOST_LINKS = 512
_EXPORT_SECONDS = 2
_KINDS = {
    "accept": SpanKind.CONSUMER,
    "dispatch": SpanKind.PRODUCER,
    "lease": SpanKind.CONSUMER,
    "send": SpanKind.CLIENT,
}
_FINE = {"sent", "released"}
_log = structlog.get_logger("traces")


class Spans:
    """Makes spans of what has just ended, and hands them over in the background."""

    def __init__(self, url: str) -> None:
        resource = Resource.create({"service.name": "kabar", "service.version": version("kabar")})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()),
            span_limits=SpanLimits(max_links=_MOST_LINKS),
            shutdown_on_exit=False,
        )
        self._exporter = _Watched(OTLPSpanExporter(endpoint=url, timeout=_EXPORT_SECONDS))
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("kabar")
        self._propagator = TraceContextTextMapPropagator()

    async def aclose(self) -> None:
        """Hand over what waits and end; where one hand-over fails now, there is no other."""
        self._exporter.is_closing = True
        await asyncio.to_thread(self._provider.shutdown)

    def stage(self, name: str, begun_ago: float, seconds: float, items: Sequence[Item]) -> None:
        """A stage took these seconds over a batch, and began so many seconds ago."""
        start = time.time_ns() - int(begun_ago * 1e9)
        end = start + int(seconds * 1e9)
        first = {parent: keys for parent, keys in reversed(items) if parent}
        traced = {parent: self._context(parent) for parent in first}
        count: Keys = {"count": len(items)}
        if len(traced) == 1 and all(parent for parent, _ in items):
            ((parent, context),) = traced.items()
            keys: Keys = first[parent] if len(items) == 1 else {}
            self._span(name, start, context, {**keys, **count}).end(end)
            return
        sampled = {parent: context for parent, context in traced.items() if _is_sampled(context)}
        if traced and not sampled:
            return
        joined = self._span(name, start, Context(), count, [_link(context) for context in sampled.values()])
        joined.end(end)
        if name == "dispatch":
            for parent, context in sampled.items():
                self._span(name, start, context, first[parent], [Link(joined.get_span_context())]).end(end)

    def send(self, item: Item, seconds: float) -> None:
        """A channel took these seconds, just now, to answer for a delivery."""
        end = time.time_ns()
        parent, keys = item
        context = self._context(parent) if parent else Context()
        span = self._span("send", end - int(seconds * 1e9), context, keys)
        if keys["outcome"] not in _FINE:
            span.set_status(Status(StatusCode.ERROR, str(keys["reason"])))
        span.end(end)

    def _context(self, traceparent: str) -> Context:
        return self._propagator.extract({"traceparent": traceparent}, Context())

    def _span(self, name: str, start: int, context: Context, keys: Keys, links: Sequence[Link] = ()) -> Span:
        kind = _KINDS.get(name, SpanKind.INTERNAL)
        return self._tracer.start_span(name, context, kind, attributes=keys, links=links, start_time=start)


def _is_sampled(context: Context) -> bool:
    return get_current_span(context).get_span_context().trace_flags.sampled


def _link(context: Context) -> Link:
    return Link(get_current_span(context).get_span_context())


class _Watched(SpanExporter):
    """Says once that spans are lost, and once that they are not any more: OpenTelemetry's own logs would quote URLs."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._is_lost = False
        self.is_closing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.is_closing and self._is_lost:
            return SpanExportResult.FAILURE
        result = self._inner.export(spans)
        is_lost = result is not SpanExportResult.SUCCESS
        if is_lost != self._is_lost:
            self._is_lost = is_lost
            _log.warning("traces.lost" if is_lost else "traces.kept", count=len(spans))
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)
