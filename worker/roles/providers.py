"""The providers of one channel, in the order of preference, and the accounts by which it sends.

A message goes to the first that is in service. Where that one has certainly not taken it, and may later, the next is
asked at once. After silence beyond the point of no return nobody else is: that might be a double. One that rests is
tried though a better one is in service: else nobody would know that it is well again until it is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from worker import metrics
from worker.channels.base import Channel
from worker.core.outcome import Deferred, Outcome, Released
from worker.pipeline.send import send
from worker.roles.accounts import Account, Accounts


class Provider(NamedTuple):
    """One way to send on a channel."""

    channel: Channel[Any]
    account: Account


class Sending(NamedTuple):
    """What came of it, by whom, and how many seconds the last send took."""

    outcome: Outcome
    provider: str = ""
    seconds: float = 0.0


class Providers:
    """Sends on one channel. Any of its providers can send what the first has fitted."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = tuple(providers)
        self._others = self._providers[1:]
        self.channel = providers[0].channel

    def on_change(self, call: Callable[[], None]) -> None:
        """Call this whenever more or less may be sent than before."""
        for _, account in self._providers:
            account.on_change = call

    async def room(self, wanted: int, unbegun: int) -> int:
        """Answer how many of the wanted deliveries may be leased now. `unbegun` are leased and wait for a sender."""
        for _, account in self._providers:
            account.ask()
        for _, account in self._providers:
            if account.is_free:
                return wanted
            if account.is_in_service:
                return max(0, await account.room(wanted) - unbegun)
        return max(0, 1 - unbegun) if any(account.may_probe for _, account in self._providers) else 0

    def pause(self) -> float | None:
        """Answer after how many seconds to look again whether there is room; None: there always is."""
        pauses = []
        for _, account in self._providers:
            if account.is_free:
                return None
            pauses.append(account.pause())
        return min(pauses)

    async def send(self, message: object, delivery: UUID, begin_by: float) -> Sending:
        """Send by the first that may and can; nothing begins after `begin_by` (monotonic clock)."""
        best: Sending | None = None
        for channel, account in self._in_order():
            if not account.is_free and not await account.turn(begin_by):
                continue
            begun = time.monotonic()
            if begun > begin_by:
                break
            if best:
                metrics.failovers.labels(channel.name).inc()
            outcome = await send(channel, message)
            if account.note(outcome, delivery, begun) and isinstance(outcome, Deferred):
                outcome = replace(outcome, costs_attempt=False)  # the trouble is known, and none of this message's
            sending = Sending(outcome, account.provider, time.monotonic() - begun)
            if not isinstance(outcome, Deferred) or outcome.scope == "address":
                return sending
            best = _better(best, sending)
        return best or Sending(Released("lease_too_old" if time.monotonic() > begin_by else "account_rests"))

    def _in_order(self) -> Sequence[Provider]:
        """Answer whom to ask in turn: the one that is to be tried, then as they are preferred."""
        for one in self._others:
            if one.account.may_probe:
                return (one, *(other for other in self._providers if other is not one))
        return self._providers


def providers_of(channels: Sequence[Channel[Any]], accounts: Accounts) -> Providers:
    """Give each of a channel's providers its account: `email`, `email:2`… Two of one host are numbered."""
    made = []
    hosts = [channel.provider for channel in channels]
    for number, channel in enumerate(channels):
        before = hosts[:number].count(channel.provider)
        account = accounts.of(
            f"{channel.name}:{number + 1}" if number else channel.name,
            f"{channel.provider} #{before + 1}" if before else channel.provider,
            channel.abilities.per_second,
        )
        made.append(Provider(channel, account))
    return Providers(made)


def _better(first: Sending | None, second: Sending) -> Sending:
    """Answer which of two deferrals says more of the message: one that costs it an attempt."""
    if first and isinstance(first.outcome, Deferred) and first.outcome.costs_attempt:
        return first
    return second
