"""What happens to workers: they are killed, and they are replaced one after the other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from tests.faults.fakes import ACCEPT, CHANNELS, Treatment
from tests.faults.rounds import Round
from tests.faults.scene import Scene

HELD = ("telegram", "slack")
"""The channels that hold what is unsure unless told otherwise; a mail is sent again, known by its Message-ID."""
_PER_SECOND = 100
_ANSWER_SECONDS = 0.15
_LEASE_SECONDS = 60
_REST_SECONDS = 60
_LOOK_SECONDS = 0.1


async def kill_workers(stage: Scene, *, kills: int, held: Sequence[str] = HELD, hurry: bool = False) -> Round:
    """Kill a worker with signal 9 every one to two seconds under load, and start another for each.

    The providers take a while to answer, so that there is always something in flight. `held`: the channels that hold
    what is unsure. `hurry`: the leases of the dead run out as soon as nothing else is left, and not after their minute.
    """
    for channel in CHANNELS:
        await stage.fakes.treat(channel, Treatment(answer_after=_ANSWER_SECONDS))
    async with stage.load(per_second=_PER_SECOND) as numbers, asyncio.TaskGroup() as replacing:
        for _ in range(kills):
            await asyncio.sleep(random.uniform(1, 2))  # noqa: S311 - the pace of the fault, not a secret
            while not stage.workers:
                await asyncio.sleep(_LOOK_SECONDS)  # those that follow are still starting
            await stage.kill(random.choice(stage.workers))  # noqa: S311 - as above
            replacing.create_task(stage.start(1))
    for channel in CHANNELS:
        await stage.fakes.treat(channel, ACCEPT)
    recovered = await stage.quiet(within=_LEASE_SECONDS + _REST_SECONDS, hurry=hurry)
    books, holding = await stage.tally(numbers), await stage.tally(numbers, held)
    amiss = [f"{holding.doubled} doubles where what is unsure is held"] if holding.doubled else []
    if books.unsure > holding.unsure:
        amiss.append(f"{books.unsure - holding.unsure} unsure where they are to be sent again")
    resent = books.in_flight - holding.in_flight
    return Round("workers killed (9)", books, recovered, doubles=resent, amiss=tuple(amiss))


async def replace_workers(stage: Scene) -> Round:
    """Replace every worker by a new one, as a rolling deployment does, under load."""
    for channel in CHANNELS:
        await stage.fakes.treat(channel, Treatment(answer_after=_ANSWER_SECONDS))
    codes = []
    async with stage.load(per_second=_PER_SECOND) as numbers:
        for old in list(stage.workers):
            await stage.start(1)
            codes.append(await stage.end(old))
    for channel in CHANNELS:
        await stage.fakes.treat(channel, ACCEPT)
    recovered = await stage.quiet(within=_REST_SECONDS)
    books = await stage.tally(numbers)
    amiss = [f"a drained worker's exit code was {code}" for code in codes if code]
    if books.attempts > 1 or books.in_flight:
        amiss.append(f"attempts were spent: {books.attempts} on one delivery, {books.in_flight} leases ran out")
    return Round("workers replaced", books, recovered, amiss=tuple(amiss))
