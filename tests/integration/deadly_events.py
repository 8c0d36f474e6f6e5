"""An event type whose handling kills the process, as a defect in native code or a lack of memory would."""

import os
from typing import Self

from pydantic import model_validator

from schemas.catalogue import EventData, PersonId, Priority, Route


class Deadly(EventData, type="test.deadly", category="test", routes=(Route("user", Priority.NORMAL, "inbox"),)):
    """Kills whoever checks it."""

    user_id: PersonId

    @model_validator(mode="after")
    def _die(self) -> Self:
        os._exit(9)


class Explosive(EventData, type="test.explosive", category="test", routes=(Route("user", Priority.NORMAL, "inbox"),)):
    """Raises what no code expects."""

    user_id: PersonId

    @model_validator(mode="after")
    def _burst(self) -> Self:
        raise ZeroDivisionError("a defect, with something private in its message")
