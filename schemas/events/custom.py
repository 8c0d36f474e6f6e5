"""Events that bring their own words, for what no type was made for yet."""

from typing import Annotated

from pydantic import Field, HttpUrl

from schemas.catalogue import EventData, PersonId, Priority, Route


class Custom(
    EventData,
    type="custom.*",
    category="custom",
    routes=(Route("envelope", Priority.NORMAL, "inbox"),),
):
    """Any `custom.…` type. Goes to `user_ids`, or to whom the envelope's `audience` names."""

    user_ids: Annotated[list[PersonId], Field(max_length=500)] | None = None
    title: Annotated[str, Field(min_length=1)]
    message: str
    url: HttpUrl | None = None
    icon: str | None = None
    image: HttpUrl | None = None
    priority: Priority | None = None
    expires_in_days: Annotated[int, Field(ge=1, le=365)] | None = None
