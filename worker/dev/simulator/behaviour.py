"""Failures on demand: how an address asks the fake providers to misbehave. Pure; the caller brings the time."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

Wish = Literal["accept", "fail-permanent", "fail-transient", "rate-limit", "silent"]
RATE_LIMIT_SECONDS = 3
_WISHES: tuple[Wish, ...] = ("fail-permanent", "fail-transient", "rate-limit", "silent")
_REMEMBERED_ADDRESSES = 2_000


@dataclass(frozen=True, slots=True)
class Treatment:
    """What to do with a message. `retry_after_seconds` is above 0 only for `rate-limit`."""

    wish: Wish
    retry_after_seconds: int = 0


ACCEPT = Treatment("accept")


def wish_in(text: str) -> Wish:
    """Answer the behaviour that an address or token names.

    Case, `-` and `_` do not matter, because not every address may have them: `@fail_permanent`, `CFAILPERMANENT`.
    """
    name = _letters(text)
    return next((wish for wish in _WISHES if _letters(wish) in name), "accept")


class Gate:
    """Decides on each message by its address, alike for all providers.

    `rate-limit`: the first message is told to wait three seconds; whoever comes earlier waits for the rest of
    them, whoever comes later is accepted, and the next one after that waits again.
    """

    def __init__(self) -> None:
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def treat(self, address: str, *, now: float) -> Treatment:
        """Say what happens to a message to this address at `now`, in seconds of a clock that never goes back."""
        wish = wish_in(address)
        if wish != "rate-limit":
            return Treatment(wish)
        free_at = self._free_at.pop(address, None)
        if free_at is not None and now >= free_at:
            return ACCEPT
        free_at = now + RATE_LIMIT_SECONDS if free_at is None else free_at
        self._free_at[address] = free_at
        while len(self._free_at) > _REMEMBERED_ADDRESSES:
            self._free_at.popitem(last=False)
        return Treatment("rate-limit", max(1, math.ceil(free_at - now)))


def _letters(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "")
