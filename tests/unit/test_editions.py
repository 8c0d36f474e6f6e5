"""What the editions of texts promise: what was planned with one wording is rendered in it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from worker.core.content import Content, Markup
from worker.core.editions import Editions, Published, Wording
from worker.core.template import EventView, PersonView, TextKey
from worker.core.text_source import Place, Source

EN = Place("order.shipped", "user", "en", "")
SLACK = EN._replace(channel="slack")
OTHER = Place("order.late", "user", "en", "")


def files(*places: Place) -> Editions:
    return Editions.of_files(Source(f"files/{place.name}", *place, "title: file\n") for place in places)


def published(edition: int, place: Place, version: int, text: str | None = "") -> Published:
    return Published(edition, place, version, f"title: words {edition}\n" if text == "" else text)


def said(wording: Wording | None, place: Place = EN, channel: str = "email") -> str:
    assert wording is not None
    found = wording.texts.render(
        TextKey(place.event_type, place.audience, place.locale),
        Markup.PLAIN,
        channel,
        values={},
        person=PersonView("Ani", "en", "UTC"),
        event=EventView(place.event_type, datetime(2026, 1, 1, tzinfo=UTC)),
    )
    assert isinstance(found, Content)
    return found.title


def at(editions: Editions, edition: int | None, place: Place = EN, channel: str = "email") -> str:
    editions = editions.prepared(place.event_type, place.audience, edition)
    return said(editions.find(place.event_type, place.audience, edition), place, channel)


def test_what_was_planned_before_a_publish_is_said_in_the_old_words() -> None:
    """A delivery keeps the words it was planned with, however many publishes come after."""
    editions = files(EN, OTHER).after([published(1, EN, 1), published(2, OTHER, 1), published(4, EN, 2)])

    assert [at(editions, edition) for edition in (0, 1, 2, 3, 4, 9)] == [
        "file", "words 1", "words 1", "words 1", "words 4", "words 4",
    ]  # fmt: skip
    assert at(editions, None) == "words 4"
    assert [at(editions, edition, OTHER) for edition in (0, 1, 2, 4)] == ["file", "file", "words 2", "words 2"]


def test_publishes_that_come_one_by_one_hold_as_those_that_come_at_once() -> None:
    """It makes no difference whether a worker ran all the time or was started today."""
    publishes = [published(1, EN, 1), published(2, SLACK, 1), published(3, EN, 2, None), published(4, EN, 3)]
    at_once = files(EN).after(publishes)
    one_by_one = files(EN)
    for one in publishes:
        one_by_one = one_by_one.after([one])

    for channel in ("email", "slack"):
        for edition in (0, 1, 2, 3, 4, None):
            assert at(at_once, edition, EN, channel) == at(one_by_one, edition, EN, channel)
    assert at_once.newest == one_by_one.newest == 4


def test_an_old_wording_is_compiled_only_when_it_is_asked_for() -> None:
    """What nobody needs any more costs a starting worker nothing, and no text is parsed in passing."""
    editions = files(EN).after([published(1, EN, 1), published(2, EN, 2)])

    assert editions.find("order.shipped", "user", 1) is None
    assert said(editions.prepared("order.shipped", "user", 1).find("order.shipped", "user", 1)) == "words 1"


def test_a_running_worker_has_what_held_a_moment_ago() -> None:
    """A publish does not make the deliveries that are under way wait."""
    editions = files(EN).after([published(1, EN, 1)]).after([published(2, EN, 2)])

    assert said(editions.find("order.shipped", "user", 1)) == "words 1"
    assert said(editions.find("order.shipped", "user", 0)) == "file"


def test_taking_a_publish_back_lets_the_file_hold_again() -> None:
    """After a rollback to the file, a new file of the next upgrade is used too."""
    editions = files(EN).after([published(1, EN, 1), published(2, EN, 2, None)])

    assert at(editions, None) == "file"
    assert editions.version(EN) == files(EN).version(EN)


def test_a_version_says_the_wording_and_its_number_or_the_file_s_content() -> None:
    """Of each delivery one can tell exactly which words it was sent in."""
    editions = files(EN).after([published(1, SLACK, 1)])
    wording = editions.find("order.shipped", "user", None)
    assert wording is not None

    assert wording.version("order.shipped", "user", "en", "slack") == "en.slack@1"
    assert wording.version("order.shipped", "user", "en", "email") == editions.version(EN)
    assert editions.version(EN).startswith("en@0:")
    assert editions.version(EN) != Editions.of_files([Source("f", *EN, "title: other\n")]).version(EN)
    assert wording.version("order.shipped", "admins", "en", "email") == ""


@pytest.mark.parametrize("text", ["titel: wrong\n", "title: a\n\n{% if %}", "title: {{ a|no_such_filter }}\n"])
def test_what_cannot_be_compiled_is_a_problem_of_its_own_audience_only(text: str) -> None:
    """A text for a newer version of Kabar stops nothing but what would be said in it."""
    editions = files(EN, OTHER).after([published(1, EN, 1, text)])
    wording = editions.find("order.shipped", "user", None)

    assert wording is not None
    assert "order.shipped/user/en.txt@1, line" in wording.problem
    assert at(editions, None, OTHER) == at(editions, 0) == "file"
