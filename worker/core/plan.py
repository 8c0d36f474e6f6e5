"""What `decide` says of an event: for each person and channel a plan to send, or a skip with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from schemas.catalogue import EventInfo, Lane
from worker.core.message import Event, derived
from worker.core.outcome import UnsurePolicy


@dataclass(frozen=True, slots=True)
class Address:
    """Where a person can be reached on a channel. `suppressed`: why it must not be used, empty where it may."""

    channel: str
    address: str
    suppressed: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can be told, with all that deciding needs. `preferences` maps (scope, channel) to on or off."""

    id: str
    roles: frozenset[str]
    addresses: tuple[Address, ...]
    preferences: Mapping[tuple[str, str], bool]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the ledger knows of the people a batch concerns, by id. `crowded`: roles with too many members to read."""

    people: Mapping[str, Person]
    crowded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """What deciding must know of a channel that this deployment has.

    `on_unsure` is the policy of all that is neither critical, which must arrive, nor of a category with its own.
    """

    attempt_limit: int
    on_unsure: UnsurePolicy
    needs_address: bool = True
    on_unsure_critical: UnsurePolicy = UnsurePolicy.RESEND
    on_unsure_of: Mapping[str, UnsurePolicy] = field(default_factory=dict)

    def policy(self, info: EventInfo) -> UnsurePolicy:
        """Answer what to do with a message of this type of which nobody knows whether it went out."""
        own = self.on_unsure_of.get(info.category)
        return own or (self.on_unsure_critical if info.critical else self.on_unsure)


class Plan(NamedTuple):
    """Send it: the delivery is ready."""

    lane: Lane
    attempt_limit: int
    on_unsure: UnsurePolicy


@dataclass(frozen=True, slots=True)
class Skip:
    """Do not send it, and why: a stable reason, and the fact that decided."""

    reason: str
    detail: str = ""


class PlannedDelivery(NamedTuple):
    """One notification on one channel to one address.

    `decided_by` says what let it be sent or not: `critical`, `default`, or a preference as `scope on channel`; empty
    where none of them was asked.
    """

    id: UUID
    channel: str
    address: str
    decision: Plan | Skip
    decided_by: str = ""


class PlannedNotification(NamedTuple):
    """One event for one person on one route. `rule` says what put the person into its audience."""

    id: UUID
    person_id: str
    route: str
    expires_at: datetime
    deliveries: tuple[PlannedDelivery, ...]
    rule: str = ""


class Decision(NamedTuple):
    """All that follows from one event. `reason` says why where no notification follows.

    `fan_out`: it goes to a role too large to be read at once, whose members follow in slices; `expires_at` holds for
    all of them. `routes` are those the event's type had, each with whom it told: `user=user_id admins=role:admin`.
    """

    event: Event
    notifications: tuple[PlannedNotification, ...]
    reason: str = ""
    fan_out: bool = False
    expires_at: datetime | None = None
    routes: str = ""


def notification_id(event_key: UUID, person_id: str, route: str) -> UUID:
    """Derive a notification's id: a redelivered event meets its own rows."""
    return derived(event_key, f"{person_id}\n{route}")


def delivery_id(notification: UUID, channel: str, address: str) -> UUID:
    """Derive a delivery's id from what it stands for."""
    return derived(notification, f"{channel}\n{address}")
