"""What happens to the wires between Kabar and others: they are slow, reset, half dead, or cut in mid-sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from tests.faults.producer import SOURCE
from tests.faults.rounds import Round
from tests.faults.scene import Scene
from tests.proxy import Proxy

WIRES = ("broker", "database", "smtp", "http")
_PER_SECOND = 30
_WARM = 60
_LATENCY_SECONDS = 0.5
_LIMIT_BYTES = 20_000
_PLAYED_SECONDS = 6.0
_REST_SECONDS = 120
_UNSURE_AND_SENT_AGAIN = """
SELECT coalesce(sum(d.resends), 0)::int AS resends FROM deliveries d JOIN events e ON e.key = d.event_key
WHERE e.source = $1 AND e.id::int >= $2 AND e.type = 'scene.marked'
"""


async def trouble_wire(stage: Scene, name: str, trouble: str) -> Round:
    """Play one of `TROUBLES` on one of the scene's wires under load.

    Doubled may be what a provider took without Kabar's hearing of it, where the channel says `resend`: those rows
    count a resend.
    """
    wire, began = stage.wires[name], monotonic()
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=began)
        await TROUBLES[trouble](wire)
        healed = monotonic()
        await stage.until_accepted(_WARM, since=healed)
    recovered = await stage.quiet(within=_REST_SECONDS, hurry=True)
    ((resends,),) = await stage.ask(_UNSURE_AND_SENT_AGAIN, SOURCE, numbers[0])
    return Round(f"{name}: {trouble}", await stage.tally(numbers), recovered, doubles=resends)


WORST = ("half open", "cut after 20 kB")
"""Of `TROUBLES`, those that leave it open what has arrived."""


async def _slow(wire: Proxy) -> None:
    wire.latency_seconds = _LATENCY_SECONDS
    await asyncio.sleep(_PLAYED_SECONDS)
    wire.latency_seconds = 0.0


async def _reset(wire: Proxy) -> None:
    for _ in range(int(_PLAYED_SECONDS)):
        wire.reset()
        await asyncio.sleep(1)


async def _halve(wire: Proxy) -> None:
    wire.halve()
    await asyncio.sleep(_PLAYED_SECONDS)


async def _cut_short(wire: Proxy) -> None:
    wire.limit_bytes = _LIMIT_BYTES
    await asyncio.sleep(_PLAYED_SECONDS)
    wire.limit_bytes = None


TROUBLES: dict[str, Callable[[Proxy], Awaitable[None]]] = {
    "500 ms slow": _slow,
    "reset each second": _reset,
    "half open": _halve,
    "cut after 20 kB": _cut_short,
}
