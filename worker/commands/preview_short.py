"""SMS and web push as a preview knows them: shaped as they will be sent, by channels that cannot send yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.channels.base import Abilities, Target
from worker.channels.short_media import MARKUPS, Push, Sms, fit_push, fit_sms
from worker.core.content import Content
from worker.core.outcome import Outcome, Refused, UnsurePolicy

_ABILITIES = Abilities(markups=MARKUPS, concurrency=1, on_unsure=UnsurePolicy.HOLD)


@dataclass(frozen=True, slots=True)
class ShortMedium:
    """A channel that shapes a message and has nobody to hand it to."""

    name: str
    shape: Callable[[Content, Target], Sms | Push]
    provider: str = ""
    abilities: Abilities = _ABILITIES

    def fit(self, contents: tuple[Content, ...], target: Target) -> Sms | Push:
        """Shape it as the medium will show it."""
        return self.shape(contents[0], target)

    async def send(self, message: Sms | Push, *, timeout_seconds: float) -> Outcome:
        """Send nothing, and say so."""
        return Refused("no_transport", f"this version does not send by {self.name}", fault="ours")

    async def check(self) -> str:
        """There is no provider to try."""
        return ""

    async def aclose(self) -> None:
        """There is nothing to close."""


SHORT_MEDIA = {
    "sms": ShortMedium("sms", lambda content, _: fit_sms(content)),
    "webpush": ShortMedium("webpush", fit_push),
}


def short_text(message: Sms | Push) -> str:
    """What its reader sees, and what an SMS costs."""
    match message:
        case Sms():
            parts = "1 part" if message.segments == 1 else f"{message.segments} parts"
            return f"{message.text}\n({parts}, {message.alphabet})"
        case Push():
            return "\n".join(filter(None, (message.title, message.body, message.url)))
