"""What happens to a worker's clock: it is an hour ahead, or an hour behind. Only the database's may decide anything."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from schemas.producer import Producer
from tests.faults.events import LIFE, Marked
from tests.faults.fakes import ACCEPT, Treatment
from tests.faults.people import person_id
from tests.faults.rounds import Round
from tests.faults.scene import Scene
from worker.dev import debian
from worker.errors import ServiceUnavailable

_PER_SECOND = 40
_WARM = 120
_REST_SECONDS = 60
_RETRY_AFTER = 6
_SLOW_SECONDS = 12.0
_TOLERANCE = timedelta(seconds=5)
_SOURCE = "clock"
_EXPIRING = """
SELECT d.state, d.reason FROM deliveries d JOIN events e ON e.key = d.event_key
WHERE e.source = $1 AND e.id = $2 AND d.state NOT IN ('queued', 'leased', 'waiting')
"""


@cache
def skewed_by(offset: timedelta) -> Mapping[str, str]:
    """Give the variables under which a program sees this much later a time, and the true monotonic clock.

    `ServiceUnavailable` where libfaketime cannot be fetched.
    """
    root = debian.unpacked("libfaketime", bring="libfaketime", cache=debian.cache_of("faketime"), finish=_prove)
    return {
        "LD_PRELOAD": str(_library(root)),
        "FAKETIME": f"{offset.total_seconds():+.0f}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }


def _library(root: Path) -> Path:
    return next(root.glob("usr/lib/*/faketime/libfaketimeMT.so.1"))


def _prove(root: Path) -> None:
    try:
        _library(root)
    except StopIteration:
        raise ServiceUnavailable(f"libfaketime's package for {platform.machine()} brings no library.") from None


async def skew_worker(stage: Scene, offset: timedelta) -> Round:
    """Let workers whose clock is off do everything, next to none that knows the time, and hold them to the true one.

    The scene must have no worker yet.
    """
    await stage.start(1, "intake", "courier", environment=skewed_by(offset))
    await stage.start(1, "timer", environment=skewed_by(offset))
    amiss = await _expiries(stage)
    await stage.fakes.treat("slack", Treatment("answer", 429, "rate_limited", retry_after=_RETRY_AFTER, times=1))
    await stage.fakes.treat("telegram", Treatment(answer_after=_SLOW_SECONDS, times=1))
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, channel="email")
        await stage.fakes.treat("telegram", ACCEPT)
    recovered = await stage.quiet(within=_REST_SECONDS)
    books = await stage.tally(numbers)
    amiss += await _early(stage) + await _lives(stage)
    if books.in_flight:
        amiss.append(f"{books.in_flight} leases were reaped early")
    hours = offset.total_seconds() / 3600
    return Round(f"workers' clock {hours:+.0f} h", books, recovered, amiss=tuple(amiss))


async def _expiries(stage: Scene) -> list[str]:
    """What is still to live half an hour is sent, and what died half an hour ago is not."""
    ((now,),) = await stage.ask("SELECT now()")
    wanted = {"alive": (now + LIFE, {"sent"}), "past": (now - LIFE, {"expired", "skipped"})}
    amiss = []
    async with Producer(stage.amqp_url, source=_SOURCE) as producer:
        for name, (expires_at, states) in wanted.items():
            await producer.publish(
                Marked(user_id=person_id(0), number="9999999"), id=name, expires_at=expires_at, time=_long_ago(now)
            )
            rows = await stage.until(_EXPIRING, _SOURCE, name, count=len(stage.settings.channels))
            amiss += [f"what was {name} became {tuple(row)}" for row in rows if row["state"] not in states]
    return amiss


def _long_ago(now: datetime) -> datetime:
    return now - 2 * LIFE


async def _early(stage: Scene) -> list[str]:
    """Say whether what a provider wanted later was sent before it could be."""
    entries = [one for one in stage.fakes.entries() if one.channel == "slack"]
    refused = next(one for one in entries if not one.accepted)
    sent = next(one for one in entries if one.accepted and one.number == refused.number)
    waited = sent.at - refused.at
    return [] if waited >= _RETRY_AFTER - 1 else [f"sent again after {waited:.1f} s instead of {_RETRY_AFTER}"]


async def _lives(stage: Scene) -> list[str]:
    """Say whether anything was given another life than its type's."""
    rows = await stage.ask(
        "SELECT max(abs(extract(epoch FROM expires_at - created_at) - $1)) AS off FROM deliveries WHERE created_at >"
        " now() - interval '10 min' AND event_key IN (SELECT key FROM events WHERE source = 'scene')",
        LIFE.total_seconds(),
    )
    off = timedelta(seconds=float(rows[0]["off"]))
    return [] if off < _TOLERANCE else [f"lives are off by {off}"]
