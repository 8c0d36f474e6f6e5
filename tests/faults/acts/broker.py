"""What happens to the broker: it is stopped, hangs, has no memory left, and its nodes die one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from time import monotonic

from tests.faults.acts.readiness import told, well
from tests.faults.fakes import ACCEPT, CHANNELS, Treatment
from tests.faults.rounds import Round
from tests.faults.scene import Scene
from worker.dev.rabbitmq import RabbitMQ
from worker.dev.rabbitmq_cluster import Cluster

_PER_SECOND = 50
_WARM = 60
_REST_SECONDS = 60
_GAP_WITHIN_SECONDS = 30
_INTAKE = "kabar.intake.normal"
_BACKLOG = 600
_SLOW_SECONDS = 3.0
# The broker looks only once a minute at how long a message is held, unless told otherwise.
_IMPATIENT = """
application:set_env(rabbit, consumer_timeout, 3000), application:set_env(rabbit, channel_tick_interval, 1000),
application:set_env(rabbit, quorum_tick_interval, 1000).
"""


async def stop_broker(stage: Scene, node: RabbitMQ, *, seconds: float) -> Round:
    """Stop the broker under load, as an operator would, for so long."""
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=monotonic())
        await node.stop()
        await asyncio.sleep(seconds)
        await node.resume()
        again = await _until_sending(stage)
    recovered = await stage.quiet(within=_REST_SECONDS)
    fault = f"broker stopped for {seconds:.0f} s (sending {again:.1f} s after its port opened)"
    return Round(fault, await stage.tally(numbers), recovered, amiss=_late("sending again", again, most=10.0))


async def freeze_broker(stage: Scene, node: RabbitMQ, *, seconds: float) -> Round:
    """Let the broker hang under load for so long: its connections stay open and say nothing."""
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=monotonic())
        node.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            node.thaw()
        again = await _until_sending(stage)
    recovered = await stage.quiet(within=_REST_SECONDS)
    fault = f"broker frozen for {seconds:.0f} s (sending {again:.1f} s after its thaw)"
    return Round(fault, await stage.tally(numbers), recovered, amiss=_late("sending again", again, most=10.0))


async def exhaust_memory(stage: Scene, node: RabbitMQ, *, seconds: float) -> Round:
    """Raise the broker's memory alarm over a backlog of jobs: it reads nothing more from whoever publishes.

    What is in its queues must be delivered and acknowledged all the same, and readiness say why no more follows.
    """
    for channel in CHANNELS:
        await stage.fakes.treat(channel, Treatment(answer_after=_SLOW_SECONDS))
    backlog = await stage.publish(_BACKLOG)
    await stage.until("SELECT 1 FROM events WHERE type = 'scene.marked'", count=_BACKLOG)
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await node.raise_alarm()
        raised = monotonic()
        for channel in CHANNELS:
            await stage.fakes.treat(channel, ACCEPT)
        silent = await told(stage, "takes nothing")
        await asyncio.sleep(max(0.0, raised + seconds - monotonic()))
        flowed = sum(one.accepted and one.at > raised for one in stage.fakes.entries())
        unacknowledged = await _unacknowledged(node)
        await node.clear_alarm()
        again = await _until_sending(stage)
    recovered = await stage.quiet(within=_REST_SECONDS)
    amiss = [*silent, *await well(stage), *_late("sending again", again, most=2.0)]
    if flowed < _BACKLOG:
        amiss.append(f"only {flowed} messages were sent during the alarm")
    if unacknowledged:
        amiss.append(f"{unacknowledged} jobs stayed unacknowledged during the alarm")
    fault = f"memory alarm for {seconds:.0f} s ({flowed} sent meanwhile, again {again:.1f} s after it)"
    return Round(fault, await stage.tally([*backlog, *numbers]), recovered, amiss=tuple(amiss))


async def make_impatient(node: RabbitMQ) -> None:
    """Let the node wait three seconds, not half an hour, for whoever holds a message and connects from now on."""
    await node.ctl("eval", _IMPATIENT)


async def _unacknowledged(node: RabbitMQ) -> int:
    """Count the jobs that couriers hold. Events are held rightly: what follows from them cannot be published."""
    listed = await node.ctl("--quiet", "list_queues", "--no-table-headers", "name", "messages_unacknowledged")
    counts = (line.split("\t") for line in listed.splitlines())
    return sum(int(count) for name, count in counts if name.startswith("kabar.deliver."))


async def kill_leaders(stage: Scene, cluster: Cluster, *, rest_seconds: float) -> Round:
    """Kill the node that leads the intake queue; when it is back and has rested, kill the one that leads it then."""
    killed: list[float] = []
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=monotonic())
        for _ in range(2):
            leader = await cluster.leader_of(_INTAKE)
            killed.append(monotonic())
            await leader.kill()
            await stage.until_accepted(_WARM, since=killed[-1])
            await asyncio.sleep(rest_seconds)
            await leader.resume()
            await asyncio.sleep(rest_seconds)
    recovered = await stage.quiet(within=_REST_SECONDS)
    sent = [one.at for one in stage.fakes.entries() if one.accepted]
    publish_gap = max(_gap_after(moment, stage.producer.confirms) for moment in killed)
    consume_gap = max(_gap_after(moment, sent) for moment in killed)
    return Round(
        f"leader of three killed, twice (gaps: publishing {publish_gap:.1f} s, sending {consume_gap:.1f} s)",
        await stage.tally(numbers),
        recovered,
        amiss=(*_late("publishing again", publish_gap, most=3.0), *_late("sending again", consume_gap, most=5.0)),
    )


async def freeze_leader(stage: Scene, cluster: Cluster, *, seconds: float) -> Round:
    """Let the node that leads the intake queue hang for so long: its connections stay open and say nothing."""
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=monotonic())
        leader = await cluster.leader_of(_INTAKE)
        leader.freeze()
        frozen = monotonic()
        try:
            await asyncio.sleep(seconds)
        finally:
            leader.thaw()
        thawed = monotonic()
        await stage.until_accepted(_WARM, since=thawed)
    recovered = await stage.quiet(within=_REST_SECONDS)
    sent = [one.at for one in stage.fakes.entries() if one.accepted]
    publish_gap = _gap_after(frozen, stage.producer.confirms, within=seconds)
    consume_gap = _gap_after(frozen, sent, within=seconds)
    return Round(
        f"leader of three frozen for {seconds:.0f} s"
        f" (gaps: publishing {publish_gap:.1f} s, sending {consume_gap:.1f} s)",
        await stage.tally(numbers),
        recovered,
        amiss=(*_late("publishing again", publish_gap, most=20.0), *_late("sending again", consume_gap, most=20.0)),
    )


def _gap_after(fault: float, events: Iterable[float], *, within: float = _GAP_WITHIN_SECONDS) -> float:
    """Answer the longest time without an event, of those that ended soon after a fault."""
    gaps = (
        later - max(earlier, fault) for earlier, later in pairwise(sorted(events)) if fault < later < fault + within
    )
    return max(gaps, default=float("inf"))


async def _until_sending(stage: Scene) -> float:
    """Answer how many seconds it takes from now until a message goes out; returns when many have."""
    began = monotonic()
    first = await stage.until_accepted(1, since=began)
    await stage.until_accepted(_WARM, since=began)
    return first - began


def _late(what: str, seconds: float, *, most: float) -> tuple[str, ...]:
    return (f"{what} took {seconds:.1f} s, at most {most:g}",) if seconds > most else ()
