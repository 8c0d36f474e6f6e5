"""What the fake providers have taken. Memory is bounded: only the newest are kept, the counters count for ever."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge
from itertools import chain
from typing import Literal, get_args
from uuid import UUID

ChannelName = Literal["email", "telegram", "slack"]
CHANNELS: tuple[ChannelName, ...] = get_args(ChannelName)
KEPT_PER_CHANNEL = 2_000
KEPT_BYTES_PER_CHANNEL = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message at one address. `number` counts from 1 over all channels, in order of arrival.

    `to` is the address as a delivery has it: a mailbox, a chat id, a webhook's URL, a Slack channel's id. `html` is
    as it was sent and never to be trusted. `raw` is the mail's source, or the call's parameters as JSON.
    """

    number: int
    channel: ChannelName
    at: datetime
    to: str
    title: str
    text: str
    html: str
    raw: bytes
    delivery_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Waiter:
    count: int
    channel: ChannelName | None
    reached: asyncio.Future[None]


class Arrivals:
    """The arrivals of all channels. Belongs to one event loop."""

    def __init__(self) -> None:
        self._kept: dict[ChannelName, deque[Arrival]] = {channel: deque() for channel in CHANNELS}
        self._kept_bytes: Counter[ChannelName] = Counter()
        self._totals: Counter[ChannelName] = Counter()
        self._turned_away: Counter[ChannelName] = Counter()
        self._waiters: set[_Waiter] = set()

    def add(
        self,
        channel: ChannelName,
        *,
        to: str,
        title: str,
        text: str,
        raw: bytes,
        html: str = "",
        delivery_id: UUID | None = None,
    ) -> Arrival:
        """Keep a message that was taken, forget the oldest ones beyond the bounds, wake who waited for it."""
        self._totals[channel] += 1
        arrival = Arrival(self.total(), channel, datetime.now(UTC), to, title, text, html, raw, delivery_id)
        self._kept[channel].append(arrival)
        self._kept_bytes[channel] += len(raw)
        self._forget_oldest(channel)
        for waiter in [waiter for waiter in self._waiters if self.total(waiter.channel) >= waiter.count]:
            self._waiters.discard(waiter)
            waiter.reached.set_result(None)
        return arrival

    def turn_away(self, channel: ChannelName) -> None:
        """Count a message that was answered with an error."""
        self._turned_away[channel] += 1

    def total(self, channel: ChannelName | None = None) -> int:
        """Answer how many ever arrived, forgotten ones included."""
        return self._totals.total() if channel is None else self._totals[channel]

    def turned_away(self, channel: ChannelName) -> int:
        """Answer how many were ever answered with an error."""
        return self._turned_away[channel]

    def kept(self, channel: ChannelName | None = None) -> list[Arrival]:
        """Answer the arrivals still kept, oldest first."""
        if channel is not None:
            return list(self._kept[channel])
        return list(merge(*self._kept.values(), key=lambda arrival: arrival.number))

    def find(self, number: int) -> Arrival | None:
        """Answer the arrival with this number, unless it never was or is forgotten."""
        return next((arrival for arrival in chain(*self._kept.values()) if arrival.number == number), None)

    async def wait_for(self, count: int, *, timeout_seconds: float, channel: ChannelName | None) -> None:
        """Return once `count` have ever arrived. Raises TimeoutError, which says how many did."""
        if self.total(channel) >= count:
            return
        waiter = _Waiter(count, channel, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout_seconds):
                await waiter.reached
        except TimeoutError:
            where = channel or "all channels"
            raise TimeoutError(
                f"{self.total(channel)} of {count} messages arrived on {where} within {timeout_seconds} s"
            ) from None
        finally:
            self._waiters.discard(waiter)

    def _forget_oldest(self, channel: ChannelName) -> None:
        kept = self._kept[channel]
        while len(kept) > KEPT_PER_CHANNEL or (self._kept_bytes[channel] > KEPT_BYTES_PER_CHANNEL and len(kept) > 1):
            self._kept_bytes[channel] -= len(kept.popleft().raw)
