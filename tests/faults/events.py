"""The event type of every scene: one message on each wire channel for one person, told apart by its number."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from schemas.catalogue import EventData, PersonId, Priority, Route

LIFE: Final = timedelta(minutes=30)


class Marked(
    EventData,
    type="scene.marked",
    category="test",
    expires=LIFE,
    routes=(Route("user", Priority.NORMAL, "email telegram slack"),),
):
    """A note. `number` is the event's own, seven digits, which the fakes find again in each message."""

    user_id: PersonId
    number: str
