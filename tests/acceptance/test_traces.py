"""Traces: one from the producer's span to the provider, with links where batches join; nothing of it unless wanted."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanContext

from schemas.events.system import SystemError as SystemFailed
from tests.acceptance.world import World, a_world, running
from tests.collector import Collector, attributes, collecting
from worker.bootstrap import Process
from worker.traces import traces

INTAKE = {"accept", "address", "decide", "dispatch"}
COURIER = {"lease", "render", "send", "settle"}
CHANNELS = {"inbox", "email", "telegram", "slack"}
_TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("shop")


async def tell(world: World, number: int) -> SpanContext:
    """A service publishes within a span of its own; nobody hands the trace on by hand."""
    with _TRACER.start_as_current_span("checkout") as span:
        await world.tell(SystemFailed(service="api", error=f"disk {number}", severity="high"))
    return span.get_span_context()


@asynccontextmanager
async def a_traced_worker(world: World) -> AsyncIterator[Collector]:
    """A worker that traces, beside the world's own timer; at the end everything has been handed over."""
    async with collecting() as collector:
        settings = world.settings.model_copy(update={"traces_url": collector.url})
        async with running(Process(settings)):
            yield collector


@pytest.fixture
async def quiet(database_url: str, rabbitmq_url: str) -> AsyncIterator[World]:
    """Queues and people, and nobody who takes events in."""
    async with a_world(database_url, rabbitmq_url, roles=["timer"]) as world:
        await world.database.execute("INSERT INTO people (id, roles, changed_at) VALUES ('root', '{admin}', now())")
        await world.database.executemany(
            "INSERT INTO addresses (person_id, channel, address) VALUES ('root', $1, $2)",
            [
                ("email", "root@example.com"),
                ("telegram", "1234"),
                ("slack", world.simulator.slack_webhook_url("root")),
            ],
        )
        yield world


def of_trace(spans: Iterable[Span], context: SpanContext) -> list[Span]:
    return [one for one in spans if int.from_bytes(one.trace_id) == context.trace_id]


def parents(spans: Iterable[Span]) -> set[int]:
    return {int.from_bytes(one.parent_span_id) for one in spans}


def linked(span: Span) -> set[int]:
    return {int.from_bytes(one.span_id) for one in span.links}


def channels(sends: Sequence[Span]) -> set[object]:
    return {attributes(one.attributes)["channel"] for one in sends if one.name == "send"}


async def test_one_trace_leads_from_the_producer_through_every_stage_to_each_provider(quiet: World) -> None:
    """Whoever looks at a slow checkout sees where its messages were, in the producer's own trace."""
    begun = time.time_ns()
    async with a_traced_worker(quiet) as collector:
        context = await tell(quiet, 1)
        await quiet.until("SELECT 1 FROM deliveries WHERE state = 'sent'", count=len(CHANNELS))
    ended = time.time_ns()

    mine = of_trace(collector.spans, context)
    assert {one.name for one in mine} == INTAKE | COURIER
    assert channels(mine) == CHANNELS
    assert parents(mine) == {context.span_id}
    assert collector.services == {"kabar"}
    assert all(begun < one.start_time_unix_nano <= one.end_time_unix_nano < ended for one in mine)
    (mail,) = (one for one in mine if one.name == "send" and attributes(one.attributes)["channel"] == "email")
    said = attributes(mail.attributes)
    assert (said["event_type"], said["lane"], said["attempt"]) == ("system.error", "urgent", 1)
    assert (said["outcome"], said["reason"], mail.kind) == ("sent", "", Span.SpanKind.SPAN_KIND_CLIENT)
    assert said.keys() == {
        "event_id", "event_type", "notification_id", "delivery_id", "channel", "lane", "attempt", "outcome", "reason",
    }  # fmt: skip


async def test_a_batch_that_joins_several_traces_is_linked_to_each(quiet: World) -> None:
    """No trace claims the work done for others, and from each one finds it."""
    contexts = [await tell(quiet, number) for number in range(6)]
    async with a_traced_worker(quiet) as collector:
        await quiet.until("SELECT 1 FROM deliveries WHERE state = 'sent'", count=6 * len(CHANNELS))

    for stage in INTAKE:
        spans = [one for one in collector.spans if one.name == stage]
        joined = [one for one in spans if len(one.links) > 1]
        assert joined, f"no batch of {stage} joined two events, of six that waited"
        assert set().union(parents(spans), *map(linked, joined)) >= {one.span_id for one in contexts}
        assert not [one for context in contexts for one in of_trace(joined, context)]
    for context in contexts:
        mine = of_trace(collector.spans, context)
        (dispatched,) = (one for one in mine if one.name == "dispatch")
        assert linked(dispatched) <= {int.from_bytes(one.span_id) for one in collector.spans if one.name == "dispatch"}
        assert channels(mine) == CHANNELS


async def test_what_the_producer_does_not_sample_is_not_traced(quiet: World) -> None:
    """One decision for the whole trace, made where it begins."""
    unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    async with a_traced_worker(quiet) as collector:
        await quiet.tell(SystemFailed(service="api", error="disk", severity="high"), traceparent=unsampled)
        await quiet.until("SELECT 1 FROM deliveries WHERE state = 'sent'", count=len(CHANNELS))

    assert collector.spans == []


async def test_a_collector_that_is_away_holds_nobody_up(quiet: World) -> None:
    """Messages go out as ever, and the process ends when it is asked to."""
    settings = quiet.settings.model_copy(update={"traces_url": "http://127.0.0.1:9/v1/traces"})
    async with running(Process(settings)):
        await tell(quiet, 1)
        await quiet.until("SELECT 1 FROM deliveries WHERE state = 'sent'", count=len(CHANNELS))
        begun = time.monotonic()

    assert time.monotonic() - begun < 10


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    services = {"KABAR_AMQP_URL": "amqp://127.0.0.1:9", "KABAR_DATABASE_URL": "postgresql://127.0.0.1:9/none"}
    return subprocess.run(
        [sys.executable, "-c", script], env=services | environment, capture_output=True, text=True, check=False
    )


def test_nothing_of_opentelemetry_is_loaded_unless_traces_are_wanted() -> None:
    """Who does not trace pays nothing: not the memory, not the start."""
    ran = python(
        "import sys, worker.cli, worker.bootstrap, schemas.producer\n"
        "from worker.settings import load_settings\n"
        "worker.bootstrap.Process(load_settings())\n"
        "print([name for name in sys.modules if 'opentelemetry' in name])"
    )

    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")
    assert not traces.is_on


def test_traces_without_their_packages_are_an_error_that_says_what_to_install() -> None:
    """A deployment that believes to trace and does not is worse than one that does not start."""
    ran = python(
        "import sys\nsys.modules['opentelemetry'] = None\nsys.argv = ['kabar', 'run']\n"
        "from worker.cli import main\nmain()",
        KABAR_TRACES_URL="http://127.0.0.1:9/v1/traces",
    )

    assert ran.returncode == 2
    assert "KABAR_TRACES_URL is set" in ran.stderr
    assert "pip install 'kabar[traces]'" in ran.stderr
