"""The wordings that were asked for: what Kabar says by itself is these, letter for letter."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from pydantic import JsonValue

from schemas.catalogue import Catalogue
from worker.core.content import Content, Markup
from worker.core.example import EVENT_TIME, plausible_data
from worker.core.formats import money
from worker.core.template import EventView, PersonView, TextKey
from worker.deployment import BUILT_IN_EVENTS
from worker.texts import BUILT_IN, load_texts

WORDINGS: dict[str, str] = json.loads((Path(__file__).parent / "data/default_texts.json").read_text("utf-8"))
INFOS = {info.type: info for info in Catalogue.of_modules(BUILT_IN_EVENTS)}
TEXTS = load_texts(BUILT_IN)


def said(place: str, **values: JsonValue) -> Content:
    """What a text says of a plausible event, of which some values are others."""
    kind, audience, locale = place.split("/")
    content = TEXTS.render(
        TextKey(kind, audience, locale),
        Markup.PLAIN,
        "inbox",
        values=plausible_data(INFOS[kind]) | values,
        person=PersonView("Ani", locale, "Asia/Jakarta"),
        event=EventView(kind, datetime.fromisoformat(EVENT_TIME)),
    )
    assert isinstance(content, Content), content
    return content


@pytest.mark.parametrize("place", WORDINGS)
def test_a_text_begins_with_the_words_that_were_asked_for(place: str) -> None:
    """The title is the one asked for, and so is the body's first paragraph where words for it were given."""
    kind, _, locale = place.split("/")
    values = plausible_data(INFOS[kind])
    values |= {"amount": money(values.get("amount"), values.get("currency"), locale), "days": 7, "minutes": 30}
    title, _, body = WORDINGS[place].format(**values).partition(" — ")

    content = said(place)

    assert content.title == title
    assert content.body.split("\n\n")[0] == body or not body


@pytest.mark.parametrize(
    ("place", "values", "title"),
    [
        ("subscription.expiring/user/id", {"expires_at": EVENT_TIME}, "berakhir kurang dari sehari lagi"),
        ("event.reminder/followers/id", {"starts_at": "2026-11-14T07:05:00Z"}, "dimulai pada 14 Nov 2026, 14:05 WIB"),
        ("system.maintenance/everyone/id", {"starts_at": "2026-11-15T15:00:00Z"}, "pada 15 Nov 2026, 22:00 WIB"),
    ],
)
def test_a_title_says_nothing_that_is_not_so(place: str, values: dict[str, JsonValue], title: str) -> None:
    """Where the words that were asked for would be wrong, such as 'tonight' of next week, the title says it rightly."""
    assert said(place, **values).title.endswith(title)


def test_one_item_is_no_items() -> None:
    """A text that was asked for in the plural is right in the singular too."""
    assert said("stock.low/admins/en", stock=1).body.endswith("has only 1 item left")
