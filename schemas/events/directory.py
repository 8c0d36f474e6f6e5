"""Facts about people: they change who is told and where, and notify nobody."""

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.catalogue import EventData, PersonId

Name = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Address = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\s\x00-\x1f\x7f]+$")]
ChannelName = Annotated[str, StringConstraints(max_length=32, pattern=r"^[a-z][a-z0-9_]*$")]
Role = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\s\x00-\x1f\x7f]+$")]
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")]
TimeZone = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*$")]
Scope = Annotated[str, StringConstraints(max_length=160, pattern=r"^(\*|(type|category):[A-Za-z0-9_.*-]+)$")]
ChannelOrAny = Annotated[str, StringConstraints(max_length=32, pattern=r"^(\*|[a-z][a-z0-9_]*)$")]


class PersonChanged(EventData, type="person.changed", category="directory"):
    """A person is new or different. Only what is given changes; an address list of a channel is given whole.

    The event's `time` orders changes: one older than what is known is ignored. Without `time`, arrival counts.
    """

    person_id: PersonId
    name: Name | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    roles: Annotated[list[Role], Field(max_length=50)] | None = None
    addresses: (
        Annotated[dict[ChannelName, Annotated[list[Address], Field(max_length=10)]], Field(max_length=32)] | None
    ) = None


class PersonRemoved(EventData, type="person.removed", category="directory"):
    """A person is gone, with all addresses and preferences; nothing more is sent to them."""

    person_id: PersonId


class PreferenceChanged(EventData, type="preference.changed", category="directory"):
    """A person wants, or does not want, something on a channel. `enabled` null forgets the preference.

    `scope`: an event type (`type:payment.failed`), a category (`category:billing`), or everything (`*`).
    `channel`: one channel's name, or `*` for every channel. The narrower scope wins, then the narrower channel.
    """

    person_id: PersonId
    scope: Scope
    channel: ChannelOrAny
    enabled: bool | None
