"""The trace a producer is in, as W3C Trace Context writes it. OpenTelemetry is asked only where the service uses it."""

from __future__ import annotations

import sys


def current_traceparent() -> str | None:
    """Answer the current span's `traceparent`; None where there is no span, or no OpenTelemetry in this process."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
