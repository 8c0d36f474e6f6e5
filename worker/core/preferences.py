"""Which preference decides: the narrower scope wins, then the narrower channel; without one, the answer is yes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Wish(NamedTuple):
    """Whether a person wants a message, and what says so: a preference as `scope on channel`, or `default`."""

    is_wanted: bool
    by: str


UNASKED = Wish(is_wanted=True, by="default")
"""No preference of the person's is about it."""


def wish(preferences: Mapping[tuple[str, str], bool], event_type: str, category: str, channel: str) -> Wish:
    """Answer what the person wants, by the one preference that decides."""
    if not preferences:
        return UNASKED
    for scope in (f"type:{event_type}", f"category:{category}", "*"):
        for where in (channel, "*"):
            wanted = preferences.get((scope, where))
            if wanted is not None:
                return Wish(wanted, f"{scope} on {where}")
    return UNASKED
