"""The message between intake and courier: "these deliveries are ready". It carries work, never truth.

Versioned, because during a rolling upgrade old and new processes share the queues: readers keep understanding
the version before theirs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.catalogue import Lane

MAX_JOB_DELIVERIES = 64
_FIRST, _LAST = (datetime(year, 1, 1, tzinfo=UTC) for year in (2000, 9000))
NO_DELIVERY = UUID(int=0)
"""Stands in a mark: a worker of the version before settles no job without deliveries, and holds four at most."""


class Job(BaseModel):
    """At most 64 deliveries of one channel and lane; which ones is said by the queue it stands in."""

    model_config = ConfigDict(frozen=True)

    v: Literal[1] = 1
    ids: Annotated[list[UUID], Field(max_length=MAX_JOB_DELIVERIES)]

    @property
    def is_work(self) -> bool:
        """Answer whether there are deliveries in it: in a mark there are none."""
        return bool(self.ids) and self.ids != [NO_DELIVERY]


class Mark(Job):
    """A job without deliveries, behind all that a queue holds: a courier sends it back when its turn has come.

    Whatever was published to the queue before `at`, the database's time, has been handed out by then.
    """

    ids: Annotated[list[UUID], Field(max_length=1)] = [NO_DELIVERY]
    channel: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
    lane: Lane
    at: Annotated[AwareDatetime, Field(ge=_FIRST, lt=_LAST)]
