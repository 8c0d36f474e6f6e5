"""What providers ask for: rest, for one of their addresses or for the whole account, until a time that they name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from math import inf
from time import monotonic
from typing import NamedTuple

from tests.faults.fakes import Entry, Treatment
from tests.faults.people import address
from tests.faults.rounds import Round
from tests.faults.scene import PEOPLE, Scene

_RETRY_AFTER_SECONDS = 4
_TOLERANCE_SECONDS = 1
_AT_ONCE_SECONDS = 3
"""Less than the rest, and several times what a busy machine takes."""
_PER_SECOND = 25
_WARM = 60
_HELD = 10
_PAUSE_SECONDS = 0.5
"""Published one by one until the rest is over, what is held is a job each, for whichever worker is next."""
_REST_SECONDS = 60


class Scope(NamedTuple):
    """What a channel's provider wants left alone when it answers with this status: one address, or all of them."""

    channel: str
    code: int
    is_account: bool = False


SCOPES: Mapping[str, Scope] = {
    "chat": Scope("telegram", 429),
    "webhook": Scope("slack", 429),
    "account": Scope("slack", 503, is_account=True),
}


async def ask_for_rest(stage: Scene, name: str) -> Round:
    """Let a provider ask for rest once, while there is something for everybody and much for one person.

    What has to rest is sent nothing until the time is over, by any worker, and then at once; all else goes on.
    """
    scope = SCOPES[name]
    held = stage.producer.take(_HELD * PEOPLE)[::PEOPLE]  # every one of them for the same person
    to = "" if scope.is_account else address(scope.channel, held[0] % PEOPLE, "")
    ask = Treatment("answer", scope.code, "later", retry_after=_RETRY_AFTER_SECONDS, only_to=to, times=1)
    began = monotonic()
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=began)
        await stage.fakes.treat(scope.channel, ask)
        for number in held:
            await stage.producer.publish([number])
            await asyncio.sleep(_PAUSE_SECONDS)
    recovered = await stage.quiet(within=_REST_SECONDS)
    books = await stage.tally([*held, *numbers])
    amiss = _untimely(stage, scope, to, held, numbers)
    if books.attempts > 1:
        amiss.append(f"the rest cost a delivery {books.attempts - 1} attempts")
    return Round(f"rest for one {name}", books, recovered, amiss=tuple(amiss))


def _untimely(stage: Scene, scope: Scope, to: str, held: Sequence[int], others: Sequence[int]) -> list[str]:
    """Say whether what has to rest was sent to too soon or too late, and whether anything else had to wait."""
    numbers = {*held, *others}
    entries = [one for one in stage.fakes.entries() if one.number in numbers]
    asked_at = min((one.at for one in entries if one.code == scope.code), default=inf)
    sent = [one for one in entries if one.accepted and one.at > asked_at]
    # Of an account's rest others hear within half a second; whether an address rests is asked at each lease.
    heard_at = asked_at + (_TOLERANCE_SECONDS if scope.is_account else 0)
    own = [one for one in sent if one.channel == scope.channel and to in one.to]
    waited = min((one.at for one in own if one.at > heard_at), default=inf) - asked_at
    amiss = []
    if not 0 <= waited - _RETRY_AFTER_SECONDS <= _TOLERANCE_SECONDS:
        amiss.append(f"the next came after {waited:.2f} s, not {_RETRY_AFTER_SECONDS}")
    # The one person's other addresses have a pace of their own.
    latencies = [_latency(stage, one) for one in sent if one not in own and one.number not in held]
    latest = max(latencies, default=inf)
    if latest > _AT_ONCE_SECONDS:
        amiss.append(f"something else had to wait for {latest:.2f} s")
    return amiss


def _latency(stage: Scene, entry: Entry) -> float:
    assert entry.number is not None
    return entry.at - stage.producer.confirmed[entry.number]
