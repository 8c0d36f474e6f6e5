"""What is shown beside the words: each medium shows what it can, and nothing that could do harm or cost the message."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest

from schemas.catalogue import Catalogue, Lane
from worker.channels.base import Target, Trimmings
from worker.channels.inbox import InboxChannel, InboxMessage
from worker.channels.slack import SlackChannel, SlackMessage
from worker.channels.telegram import TelegramChannel, TelegramMessage, payload
from worker.core.content import Content
from worker.core.editions import Editions
from worker.core.outcome import UnsurePolicy
from worker.deployment import BUILT_IN_EVENTS
from worker.ledger.deliveries import Leased
from worker.pipeline.render import render
from worker.texts import BUILT_IN, read_sources

IMAGE, FACE = "https://x.example/badge.png?a=1&b=2", "https://x.example/sari.png"
TARGET = Target(
    UUID(int=1), "", "Ada", "achievement.earned", datetime(2026, 11, 21, tzinfo=UTC),
    trimmings=Trimmings("🏅", IMAGE, "Sari", FACE),
)  # fmt: skip
CONTENT = Content("Hi &amp; bye", "Body", "https://x.example", "Go")
HARMFUL = ["javascript:alert(1)", "data:image/png;base64,AAAA", "mailto:a@x.example", "/badge.png", "https://x y/"]


def test_the_inbox_keeps_everything() -> None:
    """A product's own pages show icon, picture and who did it."""
    message = InboxChannel().fit((CONTENT,), TARGET)

    assert message.trimmings == TARGET.trimmings


@pytest.mark.parametrize("url", HARMFUL)
def test_the_inbox_keeps_no_picture_that_no_page_may_load(url: str) -> None:
    """And an actor's name is one line that fits."""
    hostile = Trimmings("a\nb", url, "x" * 500, url)

    kept = InboxChannel().fit((CONTENT,), TARGET._replace(trimmings=hostile)).trimmings

    assert (kept.icon, kept.image, kept.actor_image) == ("a b", "", "")
    assert len(kept.actor) == 200


@pytest.mark.parametrize(
    ("event_type", "data", "expected"),
    [
        (
            "follower.new",
            {"user_id": "ada", "actor_id": "sari", "actor_name": "Sari", "actor_avatar": FACE},
            Trimmings(actor="Sari", actor_image=FACE),
        ),
        ("achievement.earned", {"user_id": "ada", "badge": "100", "image": IMAGE}, Trimmings(image=IMAGE)),
        ("payment.success", {"user_id": "ada", "payment_id": "1", "amount": "5", "currency": "USD"}, Trimmings()),
    ],
)
def test_trimmings_come_from_the_events_own_fields(event_type: str, data: dict[str, str], expected: Trimmings) -> None:
    """A product need not say twice what its payload says."""
    editions = Editions.of_files(source for source in read_sources(BUILT_IN) if source.event_type == event_type)
    leased = Leased(
        UUID(int=1), 0, UUID(int=2), "ada", "inbox", "", Lane.NORMAL, 1, 1, UnsurePolicy.HOLD, TARGET.at, "user", "e1",
        "test", event_type, TARGET.at, orjson.dumps(data).decode(), None, "Ada", "en", "UTC",
    )  # fmt: skip

    rendered = render(leased, Catalogue.of_modules(BUILT_IN_EVENTS), editions, InboxChannel())

    assert isinstance(rendered.message, InboxMessage)
    assert rendered.message.trimmings == expected


def test_telegram_shows_the_picture_above_the_text() -> None:
    """As a large preview, which leaves the text its full length."""
    message = TelegramChannel("1:abc").fit((CONTENT,), TARGET._replace(address="1042"))

    assert isinstance(message, TelegramMessage)
    preview = {"url": IMAGE, "prefer_large_media": True, "show_above_text": True}
    assert orjson.loads(payload(message, message.chat))["link_preview_options"] == preview


def test_slack_shows_the_picture_where_it_cannot_cost_the_message() -> None:
    """An image block that cannot be loaded would be refused with all the rest."""
    message = SlackChannel(token="xoxb-1").fit((CONTENT,), TARGET._replace(address="C0123456789"))

    assert isinstance(message, SlackMessage)
    sent = orjson.loads(message.payload)
    assert sent["attachments"] == [{"fallback": "Hi & bye", "image_url": IMAGE}]
    assert "image" not in {block["type"] for block in sent["blocks"]}


@pytest.mark.parametrize("url", [*HARMFUL, ""])
def test_no_chat_shows_a_picture_from_elsewhere_than_the_web(url: str) -> None:
    """The message goes out without it."""
    bare = TARGET._replace(trimmings=Trimmings(image=url))

    slack = SlackChannel(token="xoxb-1").fit((CONTENT,), bare._replace(address="C0123456789"))
    telegram = TelegramChannel("1:abc").fit((CONTENT,), bare._replace(address="1042"))

    assert isinstance(slack, SlackMessage)
    assert isinstance(telegram, TelegramMessage)
    assert "attachments" not in orjson.loads(slack.payload)
    assert orjson.loads(payload(telegram, telegram.chat))["link_preview_options"] == {"is_disabled": True}
