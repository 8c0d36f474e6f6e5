"""The message between intake and courier: "these deliveries are ready". It carries work, never truth.

Versioned, because during a rolling upgrade old and new processes share the queues: readers keep understanding
the version before theirs.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

MAX_JOB_DELIVERIES = 64


class Job(BaseModel):
    """At most 64 deliveries of one channel and lane; which ones is said by the queue it stands in."""

    model_config = ConfigDict(frozen=True)

    v: Literal[1] = 1
    ids: Annotated[list[UUID], Field(max_length=MAX_JOB_DELIVERIES)]
