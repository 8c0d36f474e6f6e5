"""A collector of traces as any back end is one: OTLP over HTTP, protobuf, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE_SECONDS = 20


@dataclass
class Collector:
    """What was handed over. `bodies` are the requests as they came, `url` is what KABAR_TRACES_URL is set to."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        """Take one request of `POST /v1/traces`."""
        body = await request.read()
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services.add(str(attributes(resource.resource.attributes)["service.name"]))
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        self._arrived.set()
        return web.Response(content_type="application/x-protobuf")

    async def until(self, holds: Callable[[list[Span]], bool]) -> list[Span]:
        """Wait until what has arrived is as wanted, and answer all of it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds(self.spans):
                self._arrived.clear()
                await self._arrived.wait()
        return self.spans


def attributes(pairs: object) -> dict[str, object]:
    """Read OTLP's key-value pairs."""
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in pairs if _is_pair(one)}  # type: ignore[attr-defined]  # protobuf's containers are untyped


def _is_pair(one: object) -> bool:
    return isinstance(one, KeyValue)


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector that listens while the block runs."""
    collector = Collector()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    try:
        yield collector
    finally:
        await runner.cleanup()
