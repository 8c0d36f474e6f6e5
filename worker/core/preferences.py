"""Which preference decides: the narrower scope wins, then the narrower channel; without one, the answer is yes."""

from __future__ import annotations

from collections.abc import Mapping


def objection(preferences: Mapping[tuple[str, str], bool], event_type: str, category: str, channel: str) -> str:
    """Answer '' where the person has nothing against it, else the preference that says no, as `scope on channel`."""
    if not preferences:
        return ""
    for scope in (f"type:{event_type}", f"category:{category}", "*"):
        for where in (channel, "*"):
            wanted = preferences.get((scope, where))
            if wanted is not None:
                return "" if wanted else f"{scope} on {where}"
    return ""
