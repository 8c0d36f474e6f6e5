"""The seam between Kabar and a medium. A new channel is one file with one class that satisfies `Channel`.

A channel knows its provider's wire and nothing of the ledger, the broker or the event's meaning. `fit` is pure;
`send` is the only thing here that may touch the network, and it always answers with an outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID

from worker.core.backoff import Backoff
from worker.core.content import Content, Markup
from worker.core.outcome import Outcome, Refused, UnsurePolicy


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a medium can do.

    `markups`: the renderings `fit` wants, in order. `concurrency`: sends of one process under way at once.
    `on_unsure`: `resend` where the medium recognises a repetition or the message must arrive. `per_second`: what the
    account takes of all workers together, and `per_address` what one address does, 0 for any number. `per_address`
    None: no provider of the medium ever asks to spare a single address.
    """

    markups: tuple[Markup, ...]
    concurrency: int
    on_unsure: UnsurePolicy
    backoff: Backoff = field(default_factory=Backoff)
    per_second: float = 0.0
    per_address: float | None = None


@dataclass(frozen=True, slots=True)
class Trimmings:
    """What may be shown beside the words, raw: `image` and `actor_image` are URLs, `actor` is a name.

    `icon` is whatever a product's own pages make of it: a name, an emoji, a URL. Each medium shows what it can.
    """

    icon: str = ""
    image: str = ""
    actor: str = ""
    actor_image: str = ""


PLAIN = Trimmings()


class Target(NamedTuple):
    """Whom a message is for, and what kind it is: the delivery's id (stable over retries), the address, the name.

    `locale` is the text's. `category`, `critical` and `audience` say why the person gets it, as in the catalogue.
    `update_id`: shared with the other messages to this person about the same thing, of which the newest holds; if any.
    """

    delivery_id: UUID
    address: str
    name: str
    event_type: str
    at: datetime
    """When the notification was made: aware UTC, stable over retries."""
    person_id: str = ""
    locale: str = "en"
    category: str = ""
    critical: bool = False
    audience: str = "user"
    trimmings: Trimmings = PLAIN
    update_id: UUID | None = None


Message = TypeVar("Message")


class Channel(Protocol[Message]):
    """One medium. Safe to share by many tasks of one event loop."""

    @property
    def name(self) -> str:
        """The channel's word in catalogue, queues, metrics and preferences: `email`, `slack`…"""
        ...

    @property
    def provider(self) -> str:
        """Whose servers it speaks to: a host, or '' where there is none. Shown to operators; never a credential."""
        ...

    @property
    def abilities(self) -> Abilities:
        """What this medium can do; constant for the life of the process."""
        ...

    def fit(self, contents: tuple[Content, ...], target: Target) -> Message | Refused:
        """Shape the renderings (one per `abilities.markups`, in that order) into the wire form.

        Pure. Shortens what is too long at a word with an ellipsis. `Refused` where the address cannot be one
        of this medium (reason `address_invalid`).
        """
        ...

    async def send(self, message: Message, *, timeout_seconds: float) -> Outcome:
        """Hand one message to the provider. Answers with an outcome within the timeout; raises only on bugs.

        Cancellation may leave the message sent or unsent; the caller records that as unsure.
        """
        ...

    async def check(self) -> str:
        """Try the provider without sending anything. Answers '' when all is well, else what is wrong and the remedy."""
        ...

    async def aclose(self) -> None:
        """Close all connections. Safe to call twice."""
        ...
